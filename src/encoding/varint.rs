//! LEB128 integers, unsigned and zig-zag, as Go's `encoding/binary` writes them.

use super::Malformed;

/// The most bytes a [`length_field`] has.
pub const MAX_LENGTH_FIELD_BYTES: usize = 5;

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

/// The length field that `bytes` begin with: what it says and how many bytes it takes itself, or `None`
/// when it is cut off.
///
/// # Errors
/// [`Malformed`] with `part` and `base` for a length above 32 bits.
#[inline]
pub fn length_field(part: &'static str, bytes: &[u8], base: u64) -> Result<Option<(usize, usize)>, Malformed> {
    let mut value = 0u64;
    for (i, &b) in bytes.iter().take(MAX_LENGTH_FIELD_BYTES).enumerate() {
        value |= u64::from(b & 0x7f) << (7 * i);
        if b < 0x80 {
            return match u32::try_from(value) {
                Ok(len) => Ok(Some((len as usize, i + 1))),
                Err(_) => Err(Malformed::new(part, base, format!("{value} bytes, the most is 4 GiB"))),
            };
        }
    }
    if bytes.len() >= MAX_LENGTH_FIELD_BYTES {
        return Err(Malformed::new(part, base, "length field is longer than five bytes"));
    }
    Ok(None)
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

    #[test]
    fn length_fields() {
        let field = |bytes: &[u8]| length_field("test", bytes, 7).map_err(|m| (m.at, m.why.into_owned()));
        assert_eq!(field(&[5, 9]), Ok(Some((5, 1))));
        assert_eq!(field(&[0xff, 0xff, 0xff, 0xff, 0x0f]), Ok(Some((u32::MAX as usize, 5))));
        assert_eq!(field(&[]), Ok(None));
        assert_eq!(field(&[0x80, 0x80]), Ok(None));
        assert_eq!(field(&[0xff, 0xff, 0xff, 0xff, 0x10]), Err((7, "4563402751 bytes, the most is 4 GiB".into())));
        assert_eq!(field(&[0x80; 5]), Err((7, "length field is longer than five bytes".into())));
    }
}
