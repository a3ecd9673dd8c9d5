//! Health of an index as Thanos counts it: pure counting over decoded series.
//!
//! *Order*: series in order of the list of all series; parts counted apart are joined in that order,
//! and the result is that of one count over all.
//!
//! *Source*: Thanos `pkg/block/index.go`.

use crate::format::index::ChunkMeta;
use crate::model::TimeRange;

/// Smallest, largest, sum and count of numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spread {
    /// Smallest; `i64::MAX` of nothing.
    pub min: i64,
    /// Largest; `i64::MIN` of nothing.
    pub max: i64,
    /// Sum, wrapping.
    pub sum: i64,
    /// How many.
    pub count: i64,
}

impl Default for Spread {
    fn default() -> Self {
        Spread { min: i64::MAX, max: i64::MIN, sum: 0, count: 0 }
    }
}

impl Spread {
    /// One more number.
    #[inline]
    pub fn add(&mut self, value: i64) {
        self.min = self.min.min(value);
        self.max = self.max.max(value);
        self.sum = self.sum.wrapping_add(value);
        self.count += 1;
    }

    /// Mean, rounded towards zero; 0 of nothing.
    pub fn average(&self) -> i64 {
        self.sum.checked_div(self.count).unwrap_or(0)
    }

    fn join(&mut self, other: &Spread) {
        self.min = self.min.min(other.min);
        self.max = self.max.max(other.max);
        self.sum = self.sum.wrapping_add(other.sum);
        self.count += other.count;
    }
}

/// What is wrong with a series so that counting ends there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fatal {
    /// It has no labels.
    NoLabels {
        /// What postings call it.
        id: u32,
    },
    /// It is not above the one before it.
    OutOfOrder {
        /// Its labels.
        labels: Vec<(u32, u32)>,
        /// Labels of the one before.
        previous: Vec<(u32, u32)>,
    },
    /// It has no chunks.
    NoChunks {
        /// What postings call it.
        id: u32,
    },
    /// It cannot be read.
    Unreadable {
        /// Why.
        why: String,
    },
}

/// Counts over the series of an index, or over a run of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Health {
    /// Series.
    pub total_series: u64,
    /// Chunks.
    pub total_chunks: u64,
    /// Series with a chunk that begins before the one before it ends, and is not its duplicate.
    pub out_of_order_series: u64,
    /// Such chunks.
    pub out_of_order_chunks: u64,
    /// Chunks of exactly the times of the chunk before them.
    pub duplicated_chunks: u64,
    /// Chunks that are not wholly within the block's times, both ends included.
    pub outside_chunks: u64,
    /// Of those, chunks that are wholly outside.
    pub complete_outside_chunks: u64,
    /// Of the rest, chunks that begin at the block's end (prometheus/tsdb#347).
    pub issue_347_outside_chunks: u64,
    /// Label names that are below the name before them.
    pub out_of_order_labels: u64,
    /// Sum of the durations of a series' chunks, in milliseconds.
    pub series_life_ms: Spread,
    /// The same without series of single samples.
    pub series_life_without_single_samples_ms: Spread,
    /// Chunks of a series.
    pub series_chunks: Spread,
    /// From first to last sample of a chunk, in milliseconds.
    pub chunk_duration_ms: Spread,
    /// Distance to the next chunk in the same segment, in bytes; the last two of a series do not count.
    pub chunk_size_bytes: Spread,
    /// Distance to the series before, in bytes.
    pub series_size_bytes: Spread,
    /// Series whose chunks have single samples only.
    pub single_sample_series: u64,
    /// Chunks of a single sample.
    pub single_sample_chunks: u64,
    /// Where counting ended early.
    pub fatal: Option<Fatal>,
    first_labels: Vec<(u32, u32)>,
    last_labels: Vec<(u32, u32)>,
    /// Offsets of the first and last series in the index.
    offsets: Option<(u64, u64)>,
}

/// Counts the series of one block.
#[derive(Clone, Debug)]
pub struct HealthCounter {
    block: TimeRange,
    health: Health,
}

impl HealthCounter {
    /// A count for a block of these times.
    pub fn new(block: TimeRange) -> Self {
        HealthCounter { block, health: Health::default() }
    }

    /// One more series: what postings call it, where it is, what it has. References of labels compare as their
    /// strings do. Nothing is counted behind the first fatal problem.
    pub fn series(&mut self, id: u32, offset: u64, labels: &[(u32, u32)], chunks: &[ChunkMeta]) {
        let h = &mut self.health;
        if h.fatal.is_some() {
            return;
        }
        if let Some((_, last)) = &mut h.offsets {
            h.series_size_bytes.add(offset.wrapping_sub(*last) as i64);
            *last = offset;
        } else {
            h.offsets = Some((offset, offset));
        }
        h.total_series += 1;
        if labels.is_empty() {
            h.fatal = Some(Fatal::NoLabels { id });
            return;
        }
        if h.first_labels.is_empty() {
            h.first_labels = labels.to_vec();
        } else if h.last_labels.as_slice() >= labels {
            h.fatal = Some(Fatal::OutOfOrder { labels: labels.to_vec(), previous: std::mem::take(&mut h.last_labels) });
            return;
        }
        h.last_labels.clear();
        h.last_labels.extend_from_slice(labels);
        h.out_of_order_labels += labels.windows(2).filter(|pair| pair[1].0 < pair[0].0).count() as u64;
        if chunks.is_empty() {
            h.fatal = Some(Fatal::NoChunks { id });
            return;
        }
        self.chunks(chunks);
    }

    /// The series that follows cannot be read.
    pub fn unreadable(&mut self, why: String) {
        self.health.fatal.get_or_insert(Fatal::Unreadable { why });
    }

    fn chunks(&mut self, chunks: &[ChunkMeta]) {
        let h = &mut self.health;
        let mut out_of_order = 0;
        let mut life = 0i64;
        for (i, chunk) in chunks.iter().enumerate() {
            h.total_chunks += 1;
            let duration = chunk.max_time.wrapping_sub(chunk.min_time);
            life = life.wrapping_add(duration);
            h.chunk_duration_ms.add(duration);
            h.single_sample_chunks += u64::from(duration == 0);
            if i + 2 < chunks.len() {
                let next = chunks[i + 1].reference;
                if next.segment() == chunk.reference.segment() {
                    h.chunk_size_bytes.add(i64::from(next.offset()) - i64::from(chunk.reference.offset()));
                }
            }
            if chunk.min_time < self.block.start || chunk.max_time > self.block.end {
                h.outside_chunks += 1;
                if chunk.min_time > self.block.end || chunk.max_time < self.block.start {
                    h.complete_outside_chunks += 1;
                } else if chunk.min_time == self.block.end {
                    h.issue_347_outside_chunks += 1;
                }
            }
            let Some(before) = i.checked_sub(1).map(|b| &chunks[b]) else { continue };
            if chunk.min_time > before.max_time {
                continue;
            }
            if (chunk.min_time, chunk.max_time) == (before.min_time, before.max_time) {
                h.duplicated_chunks += 1;
            } else {
                out_of_order += 1;
            }
        }
        h.out_of_order_series += u64::from(out_of_order > 0);
        h.out_of_order_chunks += out_of_order;
        h.series_chunks.add(chunks.len() as i64);
        h.series_life_ms.add(life);
        if life == 0 {
            h.single_sample_series += 1;
        } else {
            h.series_life_without_single_samples_ms.add(life);
        }
    }

    /// The counts.
    pub fn finish(self) -> Health {
        self.health
    }
}

impl Health {
    /// Adds the counts of the series that follow.
    pub fn join(&mut self, behind: Health) {
        if self.fatal.is_some() || (behind.total_series == 0 && behind.fatal.is_none()) {
            return;
        }
        if self.total_series == 0 && self.fatal.is_none() {
            *self = behind;
            return;
        }
        if !behind.first_labels.is_empty() && self.last_labels >= behind.first_labels {
            self.fatal = Some(Fatal::OutOfOrder { labels: behind.first_labels, previous: std::mem::take(&mut self.last_labels) });
            return;
        }
        if let (Some((_, last)), Some((first, _))) = (self.offsets, behind.offsets) {
            self.series_size_bytes.add(first.wrapping_sub(last) as i64);
        }
        self.offsets = Some((self.offsets.unwrap_or_default().0, behind.offsets.unwrap_or_default().1));
        self.total_series += behind.total_series;
        self.total_chunks += behind.total_chunks;
        self.out_of_order_series += behind.out_of_order_series;
        self.out_of_order_chunks += behind.out_of_order_chunks;
        self.duplicated_chunks += behind.duplicated_chunks;
        self.outside_chunks += behind.outside_chunks;
        self.complete_outside_chunks += behind.complete_outside_chunks;
        self.issue_347_outside_chunks += behind.issue_347_outside_chunks;
        self.out_of_order_labels += behind.out_of_order_labels;
        self.single_sample_series += behind.single_sample_series;
        self.single_sample_chunks += behind.single_sample_chunks;
        self.series_life_ms.join(&behind.series_life_ms);
        self.series_life_without_single_samples_ms.join(&behind.series_life_without_single_samples_ms);
        self.series_chunks.join(&behind.series_chunks);
        self.chunk_duration_ms.join(&behind.chunk_duration_ms);
        self.chunk_size_bytes.join(&behind.chunk_size_bytes);
        self.series_size_bytes.join(&behind.series_size_bytes);
        self.last_labels = behind.last_labels;
        self.fatal = behind.fatal;
    }

    /// What is wrong, in the words that people search logs for; `None` for a healthy index. A fatal problem is not
    /// among them.
    pub fn problem(&self) -> Option<String> {
        let mut all = Vec::new();
        let partly = self.outside_chunks - (self.complete_outside_chunks + self.issue_347_outside_chunks);
        if partly > 0 {
            all.push(format!("found {partly} chunks non-completely outside the block time range"));
        }
        if self.complete_outside_chunks > 0 {
            all.push(format!("found {} chunks completely outside the block time range", self.complete_outside_chunks));
        }
        if self.issue_347_outside_chunks > 0 {
            all.push(format!(
                "found {} chunks outside the block time range introduced by https://github.com/prometheus/tsdb/issues/347",
                self.issue_347_outside_chunks
            ));
        }
        if self.out_of_order_labels > 0 {
            all.push(format!("index contains {} postings with out of order labels", self.out_of_order_labels));
        }
        if self.out_of_order_chunks > 0 {
            all.push(format!(
                "{}/{} series have an average of {:.3} out-of-order chunks: {:.3} of these are exact duplicates (in terms of data and time range)",
                self.out_of_order_series,
                self.total_series,
                self.out_of_order_chunks as f64 / self.out_of_order_series as f64,
                self.duplicated_chunks as f64 / self.out_of_order_chunks as f64,
            ));
        }
        if all.is_empty() { None } else { Some(all.join(", ")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::segment::ChunkRef;

    fn chunk(min_time: i64, max_time: i64, at: u32) -> ChunkMeta {
        ChunkMeta { min_time, max_time, reference: ChunkRef::new(0, at) }
    }

    fn check(chunks: &[(i64, i64)], expected: Option<&str>) -> Health {
        let mut counter = HealthCounter::new(TimeRange::new(0, 100));
        let chunks: Vec<ChunkMeta> = chunks.iter().enumerate().map(|(i, &(a, b))| chunk(a, b, 8 + 10 * i as u32)).collect();
        counter.series(1, 16, &[(1, 2)], &chunks);
        let health = counter.finish();
        assert_eq!(health.problem().as_deref(), expected, "{chunks:?}");
        health
    }

    #[test]
    fn times_against_the_block() {
        check(&[(0, 50), (60, 99)], None);
        check(&[(0, 100)], None);
        check(&[(50, 101)], Some("found 1 chunks non-completely outside the block time range"));
        check(&[(-1, 5)], Some("found 1 chunks non-completely outside the block time range"));
        check(&[(101, 120)], Some("found 1 chunks completely outside the block time range"));
        let issue = "found 1 chunks outside the block time range introduced by https://github.com/prometheus/tsdb/issues/347";
        check(&[(100, 120)], Some(issue));
        // exactly the last moment is no damage
        check(&[(100, 100)], None);
        check(
            &[(-20, -10), (90, 110), (111, 120)],
            Some(
                "found 1 chunks non-completely outside the block time range, found 2 chunks completely outside the block time range",
            ),
        );
    }

    #[test]
    fn chunks_against_one_another() {
        let h = check(&[(0, 10), (0, 10)], None);
        assert_eq!(h.duplicated_chunks, 1);
        let text = "1/1 series have an average of 2.000 out-of-order chunks: 0.500 of these are exact duplicates (in terms of data and time range)";
        let h = check(&[(0, 10), (0, 10), (5, 20), (20, 30)], Some(text));
        assert_eq!((h.out_of_order_chunks, h.out_of_order_series, h.duplicated_chunks), (2, 1, 1));
    }

    #[test]
    fn spreads_as_upstream_counts_them() {
        let h = check(&[(0, 10), (20, 20), (30, 40), (41, 43)], None);
        assert_eq!((h.chunk_duration_ms.min, h.chunk_duration_ms.average(), h.chunk_duration_ms.max), (0, 5, 10));
        assert_eq!((h.chunk_size_bytes.count, h.chunk_size_bytes.average()), (2, 10));
        assert_eq!((h.single_sample_chunks, h.single_sample_series), (1, 0));
        assert_eq!(h.series_life_ms.sum, 22);
        assert_eq!(Spread::default().average(), 0);
    }

    #[test]
    fn what_ends_the_count() {
        let count = |series: &[&[(u32, u32)]], chunks: &[ChunkMeta]| {
            let mut counter = HealthCounter::new(TimeRange::new(0, 100));
            for (i, labels) in series.iter().enumerate() {
                counter.series(i as u32 + 1, 16 * i as u64, labels, chunks);
            }
            counter.finish()
        };
        let ok = [chunk(0, 1, 8)];
        assert_eq!(count(&[&[(1, 2)], &[(1, 2), (3, 4)], &[(1, 3)]], &ok).fatal, None);
        assert_eq!(count(&[&[]], &ok).fatal, Some(Fatal::NoLabels { id: 1 }));
        assert_eq!(count(&[&[(1, 2)]], &[]).fatal, Some(Fatal::NoChunks { id: 1 }));
        let same = Fatal::OutOfOrder { labels: vec![(1, 2)], previous: vec![(1, 2)] };
        assert_eq!(count(&[&[(1, 2)], &[(1, 2)]], &ok).fatal, Some(same));
        assert_eq!(count(&[&[(3, 2), (1, 1)]], &ok).out_of_order_labels, 1);
    }

    #[test]
    fn parts_join_to_the_whole() {
        let series: Vec<_> = (0..20u32)
            .map(|i| {
                let start = i64::from(i) * 7 - 20;
                let chunks: Vec<ChunkMeta> =
                    (0..=i % 4).map(|c| chunk(start + i64::from(c) * 3, start + i64::from(c) * 4, 8 + i * 100 + c * 9)).collect();
                (vec![(1u32, i / 2), (2, i)], chunks)
            })
            .collect();
        for broken in [None, Some(5), Some(10)] {
            let count = |range: std::ops::Range<usize>| {
                let mut counter = HealthCounter::new(TimeRange::new(0, 100));
                for i in range {
                    let (labels, chunks) = &series[if Some(i) == broken { 0 } else { i }];
                    counter.series(i as u32, 16 * i as u64, labels, chunks);
                }
                counter.finish()
            };
            let whole = count(0..20);
            assert_eq!(whole.fatal.is_some(), broken.is_some());
            for cut in [0, 1, 5, 10, 19, 20] {
                let mut joined = count(0..cut);
                joined.join(count(cut..20));
                if broken.is_some() {
                    assert_eq!(joined.fatal, whole.fatal, "cut at {cut}");
                } else {
                    assert_eq!(joined, whole, "cut at {cut}");
                }
            }
        }
    }
}
