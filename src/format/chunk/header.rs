//! What stands before the samples: counts, reset hints, and where start times begin.
//!
//! ```text
//! XOR                       u16 samples
//! XOR2                      u16 samples, starts
//! histogram, float          u16 samples, hint in the top two bits
//! histogram, float with ST  hint in the top two bits and 14 bits of samples, starts
//! ```
//! `starts`: top bit, the first sample has a start time; low seven, from which sample on all have
//! one (0: none).

use super::Encoding;
use super::bits::{Bits, PART};
use super::varbit;
use crate::encoding::Malformed;
use crate::model::{Millis, ResetHint};

/// Bytes before the samples of a histogram chunk.
pub(super) const HISTOGRAM_HEADER: usize = 3;
/// Bytes before the samples of an XOR chunk.
pub(super) const XOR_HEADER: usize = 2;
/// Where the hint of histogram chunks without start times stands.
pub(super) const HINT_BYTE: usize = 2;
/// Where start times are announced.
const STARTS_BYTE: usize = 2;
/// Samples that fit the 14 bits beside the hint.
const COUNT_BESIDE_HINT: u16 = 0x3fff;

/// The header of a chunk with samples (not of an aggregate).
#[derive(Clone, Copy, Debug)]
pub(super) struct Header {
    pub(super) samples: u32,
    /// What the chunk says of a reset before its first sample.
    pub(super) hint: ResetHint,
    pub(super) starts: Starts,
    /// Bytes of the header.
    pub(super) len: usize,
}

impl Header {
    /// Reads the header of any encoding but the aggregate's.
    pub(super) fn read(encoding: Encoding, data: &[u8]) -> Result<Header, Malformed> {
        let len = match encoding {
            Encoding::Xor => XOR_HEADER,
            Encoding::Aggregate => return Err(Malformed::new(PART, 0, "an aggregate has no samples of its own")),
            _ => HISTOGRAM_HEADER,
        };
        let header = data.get(..len).ok_or_else(|| Malformed::new(PART, data.len() as u64, "ends within its header"))?;
        let first = u16::from_be_bytes([header[0], header[1]]);
        let plain = Header { samples: first.into(), hint: ResetHint::Unknown, starts: Starts::default(), len };
        Ok(match encoding {
            Encoding::Xor | Encoding::Aggregate => plain,
            Encoding::Xor2 => Header { starts: Starts::new(header[STARTS_BYTE]), ..plain },
            Encoding::Histogram | Encoding::FloatHistogram => Header { hint: hint_of(header[HINT_BYTE]), ..plain },
            Encoding::HistogramSt | Encoding::FloatHistogramSt => Header {
                samples: (first & COUNT_BESIDE_HINT).into(),
                hint: hint_of(header[0]),
                starts: Starts::new(header[STARTS_BYTE]),
                len,
            },
        })
    }
}

/// The hint in the top two bits of `byte`.
fn hint_of(byte: u8) -> ResetHint {
    match byte >> 6 {
        0 => ResetHint::Unknown,
        1 => ResetHint::NotReset,
        2 => ResetHint::Reset,
        _ => ResetHint::Gauge,
    }
}

/// The two bits of a hint, on top of a byte.
pub(super) fn bits_of(hint: ResetHint) -> u8 {
    match hint {
        ResetHint::Unknown => 0,
        ResetHint::NotReset => 1 << 6,
        ResetHint::Reset => 2 << 6,
        ResetHint::Gauge => 3 << 6,
    }
}

/// Reads the start times that follow samples.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Starts {
    /// Whether the first sample has one.
    pub(super) first: bool,
    /// The sample from which on all have one; 0 for none.
    pub(super) from: u8,
    /// Since when the last sample counts; 0 where nothing is said.
    pub(super) start: Millis,
    /// From that start to the time of the sample before.
    ahead: i64,
}

impl Starts {
    fn new(byte: u8) -> Self {
        Starts { first: byte & 0x80 != 0, from: byte & 0x7f, start: 0, ahead: 0 }
    }

    /// Reads what follows sample `index` at `time`, whose predecessor was at `before`.
    #[inline]
    pub(super) fn take(&mut self, bits: &mut Bits<'_>, index: u32, time: Millis, before: Millis) -> Result<(), Malformed> {
        if index == 0 {
            if self.first {
                self.start = time.wrapping_sub(bits.varint()?);
            }
        } else if self.from > 0 && index >= u32::from(self.from) {
            let field = varbit::take_int(bits);
            self.ahead = if index == u32::from(self.from) { field } else { self.ahead.wrapping_add(field) };
            self.start = before.wrapping_sub(self.ahead);
        }
        Ok(())
    }
}
