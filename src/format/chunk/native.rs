//! Native histograms with integer and with float counts, as one kind of thing to the rest.
//!
//! Integers are stored as changes of steps (time, count, zero count, each bucket), the sum and all
//! of a float histogram as changed floats. Source: `tsdb/chunkenc/{histogram,float_histogram}.go`.

use std::fmt::Debug;

use super::Encoding;
use super::bits::{Bits, Field};
use super::spans::Insert;
use super::varbit::{put_int, put_uint, take_int, take_uint};
use super::window::Window;
use crate::encoding::{BitWriter, Malformed};
use crate::model::{BucketSpan, FloatHistogram, Histogram, ResetHint, is_stale};

/// The fields that both kinds have; sides are positive, negative.
pub struct View<'a, B> {
    pub(super) hint: ResetHint,
    pub(super) schema: i32,
    pub(super) zero_threshold: f64,
    pub(super) sum: f64,
    pub(super) spans: [&'a [BucketSpan]; 2],
    pub(super) buckets: [&'a [B]; 2],
    pub(super) bounds: &'a [f64],
}

/// The same, to be changed.
pub struct ViewMut<'a, B> {
    pub(super) hint: &'a mut ResetHint,
    pub(super) schema: &'a mut i32,
    pub(super) zero_threshold: &'a mut f64,
    pub(super) sum: &'a mut f64,
    pub(super) spans: [&'a mut Vec<BucketSpan>; 2],
    pub(super) buckets: [&'a mut Vec<B>; 2],
    pub(super) bounds: &'a mut Vec<f64>,
}

/// Why a histogram cannot follow the last one of a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// It is a counter, the chunk is of gauges.
    Gauge,
    /// The counter was reset.
    Reset,
    /// The last one is a staleness marker.
    Stale,
    /// Schema or threshold differ.
    Layout,
}

/// A native histogram of either kind, with what it takes to read and write one behind another.
pub trait Native: Clone + Default + Debug + PartialEq {
    /// A bucket as the histogram stores it.
    type Bucket: Copy + PartialOrd + Default + Debug;
    /// A number of observations.
    type Count: Copy + PartialOrd + Default + Debug;
    /// What a stream keeps between two histograms, besides the last one.
    type Coding: Clone + Default + Debug;

    /// The encoding that is written.
    const ENCODING: Encoding;

    /// The fields.
    fn view(&self) -> View<'_, Self::Bucket>;
    /// The fields, to be changed.
    fn view_mut(&mut self) -> ViewMut<'_, Self::Bucket>;
    /// Observations, and those in the zero bucket.
    fn counts(&self) -> (Self::Count, Self::Count);
    /// Buckets as absolute counts.
    fn absolute(buckets: &[Self::Bucket]) -> impl Iterator<Item = Self::Bucket>;
    /// Undoes [`Native::absolute`].
    fn relative(absolute: Vec<Self::Bucket>) -> Vec<Self::Bucket>;
    /// Two buckets become one.
    fn join(a: Self::Bucket, b: Self::Bucket) -> Self::Bucket;
    /// Buckets with empty ones inserted.
    fn widen(buckets: &[Self::Bucket], inserts: &[Insert]) -> Vec<Self::Bucket>;

    /// What a chunk says that was begun because of `cut` while appending.
    fn hint_of_cut(cut: Cut) -> ResetHint;
    /// What a chunk says that follows one to which its first sample could not be appended.
    fn hint_behind(cut: Cut) -> ResetHint;

    /// The first histogram's numbers; its buckets have their number already. `seen` hears of each
    /// field and the bit behind it.
    fn take_first(&mut self, coding: &mut Self::Coding, bits: &mut Bits<'_>, seen: impl FnMut(Field, usize));
    /// The next histogram's numbers over the last one's; `stale` ones have no buckets.
    ///
    /// # Errors
    /// [`Malformed`] when the bits mean nothing.
    fn take_next(
        &mut self,
        coding: &mut Self::Coding,
        bits: &mut Bits<'_>,
        seen: impl FnMut(Field, usize),
    ) -> Result<(), Malformed>;
    /// Writes what [`Native::take_first`] reads.
    fn put_first(&self, coding: &mut Self::Coding, out: &mut BitWriter);
    /// Writes what [`Native::take_next`] reads, and makes `self` the histogram `next`.
    fn put_next(&mut self, next: &Self, coding: &mut Self::Coding, out: &mut BitWriter);

    /// A histogram that says only that the series ends.
    fn stale(sum: f64) -> Self {
        let mut stale = Self::default();
        *stale.view_mut().sum = sum;
        stale
    }
}

const SIDES: [Field; 2] = [Field::PositiveBuckets, Field::NegativeBuckets];
const NUMBERS: [Field; 3] = [Field::Count, Field::ZeroCount, Field::Sum];

/// Both kinds have fields of the same names.
macro_rules! views {
    ($bucket:ty) => {
        fn view(&self) -> View<'_, $bucket> {
            View {
                hint: self.reset_hint,
                schema: self.schema,
                zero_threshold: self.zero_threshold,
                sum: self.sum,
                spans: [&self.positive_spans, &self.negative_spans],
                buckets: [&self.positive_buckets, &self.negative_buckets],
                bounds: &self.custom_values,
            }
        }

        fn view_mut(&mut self) -> ViewMut<'_, $bucket> {
            ViewMut {
                hint: &mut self.reset_hint,
                schema: &mut self.schema,
                zero_threshold: &mut self.zero_threshold,
                sum: &mut self.sum,
                spans: [&mut self.positive_spans, &mut self.negative_spans],
                buckets: [&mut self.positive_buckets, &mut self.negative_buckets],
                bounds: &mut self.custom_values,
            }
        }
    };
}

/// Steps of integers between the last two histograms.
#[derive(Clone, Debug, Default)]
pub struct IntCoding {
    count: i64,
    zero_count: i64,
    sum: Window,
    buckets: [Vec<i64>; 2],
}

impl Native for Histogram {
    type Bucket = i64;
    type Count = u64;
    type Coding = IntCoding;
    const ENCODING: Encoding = Encoding::Histogram;

    views!(i64);

    fn counts(&self) -> (u64, u64) {
        (self.count, self.zero_count)
    }

    fn absolute(buckets: &[i64]) -> impl Iterator<Item = i64> {
        buckets.iter().scan(0i64, |count, &delta| {
            *count = count.wrapping_add(delta);
            Some(*count)
        })
    }

    fn relative(mut absolute: Vec<i64>) -> Vec<i64> {
        let mut before = 0;
        for bucket in &mut absolute {
            before = std::mem::replace(bucket, bucket.wrapping_sub(before));
        }
        absolute
    }

    fn join(a: i64, b: i64) -> i64 {
        a.wrapping_add(b)
    }

    fn hint_of_cut(cut: Cut) -> ResetHint {
        match cut {
            Cut::Reset => ResetHint::Reset,
            Cut::Gauge => ResetHint::NotReset,
            Cut::Stale | Cut::Layout => ResetHint::Unknown,
        }
    }

    fn hint_behind(cut: Cut) -> ResetHint {
        Self::hint_of_cut(cut)
    }

    fn widen(buckets: &[i64], inserts: &[Insert]) -> Vec<i64> {
        let mut wide = Vec::with_capacity(buckets.len() + inserts.iter().map(|i| i.num).sum::<usize>());
        let mut inserts = inserts.iter().peekable();
        let mut count = 0i64;
        for (pos, &delta) in buckets.iter().enumerate() {
            if let Some(insert) = inserts.next_if(|i| i.pos == pos) {
                wide.push(count.wrapping_neg());
                wide.resize(wide.len() + insert.num - 1, 0);
                wide.push(delta.wrapping_add(count));
            } else {
                wide.push(delta);
            }
            count = count.wrapping_add(delta);
        }
        for insert in inserts {
            wide.push(count.wrapping_neg());
            wide.resize(wide.len() + insert.num - 1, 0);
            count = 0;
        }
        wide
    }

    fn take_first(&mut self, coding: &mut IntCoding, bits: &mut Bits<'_>, mut seen: impl FnMut(Field, usize)) {
        self.count = take_uint(bits);
        seen(Field::Count, bits.position());
        self.zero_count = take_uint(bits);
        seen(Field::ZeroCount, bits.position());
        self.sum = f64::from_bits(bits.take(64));
        seen(Field::Sum, bits.position());
        for ((buckets, steps), side) in self.view_mut().buckets.into_iter().zip(&mut coding.buckets).zip(SIDES) {
            buckets.fill_with(|| take_int(bits));
            steps.clear();
            steps.resize(buckets.len(), 0);
            seen(side, bits.position());
        }
    }

    fn take_next(
        &mut self,
        coding: &mut IntCoding,
        bits: &mut Bits<'_>,
        mut seen: impl FnMut(Field, usize),
    ) -> Result<(), Malformed> {
        coding.count = coding.count.wrapping_add(take_int(bits));
        self.count = self.count.wrapping_add_signed(coding.count);
        seen(Field::Count, bits.position());
        coding.zero_count = coding.zero_count.wrapping_add(take_int(bits));
        self.zero_count = self.zero_count.wrapping_add_signed(coding.zero_count);
        seen(Field::ZeroCount, bits.position());
        self.sum = f64::from_bits(coding.sum.take(bits, self.sum.to_bits())?);
        seen(Field::Sum, bits.position());
        if is_stale(self.sum) {
            return Ok(());
        }
        for ((buckets, steps), side) in self.view_mut().buckets.into_iter().zip(&mut coding.buckets).zip(SIDES) {
            // a position of its own stays in registers
            let mut at = *bits;
            for (bucket, step) in buckets.iter_mut().zip(steps) {
                *step = step.wrapping_add(take_int(&mut at));
                *bucket = bucket.wrapping_add(*step);
            }
            *bits = at;
            seen(side, bits.position());
        }
        Ok(())
    }

    fn put_first(&self, coding: &mut IntCoding, out: &mut BitWriter) {
        put_uint(out, self.count);
        put_uint(out, self.zero_count);
        out.bits(self.sum.to_bits(), 64);
        for (buckets, steps) in self.view().buckets.into_iter().zip(&mut coding.buckets) {
            buckets.iter().for_each(|&b| put_int(out, b));
            steps.clear();
            steps.resize(buckets.len(), 0);
        }
    }

    fn put_next(&mut self, next: &Histogram, coding: &mut IntCoding, out: &mut BitWriter) {
        let stale = is_stale(next.sum);
        for (last, now, step) in
            [(&mut self.count, next.count, &mut coding.count), (&mut self.zero_count, next.zero_count, &mut coding.zero_count)]
        {
            if stale {
                // only more of the same can follow, so that counts need not be kept
                put_int(out, 0);
                continue;
            }
            let change = now.wrapping_sub(*last) as i64;
            put_int(out, change.wrapping_sub(*step));
            (*last, *step) = (now, change);
        }
        coding.sum.put(out, self.sum.to_bits(), next.sum.to_bits());
        self.sum = next.sum;
        if stale {
            return;
        }
        for ((last, now), steps) in self.view_mut().buckets.into_iter().zip(next.view().buckets).zip(&mut coding.buckets) {
            for ((last, &now), step) in last.iter_mut().zip(now).zip(steps) {
                let change = now.wrapping_sub(*last);
                put_int(out, change.wrapping_sub(*step));
                (*last, *step) = (now, change);
            }
        }
    }
}

/// Windows of all the floats of a histogram.
#[derive(Clone, Debug, Default)]
pub struct FloatCoding {
    count: Window,
    zero_count: Window,
    sum: Window,
    buckets: [Vec<Window>; 2],
}

impl Native for FloatHistogram {
    type Bucket = f64;
    type Count = f64;
    type Coding = FloatCoding;
    const ENCODING: Encoding = Encoding::FloatHistogram;

    views!(f64);

    fn counts(&self) -> (f64, f64) {
        (self.count, self.zero_count)
    }

    fn absolute(buckets: &[f64]) -> impl Iterator<Item = f64> {
        buckets.iter().copied()
    }

    fn relative(absolute: Vec<f64>) -> Vec<f64> {
        absolute
    }

    fn join(a: f64, b: f64) -> f64 {
        a + b
    }

    fn hint_of_cut(cut: Cut) -> ResetHint {
        if cut == Cut::Reset { ResetHint::Reset } else { ResetHint::Unknown }
    }

    fn hint_behind(cut: Cut) -> ResetHint {
        if cut == Cut::Reset { ResetHint::Reset } else { ResetHint::NotReset }
    }

    fn widen(buckets: &[f64], inserts: &[Insert]) -> Vec<f64> {
        let mut wide = Vec::with_capacity(buckets.len() + inserts.iter().map(|i| i.num).sum::<usize>());
        let mut taken = 0;
        for insert in inserts {
            let pos = insert.pos.min(buckets.len());
            wide.extend_from_slice(&buckets[taken..pos]);
            wide.resize(wide.len() + insert.num, 0.0);
            taken = pos;
        }
        wide.extend_from_slice(&buckets[taken..]);
        wide
    }

    fn take_first(&mut self, coding: &mut FloatCoding, bits: &mut Bits<'_>, mut seen: impl FnMut(Field, usize)) {
        let numbers = [&mut self.count, &mut self.zero_count, &mut self.sum];
        for (float, field) in numbers.into_iter().zip(NUMBERS) {
            *float = f64::from_bits(bits.take(64));
            seen(field, bits.position());
        }
        for ((buckets, windows), side) in self.view_mut().buckets.into_iter().zip(&mut coding.buckets).zip(SIDES) {
            buckets.fill_with(|| f64::from_bits(bits.take(64)));
            windows.clear();
            windows.resize(buckets.len(), Window::default());
            seen(side, bits.position());
        }
    }

    fn take_next(
        &mut self,
        coding: &mut FloatCoding,
        bits: &mut Bits<'_>,
        mut seen: impl FnMut(Field, usize),
    ) -> Result<(), Malformed> {
        for (float, window, field) in [
            (&mut self.count, &mut coding.count, Field::Count),
            (&mut self.zero_count, &mut coding.zero_count, Field::ZeroCount),
            (&mut self.sum, &mut coding.sum, Field::Sum),
        ] {
            *float = f64::from_bits(window.take(bits, float.to_bits())?);
            seen(field, bits.position());
        }
        if is_stale(self.sum) {
            return Ok(());
        }
        for ((buckets, windows), side) in self.view_mut().buckets.into_iter().zip(&mut coding.buckets).zip(SIDES) {
            // a position of its own stays in registers
            let mut at = *bits;
            for (float, window) in buckets.iter_mut().zip(windows) {
                *float = f64::from_bits(window.take(&mut at, float.to_bits())?);
            }
            *bits = at;
            seen(side, bits.position());
        }
        Ok(())
    }

    fn put_first(&self, coding: &mut FloatCoding, out: &mut BitWriter) {
        for float in [self.count, self.zero_count, self.sum] {
            out.bits(float.to_bits(), 64);
        }
        for (buckets, windows) in self.view().buckets.into_iter().zip(&mut coding.buckets) {
            buckets.iter().for_each(|b| out.bits(b.to_bits(), 64));
            windows.clear();
            windows.resize(buckets.len(), Window::default());
        }
    }

    fn put_next(&mut self, next: &FloatHistogram, coding: &mut FloatCoding, out: &mut BitWriter) {
        for (last, now, window) in [
            (&mut self.count, next.count, &mut coding.count),
            (&mut self.zero_count, next.zero_count, &mut coding.zero_count),
            (&mut self.sum, next.sum, &mut coding.sum),
        ] {
            window.put(out, last.to_bits(), now.to_bits());
            *last = now;
        }
        for ((last, now), windows) in self.view_mut().buckets.into_iter().zip(next.view().buckets).zip(&mut coding.buckets) {
            for ((last, &now), window) in last.iter_mut().zip(now).zip(windows) {
                window.put(out, last.to_bits(), now.to_bits());
                *last = now;
            }
        }
    }
}
