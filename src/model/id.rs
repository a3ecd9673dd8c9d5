//! Block ids: ULIDs, the name of a block's folder.

use std::fmt;
use std::str::FromStr;

use super::Millis;

/// A ULID: 48 bits of creation time in milliseconds, then 80 bits of chance.
///
/// *Order*: by creation time, which is also the order of the text.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BlockId(u128);

/// Why a text is no block id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotABlockId;

impl fmt::Display for NotABlockId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a ULID of 26 characters in Crockford base 32")
    }
}

impl std::error::Error for NotABlockId {}

impl BlockId {
    /// All zeros: what Go has where no id was given.
    pub const ZERO: BlockId = BlockId(0);

    /// From a creation time and 80 bits of chance, both passed in so that a run can be repeated.
    pub fn from_parts(created: Millis, chance: u128) -> Self {
        let time = (created.clamp(0, (1 << 48) - 1) as u128) << 80;
        BlockId(time | (chance & ((1 << 80) - 1)))
    }

    /// When the block was made.
    pub fn created(self) -> Millis {
        (self.0 >> 80) as i64
    }

    /// The id as a number.
    pub fn as_u128(self) -> u128 {
        self.0
    }
}

impl FromStr for BlockId {
    type Err = NotABlockId;

    fn from_str(text: &str) -> Result<Self, NotABlockId> {
        // the library takes any first character and drops what overflows
        if text.len() != 26 || text.as_bytes()[0] > b'7' {
            return Err(NotABlockId);
        }
        ulid::Ulid::from_string(text).map(|u| BlockId(u.0)).map_err(|_| NotABlockId)
    }
}

impl fmt::Display for BlockId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = [0u8; ulid::ULID_LEN];
        f.pad(ulid::Ulid(self.0).array_to_str(&mut text))
    }
}

impl fmt::Debug for BlockId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl serde::Serialize for BlockId {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for BlockId {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(d)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_both_ways() {
        let id: BlockId = "01KE5Y5QV0Q3WQ6VJCPD7H1QEV".parse().unwrap();
        assert_eq!(id.to_string(), "01KE5Y5QV0Q3WQ6VJCPD7H1QEV");
        assert_eq!(id.created(), 1_767_578_460_000);
        assert_eq!(BlockId::from_parts(id.created(), id.as_u128()), id);
    }

    #[test]
    fn what_is_no_id() {
        for text in ["", "debug", "8ZZZZZZZZZZZZZZZZZZZZZZZZZ", "01KE5Y5QV0Q3WQ6VJCPD7H1QE", "01KE5Y5QV0Q3WQ6VJCPD7H1QEU"] {
            assert_eq!(text.parse::<BlockId>(), Err(NotABlockId), "{text}");
        }
    }
}
