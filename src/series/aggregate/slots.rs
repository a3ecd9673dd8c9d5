//! The five aggregates of floats as columns, chunk behind chunk.

use std::ops::Range;

use crate::format::Malformed;
use crate::format::chunk::{Aggregate, AggregateKind, Encoding, decode_floats};
use crate::model::Millis;

/// Aggregates of a chunk.
pub(super) const SLOTS: usize = AggregateKind::ALL.len();

/// Samples of one aggregate.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Column<'a> {
    pub(super) times: &'a [Millis],
    pub(super) values: &'a [f64],
}

/// Samples of one aggregate, chunk behind chunk.
#[derive(Clone, Debug, Default)]
pub(super) struct Slot {
    pub(super) times: Vec<Millis>,
    pub(super) values: Vec<f64>,
}

impl Slot {
    /// Appends samples whose number is known, which is much faster than one by one.
    #[inline]
    pub(super) fn extend(&mut self, times: impl ExactSizeIterator<Item = Millis>, values: impl ExactSizeIterator<Item = f64>) {
        self.times.extend(times);
        self.values.extend(values);
    }

    #[inline]
    pub(super) fn push(&mut self, time: Millis, value: f64) {
        self.times.push(time);
        self.values.push(value);
    }

    pub(super) fn clear(&mut self) {
        self.truncate(0);
    }

    fn truncate(&mut self, len: usize) {
        self.times.truncate(len);
        self.values.truncate(len);
    }

    pub(super) fn len(&self) -> usize {
        self.times.len()
    }

    pub(super) fn column(&self, range: Range<usize>) -> Column<'_> {
        Column { times: &self.times[range.clone()], values: &self.values[range] }
    }
}

/// All five aggregates, in the order of [`AggregateKind::ALL`].
#[derive(Clone, Debug, Default)]
pub(super) struct Slots(pub(super) [Slot; SLOTS]);

impl Slots {
    /// How far each aggregate reaches.
    pub(super) fn ends(&self) -> [usize; SLOTS] {
        std::array::from_fn(|i| self.0[i].len())
    }

    /// What lies between two such.
    pub(super) fn columns(&self, from: [usize; SLOTS], to: [usize; SLOTS]) -> [Column<'_>; SLOTS] {
        std::array::from_fn(|i| self.0[i].column(from[i]..to[i]))
    }

    pub(super) fn clear(&mut self) {
        self.truncate([0; SLOTS]);
    }

    fn truncate(&mut self, ends: [usize; SLOTS]) {
        self.0.iter_mut().zip(ends).for_each(|(slot, end)| slot.truncate(end));
    }

    /// Decodes an aggregate of floats behind what is there.
    pub(super) fn decode(&mut self, aggregate: &Aggregate<'_>) -> Result<(), Malformed> {
        let before = self.ends();
        let mut starts = Vec::new();
        for (kind, encoding, data) in aggregate.iter() {
            let slot = &mut self.0[kind as usize];
            if !matches!(encoding, Encoding::Xor | Encoding::Xor2) {
                self.truncate(before);
                return Err(Malformed::new("chunk", 0, format!("{kind} of encoding {encoding} among aggregates of floats")));
            }
            if let Err(e) = decode_floats(encoding, data, &mut slot.times, &mut starts, &mut slot.values) {
                self.truncate(before);
                return Err(e);
            }
        }
        Ok(())
    }
}
