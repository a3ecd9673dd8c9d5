//! LEB128 integers, unsigned and zig-zag, as Go's `encoding/binary` writes them.

/// Appends `value` as an unsigned varint of one to ten bytes.
#[inline]
pub fn put_uvarint(out: &mut Vec<u8>, mut value: u64) {
    if value < 0x80 {
        out.push(value as u8);
        return;
    }
    let mut bytes = [0u8; 10];
    let mut len = 0;
    while value >= 0x80 {
        bytes[len] = value as u8 | 0x80;
        value >>= 7;
        len += 1;
    }
    bytes[len] = value as u8;
    out.extend_from_slice(&bytes[..=len]);
}

/// Appends `value` as a zig-zag varint of one to ten bytes.
#[inline]
pub fn put_varint(out: &mut Vec<u8>, value: i64) {
    put_uvarint(out, ((value << 1) ^ (value >> 63)) as u64);
}

/// How many bytes [`put_uvarint`] writes for `value`.
#[inline]
pub fn uvarint_len(value: u64) -> usize {
    (64 - (value | 1).leading_zeros() as usize).div_ceil(7)
}

/// Undoes the zig-zag of [`put_varint`].
#[inline]
pub(super) fn unzigzag(value: u64) -> i64 {
    ((value >> 1) as i64) ^ -((value & 1) as i64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encoding::Cursor;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn both_ways(u: u64, shift in 0u32..64, i: i64) {
            let (u, i) = (u >> shift, i >> shift);
            let mut out = Vec::new();
            put_uvarint(&mut out, u);
            prop_assert_eq!(out.len(), uvarint_len(u));
            put_varint(&mut out, i);
            let mut c = Cursor::new("test", &out);
            prop_assert_eq!(c.uvarint().unwrap(), u);
            prop_assert_eq!(c.varint().unwrap(), i);
            prop_assert!(c.is_empty());
        }
    }

    #[test]
    fn known_bytes() {
        let mut out = Vec::new();
        put_uvarint(&mut out, 300);
        put_varint(&mut out, -1);
        put_varint(&mut out, i64::MIN);
        assert_eq!(out, [0xac, 0x02, 0x01, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1]);
    }
}
