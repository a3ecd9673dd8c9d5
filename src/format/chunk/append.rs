//! Appends native histograms, bit for bit as Prometheus 3.9.1 does.
//!
//! All histograms of a chunk share schema, threshold, bounds and buckets. A new one that has more
//! buckets makes the chunk be recoded with empty ones added; one that lacks buckets gets empty ones,
//! unless they held counts, which is a counter reset. A reset or another layout begins a new chunk.
//! Gauges have no resets. After a staleness marker only such can follow. Source: `AppendHistogram`
//! and `AppendFloatHistogram` in `tsdb/chunkenc`.

use std::fmt;

use super::Encoding;
use super::header::{HINT_BYTE, HISTOGRAM_HEADER, bits_of};
use super::histogram::NativeReader;
use super::layout::{is_readable, put_bounds, put_spans, put_threshold};
use super::native::{Cut, Native};
use super::spans::{self, Difference, Insert};
use super::varbit::put_int;
use super::xor::writer_behind;
use crate::encoding::{BitWriter, Malformed};
use crate::model::{CUSTOM_BUCKETS_SCHEMA, FloatHistogram, Histogram, Millis, ResetHint, is_stale};

/// A chunk of integer histograms that grows; its bytes are a whole chunk after every sample.
pub type HistogramAppender = NativeAppender<Histogram>;

/// A chunk of float histograms that grows; its bytes are a whole chunk after every sample.
pub type FloatHistogramAppender = NativeAppender<FloatHistogram>;

/// What may be done for a histogram that does not fit the chunk as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Nothing: the chunk stays and the histogram is refused (upstream's `appendOnly`). A counter
    /// may still be given empty buckets that the chunk has.
    AppendOnly,
    /// The chunk may be recoded, or a new one begun.
    MayCut,
}

/// What was done with a histogram.
#[derive(Debug)]
pub enum Appended<A> {
    /// It was added to the chunk.
    Same,
    /// The chunk was recoded in place with more buckets, then it was added.
    Recoded,
    /// The chunk is complete without it; it is the first of this one.
    NewChunk(A),
}

/// Why a histogram was not appended; the chunk is as before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// The counter was reset, and no new chunk is allowed.
    CounterReset,
    /// Schema, threshold, bounds or kind differ, or the last one was stale, and no new chunk is allowed.
    OtherLayout,
    /// It has other buckets, and no recoding is allowed.
    OtherBuckets,
    /// It has not as many buckets as its spans say, or a schema that nobody knows.
    Inconsistent,
    /// The chunk has 65 535 samples.
    Full,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Refused::CounterReset => "histogram counter reset within a chunk",
            Refused::OtherLayout => "histogram schema change within a chunk",
            Refused::OtherBuckets => "histogram bucket change within a chunk",
            Refused::Inconsistent => "histogram with other buckets than its spans say, or an unknown schema",
            Refused::Full => "histogram chunk with 65535 samples",
        })
    }
}

impl std::error::Error for Refused {}

/// A chunk of native histograms that grows; see [`HistogramAppender`], [`FloatHistogramAppender`].
#[derive(Clone, Debug)]
pub struct NativeAppender<H: Native> {
    out: BitWriter,
    count: u16,
    hint: ResetHint,
    time: Millis,
    step: i64,
    /// The layout and the last histogram.
    last: H,
    coding: H::Coding,
}

impl<H: Native> NativeAppender<H> {
    /// The encoding of the chunk.
    pub const ENCODING: Encoding = H::ENCODING;

    /// A chunk without samples.
    pub fn new() -> Self {
        NativeAppender {
            out: BitWriter::reopen(vec![0; HISTOGRAM_HEADER], 0),
            count: 0,
            hint: ResetHint::Unknown,
            time: 0,
            step: 0,
            last: H::default(),
            coding: H::Coding::default(),
        }
    }

    /// Goes on behind the last sample of a chunk, as if it had never been closed.
    ///
    /// # Errors
    /// [`Malformed`] when the chunk does not decode, or has bytes behind its last sample.
    pub fn reopen(data: &[u8]) -> Result<Self, Malformed> {
        let mut reader = NativeReader::<H>::new(H::ENCODING, data)?;
        while reader.advance_as_stored()? {}
        let out = writer_behind(data, reader.bits.left())?;
        let NativeReader { read, chunk_hint, time, step, last, coding, .. } = reader;
        Ok(NativeAppender { out, count: read as u16, hint: chunk_hint, time, step, last, coding })
    }

    /// Appends a histogram.
    ///
    /// `before` is the chunk that this one continues, if any; it is asked only for the first sample,
    /// whether the counter was reset in between, which the new chunk's header then says.
    ///
    /// # Errors
    /// [`Refused`]; the chunk is as before.
    pub fn append(&mut self, time: Millis, histogram: &H, before: Option<&Self>, mode: Mode) -> Result<Appended<Self>, Refused> {
        let new = histogram.view();
        let fits = |side: usize| spans::count(new.spans[side]) == new.buckets[side].len() as u64;
        if !(is_stale(new.sum) || fits(0) && fits(1) && is_readable(new.schema.into())) {
            return Err(Refused::Inconsistent);
        }
        match (self.count, new.hint) {
            (0, hint) => {
                self.put(time, histogram);
                match (hint, before) {
                    (ResetHint::Gauge | ResetHint::Reset, _) => self.set_hint(hint),
                    (_, Some(before)) => self.set_hint(match before.compare_counter(histogram) {
                        Ok(_) => ResetHint::NotReset,
                        Err(cut) => H::hint_behind(cut),
                    }),
                    _ => {}
                }
                Ok(Appended::Same)
            }
            (u16::MAX, _) => Err(Refused::Full),
            (_, ResetHint::Gauge) => self.append_gauge(time, histogram, mode),
            _ => self.append_counter(time, histogram, mode),
        }
    }

    /// Samples in the chunk.
    pub fn count(&self) -> u32 {
        self.count.into()
    }

    /// What the chunk's header says of a reset before its first sample.
    pub fn hint(&self) -> ResetHint {
        self.hint
    }

    /// The time of the last sample, if there is one.
    pub fn last_time(&self) -> Option<Millis> {
        (self.count > 0).then_some(self.time)
    }

    /// The chunk so far, without its encoding byte.
    pub fn bytes(&self) -> &[u8] {
        self.out.bytes()
    }

    /// The chunk, without its encoding byte.
    pub fn into_bytes(self) -> Vec<u8> {
        self.out.into_bytes()
    }

    fn append_counter(&mut self, time: Millis, histogram: &H, mode: Mode) -> Result<Appended<Self>, Refused> {
        let [positive, negative] = match self.compare_counter(histogram) {
            Ok(differences) => differences,
            Err(cut) if mode == Mode::AppendOnly => {
                return Err(if cut == Cut::Reset { Refused::CounterReset } else { Refused::OtherLayout });
            }
            Err(cut) => return Ok(self.cut(H::hint_of_cut(cut), time, histogram)),
        };
        let forward = !(positive.forward.is_empty() && negative.forward.is_empty());
        if forward && mode == Mode::AppendOnly {
            return Err(Refused::OtherBuckets);
        }
        if positive.backward.is_empty() && negative.backward.is_empty() {
            return Ok(self.add(time, histogram, [&positive.forward, &negative.forward]));
        }
        let mut wide = histogram.clone();
        let view = wide.view_mut();
        let chunk = self.last.view().spans;
        for (side, ((spans, buckets), difference)) in
            view.spans.into_iter().zip(view.buckets).zip([&positive, &negative]).enumerate()
        {
            if !forward {
                // the chunk has all the buckets, in spans that may be cut otherwise than ours
                spans.clear();
                spans.extend_from_slice(chunk[side]);
            } else if !difference.backward.is_empty() {
                spans.clone_from(&difference.merged);
            }
            widen_to_spans::<H>(buckets, &difference.backward, spans::count(spans));
        }
        Ok(self.add(time, &wide, [&positive.forward, &negative.forward]))
    }

    fn append_gauge(&mut self, time: Millis, histogram: &H, mode: Mode) -> Result<Appended<Self>, Refused> {
        let Some([positive, negative]) = self.compare_gauge(histogram) else {
            return match mode {
                Mode::AppendOnly => Err(Refused::OtherLayout),
                Mode::MayCut => Ok(self.cut(ResetHint::Gauge, time, histogram)),
            };
        };
        let differ = [&positive.forward, &negative.forward, &positive.backward, &negative.backward];
        if mode == Mode::AppendOnly && differ.iter().any(|inserts| !inserts.is_empty()) {
            return Err(Refused::OtherBuckets);
        }
        let forward = [&positive.forward[..], &negative.forward[..]];
        if positive.backward.is_empty() && negative.backward.is_empty() {
            return Ok(self.add(time, histogram, forward));
        }
        let mut wide = histogram.clone();
        let view = wide.view_mut();
        for ((spans, buckets), difference) in view.spans.into_iter().zip(view.buckets).zip([&positive, &negative]) {
            spans.clone_from(&difference.merged);
            widen_to_spans::<H>(buckets, &difference.backward, spans::count(spans));
        }
        Ok(self.add(time, &wide, forward))
    }

    /// Whether a counter can follow, and how the buckets differ.
    fn compare_counter(&self, histogram: &H) -> Result<[Difference; 2], Cut> {
        let (new, last) = (histogram.view(), self.last.view());
        if self.count > 0 && self.hint == ResetHint::Gauge {
            return Err(Cut::Gauge);
        }
        if new.hint == ResetHint::Reset {
            return Err(Cut::Reset);
        }
        if is_stale(new.sum) {
            return Ok(Default::default());
        }
        if is_stale(last.sum) {
            return Err(Cut::Stale);
        }
        let ((new_count, new_zero), (count, zero)) = (histogram.counts(), self.last.counts());
        if new_count < count {
            return Err(Cut::Reset);
        }
        if new.schema != last.schema || new.zero_threshold != last.zero_threshold {
            return Err(Cut::Layout);
        }
        if self.other_bounds(histogram) || new_zero < zero {
            return Err(Cut::Reset);
        }
        let empty = H::Bucket::default();
        // NaN as upstream has it: no reset where both have it, one where the new layout lacks it
        let lost = |old: Option<H::Bucket>, new: Option<H::Bucket>| match (old, new) {
            (Some(old), Some(new)) => old > new,
            (Some(old), None) => old != empty,
            (None, _) => false,
        };
        let side = |side: usize| {
            let buckets = |spans, buckets| spans::indices(spans).zip(H::absolute(buckets));
            let old = buckets(last.spans[side], last.buckets[side]);
            let new = buckets(new.spans[side], new.buckets[side]);
            spans::difference(old, new, lost).ok_or(Cut::Reset)
        };
        Ok([side(0)?, side(1)?])
    }

    /// Whether a gauge can follow, and how the buckets differ.
    fn compare_gauge(&self, histogram: &H) -> Option<[Difference; 2]> {
        let (new, last) = (histogram.view(), self.last.view());
        if self.count > 0 && self.hint != ResetHint::Gauge {
            return None;
        }
        if is_stale(new.sum) {
            return Some(Default::default());
        }
        let other = new.schema != last.schema || new.zero_threshold != last.zero_threshold;
        if is_stale(last.sum) || other || self.other_bounds(histogram) {
            return None;
        }
        let side = |side: usize| {
            let buckets = |spans| spans::indices(spans).map(|i| (i, ()));
            spans::difference(buckets(last.spans[side]), buckets(new.spans[side]), |_, _| false)
        };
        Some([side(0)?, side(1)?])
    }

    fn other_bounds(&self, histogram: &H) -> bool {
        let new = histogram.view();
        new.schema == CUSTOM_BUCKETS_SCHEMA && new.bounds != self.last.view().bounds
    }

    /// A new chunk with `histogram` as its first sample.
    fn cut(&self, hint: ResetHint, time: Millis, histogram: &H) -> Appended<Self> {
        let mut next = NativeAppender::new();
        next.set_hint(hint);
        next.put(time, histogram);
        Appended::NewChunk(next)
    }

    /// Adds `histogram`, which has all buckets, after recoding for those that the chunk lacks.
    fn add(&mut self, time: Millis, histogram: &H, lacking: [&[Insert]; 2]) -> Appended<Self> {
        if lacking.iter().all(|inserts| inserts.is_empty()) {
            self.put(time, histogram);
            return Appended::Same;
        }
        self.recode(histogram, lacking);
        self.put(time, histogram);
        Appended::Recoded
    }

    /// Writes the chunk anew with the spans of `wide`.
    fn recode(&mut self, wide: &H, lacking: [&[Insert]; 2]) {
        let bytes = self.out.bytes();
        let mut again = NativeAppender::<H>::new();
        let mut reader = NativeReader::<H>::new(H::ENCODING, bytes).expect("a header that was written here");
        while reader.advance_as_stored().expect("samples that were written or read before") {
            let mut histogram = reader.last.clone();
            let view = histogram.view_mut();
            for (side, (spans, buckets)) in view.spans.into_iter().zip(view.buckets).enumerate() {
                spans.clear();
                spans.extend_from_slice(wide.view().spans[side]);
                widen_to_spans::<H>(buckets, lacking[side], spans::count(spans));
            }
            again.put(reader.time, &histogram);
        }
        again.set_hint(self.hint);
        *self = again;
    }

    /// Writes a histogram that has the chunk's buckets.
    fn put(&mut self, time: Millis, histogram: &H) {
        let stale;
        let mut histogram = histogram;
        let sum = histogram.view().sum;
        if is_stale(sum) {
            stale = H::stale(sum);
            histogram = &stale;
        }
        if self.count == 0 {
            let view = histogram.view();
            put_threshold(&mut self.out, view.zero_threshold);
            put_int(&mut self.out, view.schema.into());
            view.spans.iter().for_each(|spans| put_spans(&mut self.out, spans));
            if view.schema == CUSTOM_BUCKETS_SCHEMA {
                put_bounds(&mut self.out, view.bounds);
            }
            put_int(&mut self.out, time);
            histogram.put_first(&mut self.coding, &mut self.out);
            self.last.clone_from(histogram);
        } else {
            let step = time.wrapping_sub(self.time);
            put_int(&mut self.out, step.wrapping_sub(self.step));
            self.step = step;
            self.last.put_next(histogram, &mut self.coding, &mut self.out);
        }
        self.time = time;
        self.count += 1;
        self.out.bytes_mut()[..HINT_BYTE].copy_from_slice(&self.count.to_be_bytes());
    }

    fn set_hint(&mut self, hint: ResetHint) {
        self.hint = hint;
        let flags = &mut self.out.bytes_mut()[HINT_BYTE];
        *flags = (*flags & 0x3f) | bits_of(hint);
    }
}

impl<H: Native> Default for NativeAppender<H> {
    fn default() -> Self {
        NativeAppender::new()
    }
}

/// Inserts empty buckets; there are `all` in the end.
fn widen_to_spans<H: Native>(buckets: &mut Vec<H::Bucket>, inserts: &[Insert], all: u64) {
    if !inserts.is_empty() {
        *buckets = H::widen(buckets, inserts);
    }
    debug_assert_eq!(buckets.len() as u64, all);
}
