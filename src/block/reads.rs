//! Reads of one job from one bucket: counted, and no faster than asked.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::bucket::Bucket;
use crate::error::Result;

/// A bucket whose reads are counted and may be slowed down; cheap to clone.
#[derive(Clone)]
pub struct Reads {
    bucket: Bucket,
    pace: Option<Arc<Pace>>,
    bytes: Arc<AtomicU64>,
}

impl Reads {
    /// Reads from `bucket`, at most `bytes_per_second` on average over all clones.
    pub fn new(bucket: Bucket, bytes_per_second: Option<u64>) -> Self {
        Reads { bucket, pace: bytes_per_second.map(|limit| Arc::new(Pace::new(limit))), bytes: Arc::default() }
    }

    /// The bucket itself, for listings and small objects.
    pub fn bucket(&self) -> &Bucket {
        &self.bucket
    }

    /// Bytes that were read so far, over all clones.
    pub fn bytes_read(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Exactly the bytes of `range`; none for an empty one, without asking.
    ///
    /// # Errors
    /// As [`Bucket::get_range`].
    pub async fn range(&self, key: &str, range: Range<u64>) -> Result<Bytes> {
        if range.is_empty() {
            return Ok(Bytes::new());
        }
        let len_bytes = range.end - range.start;
        if let Some(pace) = &self.pace {
            pace.take(len_bytes).await;
        }
        let bytes = self.bucket.get_range(key, range).await?;
        self.bytes.fetch_add(len_bytes, Ordering::Relaxed);
        Ok(bytes)
    }
}

/// Lets bytes through at a rate: each read waits until those before it are paid for.
struct Pace {
    bytes_per_second: u64,
    /// When everything that was let through so far is paid for.
    paid: Mutex<Option<Instant>>,
}

impl Pace {
    fn new(bytes_per_second: u64) -> Self {
        Pace { bytes_per_second: bytes_per_second.max(1), paid: Mutex::new(None) }
    }

    async fn take(&self, len_bytes: u64) {
        let cost = Duration::from_secs_f64(len_bytes as f64 / self.bytes_per_second as f64);
        let until = {
            let mut paid = self.paid.lock().await;
            let now = Instant::now();
            let from = paid.map_or(now, |p| p.max(now));
            *paid = Some(from + cost);
            from
        };
        tokio::time::sleep_until(until).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_rate_is_kept_over_many_takers() {
        let pace = Arc::new(Pace::new(1000));
        let start = Instant::now();
        let takers: Vec<_> = (0..10)
            .map(|_| {
                let pace = Arc::clone(&pace);
                tokio::spawn(async move { pace.take(500).await })
            })
            .collect();
        for taker in takers {
            taker.await.unwrap();
        }
        // the last of ten begins when nine are paid for
        assert_eq!((Instant::now() - start).as_millis(), 4500);
    }
}
