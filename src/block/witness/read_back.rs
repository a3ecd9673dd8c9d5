//! A block that is wholly in the bucket, read once more from there.

use super::{Reader, Witness};
use crate::block::build::Written;
use crate::block::fingerprint::Fingerprint;
use crate::block::stream::{RangeStream, ReadAhead};
use crate::bucket::Bucket;
use crate::error::{Error, Result};
use crate::format::index::{TOC_BYTES, Toc};
use crate::model::BlockId;

/// What the objects of block `id` hold, by ranged reads front to back; `meta.json` need not be there.
///
/// # Errors
/// `Corrupt` names part and offset; else what the bucket says.
pub(crate) async fn read_back(bucket: &Bucket, id: BlockId, written: &[Written]) -> Result<Fingerprint> {
    let witness = Witness::new(id);
    let mut readers = Vec::with_capacity(written.len());
    let mut segment = 0;
    for object in written {
        let reader = if object.name == "index" {
            let range = Toc::range(object.len_bytes.max(TOC_BYTES as u64));
            let tail = bucket.get_range(&format!("{id}/index"), range).await.map_err(|e| e.block(id))?;
            let toc = Toc::decode(&tail, object.len_bytes).map_err(|m| Error::from(m).block(id))?;
            witness.bounds.series_end(toc.postings);
            witness.bounds.table(toc.postings_table);
            witness.index()
        } else {
            segment += 1;
            witness.segment(segment - 1)
        };
        readers.push(read(bucket, format!("{id}/{}", object.name), object.len_bytes, reader));
    }
    // side by side, so that little of one waits for the other
    futures::future::try_join_all(readers).await.map_err(|e: Error| e.block(id))?;
    witness.finish()
}

async fn read(bucket: &Bucket, key: String, len_bytes: u64, mut reader: Reader) -> Result<()> {
    let read_ahead = ReadAhead { part_bytes: bucket.read_bytes() as u64, ahead: 1 };
    let mut stream = RangeStream::new(bucket, key, 0..len_bytes, read_ahead);
    while let Some(part) = stream.next().await? {
        reader.read(&part.bytes)?;
    }
    reader.end()
}
