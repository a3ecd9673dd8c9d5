//! A streamed object in parts: few in flight, all of one size, none before it is full.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use object_store::MultipartUpload;
use object_store::path::Path as Key;
use tokio::task::JoinSet;

use super::failure::of_store;
use super::objects::Objects;
use super::requests::Counters;
use crate::error::{Error, Kind, Result};

/// No provider takes more parts for one object.
const MAX_PARTS: u64 = 10_000;
/// No provider takes a larger part, or a larger object in one piece.
const MAX_PART_BYTES: u64 = 5 << 30;
/// No provider takes a larger object.
const MAX_OBJECT_BYTES: u64 = 5 << 40;

/// An object that is being written in parts; one that fits into one part is put as a whole.
///
/// *Memory:* one part that fills, and those in flight.
pub(super) struct Parts {
    objects: Objects,
    key: Key,
    part_bytes: u64,
    filling: BytesMut,
    written: u64,
    upload: Option<Box<dyn MultipartUpload>>,
    in_flight: JoinSet<Result<()>>,
    counters: Arc<Counters>,
}

impl Parts {
    pub(super) fn new(objects: Objects, key: Key, bound_bytes: u64, counters: Arc<Counters>) -> Result<Self> {
        let part_bytes = part_bytes(bound_bytes, objects.tuning.part_bytes)?;
        Ok(Parts {
            objects,
            key,
            part_bytes,
            filling: BytesMut::new(),
            written: 0,
            upload: None,
            in_flight: JoinSet::new(),
            counters,
        })
    }

    pub(super) async fn write(&mut self, mut bytes: Bytes) -> Result<()> {
        self.written += bytes.len() as u64;
        while !bytes.is_empty() {
            // a part is sent when there is more behind it: what fits into one is put as a whole
            let room = self.part_bytes - self.filling.len() as u64;
            if room == 0 {
                self.send_part().await?;
                continue;
            }
            let taken = bytes.split_to(bytes.len().min(usize::try_from(room).unwrap_or(usize::MAX)));
            self.filling.extend_from_slice(&taken);
        }
        Ok(())
    }

    pub(super) async fn finish(mut self) -> Result<u64> {
        let done = self.complete().await;
        if done.is_err() {
            // the first failure is the one to tell; what stays is found as unfinished
            _ = self.stop().await;
        }
        done?;
        match self.objects.head(&self.key).await? {
            Some(held) if held.len_bytes == self.written => Ok(self.written),
            held => {
                let has = held.map_or("nothing".to_owned(), |o| format!("{} bytes", o.len_bytes));
                Err(Error::new(Kind::Conflict, format!("{} bytes were written, the bucket has {has}", self.written))
                    .next("see who else writes to this bucket"))
            }
        }
    }

    pub(super) async fn abort(mut self) -> Result<()> {
        self.stop().await
    }

    async fn complete(&mut self) -> Result<()> {
        if self.upload.is_none() {
            let whole = std::mem::take(&mut self.filling).freeze();
            return self.objects.put(&self.key, whole).await;
        }
        if !self.filling.is_empty() {
            self.send_part().await?;
        }
        while let Some(part) = self.in_flight.join_next().await {
            landed(part)?;
        }
        if let Some(upload) = &mut self.upload {
            upload.complete().await.map_err(|e| of_store("complete an upload in parts", e))?;
            self.upload = None;
        }
        Ok(())
    }

    async fn send_part(&mut self) -> Result<()> {
        if self.upload.is_none() {
            self.upload = Some(self.objects.begin_parts(&self.key).await?);
        }
        while self.in_flight.len() >= self.objects.tuning.parts_in_flight.max(1) {
            if let Some(part) = self.in_flight.join_next().await {
                landed(part)?;
            }
        }
        let part = std::mem::take(&mut self.filling).freeze();
        if let Some(upload) = &mut self.upload {
            let counters = Arc::clone(&self.counters);
            let len = part.len() as u64;
            let sending = upload.put_part(part.into());
            self.in_flight.spawn(async move {
                let began = Instant::now();
                let sent = sending.await.map_err(|e| of_store("upload a part", e));
                counters.upload_part.note(began, &sent, |()| len);
                sent
            });
        }
        Ok(())
    }

    async fn stop(&mut self) -> Result<()> {
        self.in_flight.shutdown().await;
        match self.upload.take() {
            Some(mut upload) => upload.abort().await.map_err(|e| of_store("abort an upload in parts", e)),
            None => Ok(()),
        }
    }
}

impl Drop for Parts {
    /// Best effort: a job that is cancelled drops its uploads without a word.
    fn drop(&mut self) {
        let Some(mut upload) = self.upload.take() else { return };
        self.counters.dropped_uploads.fetch_add(1, Relaxed);
        let mut in_flight = std::mem::take(&mut self.in_flight);
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                in_flight.shutdown().await;
                _ = upload.abort().await;
            });
        }
    }
}

fn landed(part: Result<Result<()>, tokio::task::JoinError>) -> Result<()> {
    part.unwrap_or_else(|_| Err(Error::new(Kind::Cancelled, "the program is shutting down")))
}

/// One size for all parts of an object, so that [`MAX_PARTS`] are enough for its bound.
pub(super) fn part_bytes(bound_bytes: u64, wanted: u64) -> Result<u64> {
    if bound_bytes > MAX_OBJECT_BYTES {
        return Err(Error::new(
            Kind::Limit,
            format!("an object has at most {MAX_OBJECT_BYTES} bytes, this may have {bound_bytes}"),
        ));
    }
    let needed = bound_bytes.div_ceil(MAX_PARTS);
    let size = if needed > wanted { needed.next_multiple_of(1 << 20) } else { wanted };
    Ok(size.clamp(1, MAX_PART_BYTES))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    #[test]
    fn ten_thousand_parts_are_enough() {
        for (bound, wanted, size) in [
            (0, 16 * MIB, 16 * MIB),
            (160_000 * MIB, 16 * MIB, 16 * MIB),
            (160_000 * MIB + 1, 16 * MIB, 17 * MIB),
            (MAX_OBJECT_BYTES, 16 * MIB, 525 * MIB),
        ] {
            assert_eq!(part_bytes(bound, wanted).unwrap(), size);
            assert!(bound.div_ceil(size) <= MAX_PARTS);
        }
        assert_eq!(part_bytes(MAX_OBJECT_BYTES + 1, MIB).unwrap_err().kind(), Kind::Limit);
    }
}
