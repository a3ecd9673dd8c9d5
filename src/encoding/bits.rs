//! Bit streams, most significant bit first, as chunks have them.

use super::Malformed;

/// Reads bits from a slice; a read past the end is an error, never a panic.
///
/// Holds up to 64 bits of the stream in a register and refills eight bytes at a time.
#[derive(Clone, Debug)]
pub struct BitReader<'a> {
    bytes: &'a [u8],
    /// Next byte to load.
    next: usize,
    /// Loaded bits, left-aligned: the next bit is the top one.
    window: u64,
    /// How many bits of `window` are loaded.
    loaded: u32,
}

impl<'a> BitReader<'a> {
    /// Starts at the top bit of the first byte.
    pub fn new(bytes: &'a [u8]) -> Self {
        BitReader { bytes, next: 0, window: 0, loaded: 0 }
    }

    /// How many bits were read so far.
    pub fn position_bits(&self) -> u64 {
        self.next as u64 * 8 - u64::from(self.loaded)
    }

    /// Bits that are left, padding of the last byte included.
    pub fn remaining_bits(&self) -> u64 {
        (self.bytes.len() - self.next) as u64 * 8 + u64::from(self.loaded)
    }

    /// Damage at the byte that holds the next bit.
    #[cold]
    pub fn fail(&self, part: &'static str, why: &'static str) -> Malformed {
        Malformed::new(part, self.position_bits() / 8, why)
    }

    #[inline]
    fn refill(&mut self) {
        if let Some(eight) = self.bytes.get(self.next..).and_then(|rest| rest.first_chunk::<8>()) {
            // the bits that do not fit are loaded again next time
            self.window |= u64::from_be_bytes(*eight) >> self.loaded;
            let whole = (63 - self.loaded) / 8;
            self.next += whole as usize;
            self.loaded += whole * 8;
            // keep only what `loaded` counts, so that a later OR does not meet stale bits
            if self.loaded < 64 {
                self.window &= !(u64::MAX >> self.loaded);
            }
        } else {
            while self.loaded <= 56 && self.next < self.bytes.len() {
                self.window |= u64::from(self.bytes[self.next]) << (56 - self.loaded);
                self.next += 1;
                self.loaded += 8;
            }
        }
    }

    /// The next `count` bits (0 to 64) as an unsigned number, or `None` at the end.
    #[inline]
    pub fn bits(&mut self, count: u32) -> Option<u64> {
        debug_assert!(count <= 64);
        if count > 56 {
            let high = self.bits(count - 32)?;
            let low = self.bits(32)?;
            return Some((high << 32) | low);
        }
        if count > self.loaded {
            self.refill();
            if count > self.loaded {
                return None;
            }
        }
        if count == 0 {
            return Some(0);
        }
        let value = self.window >> (64 - count);
        self.window <<= count;
        self.loaded -= count;
        Some(value)
    }

    /// The next bit, or `None` at the end.
    #[inline]
    pub fn bit(&mut self) -> Option<bool> {
        self.bits(1).map(|b| b == 1)
    }
}

/// Writes bits to a byte vector, most significant first; can be reopened behind any bit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BitWriter {
    bytes: Vec<u8>,
    /// Free bits in the last byte, 0 to 7.
    free: u32,
}

impl BitWriter {
    /// An empty stream.
    pub fn new() -> Self {
        BitWriter::default()
    }

    /// Goes on behind `bytes`, of whose last byte the lowest `free` bits (0 to 7) are not used.
    ///
    /// # Panics
    /// When `free` is above 7, or not 0 although there are no bytes.
    pub fn reopen(bytes: Vec<u8>, free: u32) -> Self {
        assert!(free <= 7 && (free == 0 || !bytes.is_empty()), "{free} free bits behind {} bytes", bytes.len());
        BitWriter { bytes, free }
    }

    /// What was written so far, the last byte padded with zero bits.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The same, mutable: headers that are patched in place.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.bytes
    }

    /// Bits of the last byte that are not written yet, 0 to 7.
    pub fn free_bits(&self) -> u32 {
        self.free
    }

    /// The bytes, the last one padded with zero bits.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// Appends the lowest `count` bits (0 to 64) of `value`.
    #[inline]
    pub fn bits(&mut self, value: u64, count: u32) {
        debug_assert!(count <= 64);
        if count == 0 {
            return;
        }
        // left-align
        let mut value = value << (64 - count);
        let mut count = count;
        if self.free > 0 {
            let last = self.bytes.last_mut().expect("free bits are in a byte");
            *last |= (value >> (64 - self.free)) as u8;
            if count <= self.free {
                self.free -= count;
                return;
            }
            value <<= self.free;
            count -= self.free;
            self.free = 0;
        }
        let whole = count.div_ceil(8) as usize;
        let len = self.bytes.len() + whole;
        // eight bytes, which need no call to copy memory, cost less than the few that are kept
        self.bytes.extend_from_slice(&value.to_be_bytes());
        self.bytes.truncate(len);
        self.free = whole as u32 * 8 - count;
    }

    /// Appends one bit.
    #[inline]
    pub fn bit(&mut self, bit: bool) {
        self.bits(u64::from(bit), 1);
    }

    /// Appends a whole byte at the current bit.
    #[inline]
    pub fn byte(&mut self, byte: u8) {
        self.bits(u64::from(byte), 8);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn both_ways(fields in prop::collection::vec((any::<u64>(), 0u32..=64), 0..200)) {
            let mut w = BitWriter::new();
            for &(value, count) in &fields {
                w.bits(value, count);
            }
            let mut r = BitReader::new(w.bytes());
            for &(value, count) in &fields {
                let mask = if count == 0 { 0 } else { u64::MAX >> (64 - count) };
                prop_assert_eq!(r.bits(count), Some(value & mask));
            }
            prop_assert!(r.remaining_bits() < 8);
            prop_assert_eq!(r.bits(8), None);
        }

        #[test]
        fn reopened_behind_any_bit(first in 0u32..64, value: u64, second in 0u32..64) {
            let mut whole = BitWriter::new();
            whole.bits(value, first);
            let mut again = BitWriter::reopen(whole.bytes().to_vec(), whole.free);
            whole.bits(value, second);
            again.bits(value, second);
            prop_assert_eq!(whole, again);
        }
    }
}
