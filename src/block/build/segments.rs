//! The chunk segments of a block that is being built, each uploaded as it fills.

use bytes::Bytes;
use tokio::task::JoinHandle;

use super::object::{ObjectWriter, Written};
use crate::block::witness::Witness;
use crate::bucket::Bucket;
use crate::error::{Error, Kind, Result};
use crate::format::segment;

/// Writes segments `chunks/000001`, `chunks/000002`, … one behind the other.
pub(crate) struct Segments {
    bucket: Bucket,
    folder: String,
    bound_bytes: u64,
    sha256: bool,
    witness: Option<Witness>,
    begun: u32,
    open: Option<ObjectWriter>,
    /// Full segments that are being made durable while the next one fills.
    finishing: Vec<JoinHandle<Result<Written>>>,
}

impl Segments {
    /// Nothing is written before the first [`Segments::append`]. A segment has at most `bound_bytes`;
    /// `witness` sees all that is sent.
    pub(crate) fn new(bucket: &Bucket, folder: &str, bound_bytes: u64, sha256: bool, witness: Option<Witness>) -> Self {
        let folder = folder.to_owned();
        Segments { bucket: bucket.clone(), folder, bound_bytes, sha256, witness, begun: 0, open: None, finishing: Vec::new() }
    }

    /// Ends the open segment; what is appended next begins another.
    pub(crate) fn cut(&mut self) {
        if let Some(full) = self.open.take() {
            self.finishing.push(tokio::spawn(full.finish()));
        }
    }

    /// Appends whole records to the open segment.
    pub(crate) async fn append(&mut self, records: Bytes) -> Result<()> {
        let open = match &mut self.open {
            Some(open) => open,
            None => {
                let reader = self.witness.as_ref().map(|w| w.segment(self.begun));
                self.begun += 1;
                let name = format!("chunks/{:06}", self.begun);
                let mut object = ObjectWriter::begin(&self.bucket, &self.folder, &name, self.bound_bytes, self.sha256, reader);
                object.write(Bytes::copy_from_slice(&segment::header())).await?;
                self.open.insert(object)
            }
        };
        open.write(records).await
    }

    /// Ends the last segment and waits for all of them.
    pub(crate) async fn finish(&mut self) -> Result<Vec<Written>> {
        self.cut();
        let mut written = Vec::with_capacity(self.finishing.len());
        for task in self.finishing.drain(..) {
            written.push(task.await.map_err(|e| Error::new(Kind::Cancelled, "the upload was stopped").source(e))??);
        }
        Ok(written)
    }

    /// Drops the open segment and waits until no upload is under way any more.
    pub(crate) async fn abort(&mut self) {
        if let Some(open) = self.open.take() {
            open.abort().await;
        }
        for task in self.finishing.drain(..) {
            let _ = task.await;
        }
    }
}
