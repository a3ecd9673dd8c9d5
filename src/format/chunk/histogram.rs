//! Reads native histograms one behind another, into the same buffers.

use super::Encoding;
use super::bits::{Bits, Field, unseen};
use super::header::{Header, Starts};
use super::layout::{FINEST_SCHEMA, take_bounds, take_schema, take_spans, take_threshold};
use super::native::Native;
use super::spans;
use super::varbit::take_int;
use crate::encoding::Malformed;
use crate::model::{CUSTOM_BUCKETS_SCHEMA, Millis, ResetHint, is_stale};

/// Bits that a sample takes at least: time, counts and sum.
const LEAST_BITS: usize = 4;

/// Reads a chunk of histograms; also the state that an appender goes on from.
#[derive(Clone, Debug)]
pub(super) struct NativeReader<'a, H: Native> {
    pub(super) bits: Bits<'a>,
    pub(super) samples: u32,
    pub(super) read: u32,
    /// What the chunk says of itself, which is not what is said of its first sample.
    pub(super) chunk_hint: ResetHint,
    pub(super) starts: Starts,
    /// Whether the encoding has start times at all.
    pub(super) has_starts: bool,
    pub(super) time: Millis,
    pub(super) step: i64,
    /// The last histogram as stored.
    pub(super) last: H,
    pub(super) coding: H::Coding,
    /// What is shown instead, for staleness markers and schemas finer than ours.
    aside: Option<Box<H>>,
}

impl<'a, H: Native> NativeReader<'a, H> {
    /// Starts before the first sample; `encoding` must be one of `H`, with or without start times.
    pub(super) fn new(encoding: Encoding, data: &'a [u8]) -> Result<Self, Malformed> {
        let header = Header::read(encoding, data)?;
        let bits = Bits::behind(data, header.len);
        bits.check_room(header.samples, LEAST_BITS)?;
        Ok(NativeReader {
            bits,
            samples: header.samples,
            read: 0,
            chunk_hint: header.hint,
            starts: header.starts,
            has_starts: matches!(encoding, Encoding::HistogramSt | Encoding::FloatHistogramSt),
            time: 0,
            step: 0,
            last: H::default(),
            coding: H::Coding::default(),
            aside: None,
        })
    }

    /// Moves to the next sample and prepares what is shown; `false` at the end. After an error it ends.
    pub(super) fn advance(&mut self) -> Result<bool, Malformed> {
        if !self.advance_as_stored()? {
            return Ok(false);
        }
        self.set_aside().inspect_err(|_| self.samples = self.read)?;
        Ok(true)
    }

    /// Moves to the next sample, which is then in `last`, at the schema it is stored in.
    pub(super) fn advance_as_stored(&mut self) -> Result<bool, Malformed> {
        self.advance_seen(unseen)
    }

    /// The same; `seen` hears of each field and the bit behind it.
    pub(super) fn advance_seen(&mut self, seen: impl FnMut(Field, usize)) -> Result<bool, Malformed> {
        if self.read >= self.samples {
            return Ok(false);
        }
        self.sample(seen).inspect_err(|_| self.samples = self.read)?;
        self.read += 1;
        Ok(true)
    }

    /// The histogram that [`NativeReader::advance`] moved to.
    pub(super) fn value(&self) -> &H {
        self.aside.as_deref().unwrap_or(&self.last)
    }

    fn sample(&mut self, mut seen: impl FnMut(Field, usize)) -> Result<(), Malformed> {
        let before = self.time;
        if self.read == 0 {
            self.take_layout(&mut seen)?;
            self.time = take_int(&mut self.bits);
            seen(Field::Time, self.bits.position());
            self.last.take_first(&mut self.coding, &mut self.bits, &mut seen);
        } else {
            self.step = self.step.wrapping_add(take_int(&mut self.bits));
            self.time = self.time.wrapping_add(self.step);
            seen(Field::Time, self.bits.position());
            self.last.take_next(&mut self.coding, &mut self.bits, &mut seen)?;
        }
        self.starts.take(&mut self.bits, self.read, self.time, before)?;
        seen(Field::Start, self.bits.position());
        self.bits.check()?;
        *self.last.view_mut().hint = match (self.chunk_hint, self.read) {
            (ResetHint::Gauge, _) => ResetHint::Gauge,
            // the chunk before may be gone, so that its own hint says nothing here
            (_, 0) => ResetHint::Unknown,
            _ => ResetHint::NotReset,
        };
        Ok(())
    }

    fn take_layout(&mut self, mut seen: impl FnMut(Field, usize)) -> Result<(), Malformed> {
        let bits = &mut self.bits;
        let last = self.last.view_mut();
        *last.zero_threshold = take_threshold(bits);
        seen(Field::ZeroThreshold, bits.position());
        *last.schema = take_schema(bits)?;
        seen(Field::Schema, bits.position());
        let mut all = 0usize;
        let sides = [Field::PositiveSpans, Field::NegativeSpans];
        for ((spans, buckets), side) in last.spans.into_iter().zip(last.buckets).zip(sides) {
            let count = take_spans(bits, spans)?;
            all = all.saturating_add(count);
            if all > bits.left() {
                return Err(bits.fail("more buckets than there can be"));
            }
            buckets.clear();
            buckets.resize(count, H::Bucket::default());
            seen(side, bits.position());
        }
        if *last.schema == CUSTOM_BUCKETS_SCHEMA {
            take_bounds(bits, last.bounds)?;
            seen(Field::Bounds, bits.position());
        }
        Ok(())
    }

    #[inline]
    fn set_aside(&mut self) -> Result<(), Malformed> {
        let last = self.last.view();
        if is_stale(last.sum) {
            self.aside = Some(Box::new(H::stale(last.sum)));
        } else if last.schema > FINEST_SCHEMA {
            let coarse = coarser(&self.last).ok_or_else(|| self.bits.fail("overlapping spans of a schema to be reduced"))?;
            self.aside = Some(Box::new(coarse));
        } else if self.aside.is_some() {
            self.aside = None;
        }
        Ok(())
    }
}

/// The same at [`FINEST_SCHEMA`]; `None` when buckets are out of order.
fn coarser<H: Native>(fine: &H) -> Option<H> {
    let mut coarse = fine.clone();
    let view = coarse.view_mut();
    let levels = (*view.schema - FINEST_SCHEMA) as u32;
    *view.schema = FINEST_SCHEMA;
    for (side, (spans, buckets)) in view.spans.into_iter().zip(view.buckets).enumerate() {
        let (old_spans, old_buckets) = (fine.view().spans[side], fine.view().buckets[side]);
        let mut absolute: Vec<H::Bucket> = Vec::with_capacity(old_buckets.len());
        let (mut end, mut before) = (None, None);
        spans.clear();
        for (index, count) in spans::indices(old_spans).zip(H::absolute(old_buckets)) {
            if before.replace(index).is_some_and(|before| before >= index) {
                return None;
            }
            // a bucket ends at its upper bound, so that index 0 is the last of its coarser one
            let target = ((index - 1) >> levels) + 1;
            match absolute.last_mut() {
                Some(last) if end == Some(target + 1) => *last = H::join(*last, count),
                _ => {
                    spans::push(spans, &mut end, target);
                    absolute.push(count);
                }
            }
        }
        *buckets = H::relative(absolute);
    }
    Some(coarse)
}
