//! Downsampling: the samples of each five minutes, and of each hour, become counts, sums, least and
//! greatest values, and counters without resets.
//!
//! A series comes as chunks in order, and leaves as aggregate chunks. A change between floats and
//! histograms ends a run; each run becomes chunks of about 140 windows. An hour is made of the windows of
//! five minutes, whole chunks at a time, whether they were read from a block or made just now.
//!
//! *Order*: as the chunks come; chunks that overlap are an error.
//! *Memory*: the samples of one series.
//! *Source*: `pkg/compact/downsample/downsample.go` of Thanos, to the byte where it has a result.

mod chunks;
mod coarse;
mod exercise;
mod float;
mod native;
#[cfg(test)]
mod properties;
mod raw;
mod slots;
#[cfg(test)]
mod tables;
mod window;
mod without;

use crate::format::Malformed;
use crate::format::chunk::{Aggregate, AggregateKind, Encoding, sample_count};
use crate::model::Millis;

use chunks::FloatEncoder;
pub use chunks::{AggregateChunk, AggregateChunks};
use coarse::Coarse;
#[doc(hidden)]
pub use exercise::exercise;
use native::NativeRun;
use raw::FloatRun;
use slots::{SLOTS, Slots};
use window::chunk_count;
pub use without::without_windows;

/// The finer of both resolutions.
pub const FIVE_MINUTES: Millis = 300_000;
/// The coarser of both resolutions.
pub const ONE_HOUR: Millis = 3_600_000;

/// The part that errors name.
const PART: &str = "chunk";

/// Downsamples one series after another; buffers are reused.
///
/// After an error the series is forgotten, and the next can be begun.
#[derive(Clone, Debug)]
pub struct Downsampler {
    /// Both resolutions: other than the constants only where a test says so.
    fine: Millis,
    coarse: Millis,
    /// Of the chunks of this series; `None` before the first.
    resolution: Option<Millis>,
    last_time: Option<Millis>,
    floats: FloatRun,
    natives: NativeRun,
    /// Windows of the finer resolution: of floats as columns, of histograms as chunks.
    fine_floats: Slots,
    fine_natives: AggregateChunks,
    fine_chunks: Vec<Fine>,
    /// Where the columns of each chunk end in `fine_floats`, behind a first place where none does.
    fine_ends: Vec<[usize; SLOTS]>,
    hours: Coarse,
    encoder: FloatEncoder,
}

/// A chunk of the finer resolution; its bytes begin where those of the chunk before end.
#[derive(Clone, Copy, Debug)]
struct Fine {
    is_native: bool,
    min_time: Millis,
    max_time: Millis,
    samples: u32,
    /// End in the bytes of `fine_natives`.
    native_end: usize,
}

impl Default for Downsampler {
    fn default() -> Self {
        Downsampler::between(FIVE_MINUTES, ONE_HOUR)
    }
}

impl Downsampler {
    /// A downsampler of five minutes and one hour.
    pub fn new() -> Self {
        Downsampler::default()
    }

    /// The same at any two resolutions.
    fn between(fine: Millis, coarse: Millis) -> Self {
        Downsampler {
            fine,
            coarse,
            resolution: None,
            last_time: None,
            floats: FloatRun::default(),
            natives: NativeRun::default(),
            fine_floats: Slots::default(),
            fine_natives: AggregateChunks::default(),
            fine_chunks: Vec::new(),
            fine_ends: vec![[0; SLOTS]],
            hours: Coarse::default(),
            encoder: FloatEncoder::default(),
        }
    }

    /// Takes the next chunk of the series, as it lies in a block of this resolution: 0 for raw ones, or
    /// [`FIVE_MINUTES`]. Raw chunks in a block of five minutes are aggregated each by itself, empty ones
    /// are left out.
    ///
    /// # Errors
    /// [`Malformed`] when the chunk begins before the last one ends or does not decode, when an
    /// aggregate is among raw chunks or mixes floats and histograms, and for any other resolution.
    pub fn push(
        &mut self,
        resolution: Millis,
        encoding: Encoding,
        data: &[u8],
        min_time: Millis,
        max_time: Millis,
    ) -> Result<(), Malformed> {
        let done = self.take(resolution, encoding, data, (min_time, max_time));
        if done.is_err() {
            self.clear();
        }
        done
    }

    /// Ends the series: appends its chunks of five minutes and of an hour where they are asked for.
    /// Chunks of an hour are the same whether the windows of five minutes are written too or not.
    ///
    /// # Errors
    /// [`Malformed`] when five minutes are asked for of what has this resolution already, and when an
    /// aggregate does not fit its chunk; both lists are then as before.
    pub fn finish(
        &mut self,
        mut five: Option<&mut AggregateChunks>,
        mut hour: Option<&mut AggregateChunks>,
    ) -> Result<(), Malformed> {
        let lens = |list: &Option<&mut AggregateChunks>| list.as_ref().map_or((0, 0), |l| (l.bytes.len(), l.chunks.len()));
        let before = (lens(&five), lens(&hour));
        let done = self.end(five.as_deref_mut(), hour.as_deref_mut());
        if done.is_err() {
            for (list, (bytes, chunks)) in [(five, before.0), (hour, before.1)] {
                if let Some(list) = list {
                    list.bytes.truncate(bytes);
                    list.chunks.truncate(chunks);
                }
            }
        }
        self.clear();
        done
    }

    fn clear(&mut self) {
        (self.resolution, self.last_time) = (None, None);
        self.floats.clear();
        self.natives.clear();
        self.fine_floats.clear();
        self.fine_natives.clear();
        self.fine_chunks.clear();
        self.fine_ends.truncate(1);
    }

    fn take(&mut self, resolution: Millis, encoding: Encoding, data: &[u8], range: (Millis, Millis)) -> Result<(), Malformed> {
        if *self.resolution.get_or_insert(resolution) != resolution || (resolution != 0 && resolution != self.fine) {
            return Err(Malformed::new(PART, 0, format!("chunks of a resolution of {resolution} ms are not downsampled")));
        }
        if self.last_time.is_some_and(|last| last >= range.0) {
            return Err(Malformed::new(PART, 0, "begins before the chunk before it ends"));
        }
        self.last_time = Some(range.1);
        if resolution == 0 {
            return self.raw(encoding, data, range);
        }
        if encoding == Encoding::Aggregate {
            return self.aggregate(data, range);
        }
        if sample_count(encoding, data)? > 0 {
            self.raw(encoding, data, range)?;
            self.end_run()?;
        }
        Ok(())
    }

    /// Takes a raw chunk into the run it belongs to.
    fn raw(&mut self, encoding: Encoding, data: &[u8], range: (Millis, Millis)) -> Result<(), Malformed> {
        match encoding {
            Encoding::Aggregate => Err(Malformed::new(PART, 0, "an aggregate among raw chunks")),
            Encoding::Xor | Encoding::Xor2 => {
                if !self.natives.is_empty() {
                    self.end_run()?;
                }
                self.floats.push(encoding, data)
            }
            _ => {
                if !self.floats.is_empty() {
                    self.end_run()?;
                }
                self.natives.push(encoding, data, range)
            }
        }
    }

    /// Makes the windows of the run that is open, if one is.
    fn end_run(&mut self) -> Result<(), Malformed> {
        let Downsampler { floats, natives, fine_floats, fine_natives, fine_chunks, fine_ends, fine, .. } = self;
        if !floats.is_empty() {
            let native_end = fine_natives.bytes.len();
            let mut begin = fine_floats.0[AggregateKind::Count as usize].len();
            floats.windows(*fine, fine_floats, |slots| {
                let times = &slots.0[AggregateKind::Count as usize].times[begin..];
                let (min_time, max_time) = times.iter().fold((Millis::MAX, Millis::MIN), |r, &t| (r.0.min(t), r.1.max(t)));
                let samples = times.len() as u32;
                begin += times.len();
                fine_chunks.push(Fine { is_native: false, min_time, max_time, samples, native_end });
                fine_ends.push(slots.ends());
            });
            floats.clear();
        }
        if !natives.is_empty() {
            let known = fine_natives.chunks.len();
            let mut native_end = fine_natives.bytes.len();
            natives.windows(*fine, fine_natives)?;
            for &AggregateChunk { min_time, max_time, len_bytes, samples } in &fine_natives.chunks[known..] {
                native_end += len_bytes as usize;
                fine_chunks.push(Fine { is_native: true, min_time, max_time, samples, native_end });
                fine_ends.push(fine_floats.ends());
            }
            natives.clear();
        }
        Ok(())
    }

    /// Takes a chunk that is aggregated already.
    fn aggregate(&mut self, data: &[u8], (min_time, max_time): (Millis, Millis)) -> Result<(), Malformed> {
        let aggregate = Aggregate::parse(data)?;
        let is_native = aggregate
            .get(AggregateKind::Counter)
            .is_some_and(|(encoding, _)| !matches!(encoding, Encoding::Xor | Encoding::Xor2));
        let samples = sample_count(Encoding::Aggregate, data)?;
        if is_native {
            let from = self.fine_natives.bytes.len();
            self.fine_natives.bytes.extend_from_slice(data);
            self.fine_natives.close(from, (min_time, max_time), samples)?;
        } else {
            self.fine_floats.decode(&aggregate)?;
        }
        let native_end = self.fine_natives.bytes.len();
        self.fine_chunks.push(Fine { is_native, min_time, max_time, samples, native_end });
        self.fine_ends.push(self.fine_floats.ends());
        Ok(())
    }

    fn end(&mut self, five: Option<&mut AggregateChunks>, hour: Option<&mut AggregateChunks>) -> Result<(), Malformed> {
        self.end_run()?;
        if let Some(five) = five {
            if self.resolution == Some(self.fine) {
                return Err(Malformed::new(PART, 0, "windows of five minutes are made of raw samples only"));
            }
            self.write_fine(five)?;
        }
        if let Some(hour) = hour {
            self.write_coarse(hour)?;
        }
        Ok(())
    }

    /// Encodes the chunks of the finer resolution.
    fn write_fine(&mut self, out: &mut AggregateChunks) -> Result<(), Malformed> {
        let mut native_end = 0;
        for (chunk, ends) in self.fine_chunks.iter().zip(self.fine_ends.windows(2)) {
            let range = (chunk.min_time, chunk.max_time);
            if chunk.is_native {
                let from = out.bytes.len();
                out.bytes.extend_from_slice(&self.fine_natives.bytes[native_end..chunk.native_end]);
                out.close(from, range, chunk.samples)?;
            } else {
                self.encoder.chunk(self.fine_floats.columns(ends[0], ends[1]), range, out)?;
            }
            native_end = chunk.native_end;
        }
        Ok(())
    }

    /// Aggregates the chunks of the finer resolution, those of one kind that follow one another together.
    fn write_coarse(&mut self, out: &mut AggregateChunks) -> Result<(), Malformed> {
        let Downsampler { fine, coarse, natives, fine_floats, fine_natives, fine_chunks, fine_ends, hours, encoder, .. } = self;
        let (mut at, mut native_end) = (0, 0);
        for run in fine_chunks.chunk_by(|a, b| a.is_native == b.is_native) {
            let range = (run[0].min_time, run[run.len() - 1].max_time);
            let samples = run.iter().map(|chunk| chunk.samples as usize).sum();
            // upstream's division can leave nothing for a chunk, and then never ends
            let len = (run.len() / chunk_count(range, *fine, *coarse, samples)).max(1);
            for batch in run.chunks(len) {
                let ends = &fine_ends[at..=at + batch.len()];
                at += batch.len();
                if run[0].is_native {
                    let parsed = batch.iter().map(|chunk| {
                        let data = &fine_natives.bytes[native_end..chunk.native_end];
                        native_end = chunk.native_end;
                        Aggregate::parse(data)
                    });
                    let parsed: Vec<_> = parsed.collect::<Result<_, _>>()?;
                    natives.coarser(&parsed, *coarse, out)?;
                } else if let Some(range) = hours.chunk(fine_floats, ends, *coarse) {
                    encoder.chunk(hours.out.columns([0; SLOTS], hours.out.ends()), range, out)?;
                }
            }
        }
        Ok(())
    }
}
