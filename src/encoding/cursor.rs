//! Reads integers and byte runs from a slice without ever trusting a length.

use super::Malformed;
use super::varint::unzigzag;
use std::borrow::Cow;

/// A position in bytes of a known part; every read is bounds-checked and fails with the offset.
///
/// `base` is where the slice begins in its object, so that offsets in errors are the object's.
#[derive(Clone, Debug)]
pub struct Cursor<'a> {
    part: &'static str,
    bytes: &'a [u8],
    at: usize,
    base: u64,
}

impl<'a> Cursor<'a> {
    /// Starts at the first byte of `bytes`, which is the whole object.
    pub fn new(part: &'static str, bytes: &'a [u8]) -> Self {
        Cursor::at_offset(part, bytes, 0)
    }

    /// Starts at the first byte of `bytes`, which lie `base` bytes into their object.
    pub fn at_offset(part: &'static str, bytes: &'a [u8], base: u64) -> Self {
        Cursor { part, bytes, at: 0, base }
    }

    /// Offset of the next byte in the object.
    #[inline]
    pub fn position(&self) -> u64 {
        self.base.saturating_add(self.at as u64)
    }

    /// Offset of the next byte in the slice.
    #[inline]
    pub fn index(&self) -> usize {
        self.at
    }

    /// Bytes not read yet.
    #[inline]
    pub fn remaining(&self) -> usize {
        self.bytes.len() - self.at
    }

    /// Whether every byte has been read.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.remaining() == 0
    }

    /// The rest, without moving.
    #[inline]
    pub fn rest(&self) -> &'a [u8] {
        &self.bytes[self.at..]
    }

    /// Damage at the current position.
    #[cold]
    pub fn fail(&self, why: impl Into<Cow<'static, str>>) -> Malformed {
        Malformed::new(self.part, self.position(), why)
    }

    /// The next `len` bytes.
    ///
    /// # Errors
    /// [`Malformed`] when fewer remain.
    #[inline]
    pub fn take(&mut self, len: usize) -> Result<&'a [u8], Malformed> {
        if len > self.remaining() {
            return Err(self.fail(format!("{len} bytes expected, {} left", self.remaining())));
        }
        let run = &self.bytes[self.at..self.at + len];
        self.at += len;
        Ok(run)
    }

    /// Moves over `len` bytes.
    ///
    /// # Errors
    /// [`Malformed`] when fewer remain.
    #[inline]
    pub fn skip(&mut self, len: usize) -> Result<(), Malformed> {
        self.take(len).map(|_| ())
    }

    #[inline]
    fn fixed<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        match self.rest().first_chunk::<N>() {
            Some(bytes) => {
                self.at += N;
                Ok(*bytes)
            }
            None => Err(self.fail(format!("{N} bytes expected, {} left", self.remaining()))),
        }
    }

    /// One byte.
    ///
    /// # Errors
    /// [`Malformed`] at the end.
    #[inline]
    pub fn u8(&mut self) -> Result<u8, Malformed> {
        self.fixed::<1>().map(|b| b[0])
    }

    /// A big-endian `u16`.
    ///
    /// # Errors
    /// [`Malformed`] at the end.
    #[inline]
    pub fn be16(&mut self) -> Result<u16, Malformed> {
        self.fixed().map(u16::from_be_bytes)
    }

    /// A big-endian `u32`.
    ///
    /// # Errors
    /// [`Malformed`] at the end.
    #[inline]
    pub fn be32(&mut self) -> Result<u32, Malformed> {
        self.fixed().map(u32::from_be_bytes)
    }

    /// A big-endian `u64`.
    ///
    /// # Errors
    /// [`Malformed`] at the end.
    #[inline]
    pub fn be64(&mut self) -> Result<u64, Malformed> {
        self.fixed().map(u64::from_be_bytes)
    }

    /// An unsigned varint of up to 64 bits.
    ///
    /// # Errors
    /// [`Malformed`] when cut off, or longer than ten bytes, or above 64 bits.
    #[inline]
    pub fn uvarint(&mut self) -> Result<u64, Malformed> {
        if let Some(&b) = self.bytes.get(self.at)
            && b < 0x80
        {
            self.at += 1;
            return Ok(u64::from(b));
        }
        self.uvarint_long()
    }

    fn uvarint_long(&mut self) -> Result<u64, Malformed> {
        let mut value = 0u64;
        for (i, &b) in self.rest().iter().take(10).enumerate() {
            let bits = u64::from(b & 0x7f);
            if i == 9 && b > 1 {
                return Err(self.fail("varint above 64 bits"));
            }
            value |= bits << (7 * i as u32);
            if b < 0x80 {
                self.at += i + 1;
                return Ok(value);
            }
        }
        Err(self.fail("varint cut off"))
    }

    /// An unsigned varint that must fit 32 bits.
    ///
    /// # Errors
    /// [`Malformed`] as [`Cursor::uvarint`], and above `u32::MAX`.
    #[inline]
    pub fn uvarint32(&mut self) -> Result<u32, Malformed> {
        let before = self.at;
        let value = self.uvarint()?;
        u32::try_from(value).map_err(|_| {
            self.at = before;
            self.fail(format!("{value} does not fit 32 bits"))
        })
    }

    /// A zig-zag varint of up to 64 bits.
    ///
    /// # Errors
    /// [`Malformed`] as [`Cursor::uvarint`].
    #[inline]
    pub fn varint(&mut self) -> Result<i64, Malformed> {
        self.uvarint().map(unzigzag)
    }

    /// A byte run with its length before it as a varint.
    ///
    /// # Errors
    /// [`Malformed`] when the length is more than what remains.
    #[inline]
    pub fn uvarint_bytes(&mut self) -> Result<&'a [u8], Malformed> {
        let before = self.at;
        let len = self.uvarint()?;
        if len > self.remaining() as u64 {
            self.at = before;
            return Err(self.fail(format!("run of {len} bytes, {} left", self.remaining())));
        }
        self.take(len as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_are_errors_with_offsets() {
        let mut c = Cursor::at_offset("test", &[1, 2], 100);
        assert_eq!(c.u8(), Ok(1));
        assert_eq!(c.be32().unwrap_err().at, 101);
        assert_eq!(c.take(usize::MAX).unwrap_err().at, 101);
        assert_eq!(c.u8(), Ok(2));
        assert_eq!(c.uvarint().unwrap_err().why, "varint cut off");
    }

    #[test]
    fn overlong_varints_are_refused() {
        let eleven = [0x80; 11];
        assert!(Cursor::new("test", &eleven).uvarint().is_err());
        let above = [255, 255, 255, 255, 255, 255, 255, 255, 255, 2];
        assert_eq!(Cursor::new("test", &above).uvarint().unwrap_err().why, "varint above 64 bits");
        let most = [255, 255, 255, 255, 255, 255, 255, 255, 255, 1];
        assert_eq!(Cursor::new("test", &most).uvarint(), Ok(u64::MAX));
        assert!(Cursor::new("test", &[255, 255, 255, 255, 127]).uvarint32().is_err());
    }

    #[test]
    fn a_run_longer_than_the_rest_is_refused_at_its_length() {
        let mut c = Cursor::new("test", &[200, 1, 7]);
        assert_eq!(c.uvarint_bytes().unwrap_err().at, 0);
    }
}
