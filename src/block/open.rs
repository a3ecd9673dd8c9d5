//! One block of a bucket, opened: its index and segments by ranges, never as a whole.
//!
//! *Memory*: what each call returns; the block itself keeps the table of contents.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use super::reads::Reads;
use crate::error::{Error, Kind, Result};
use crate::format::index::{self, HEADER_BYTES, PostingsTable, SymbolTable, Toc, Version};
use crate::model::BlockId;

/// A block whose table of contents was read.
#[derive(Clone)]
pub struct OpenBlock {
    reads: Reads,
    id: BlockId,
    index_key: Arc<str>,
    index_bytes: u64,
    version: Version,
    toc: Toc,
}

/// A chunk segment of a block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentFile {
    /// Key in the bucket.
    pub key: String,
    /// Name within `chunks/`.
    pub name: String,
    /// Size in bytes.
    pub len_bytes: u64,
}

/// Series that follow one another, and the bytes of the index that hold them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeriesRun {
    /// Positions in the list of all series.
    pub ids: Range<usize>,
    /// From the first of them to the next that is none of them.
    pub bytes: Range<u64>,
    /// Whether no series follows.
    pub last: bool,
}

impl OpenBlock {
    /// Reads header and table of contents of the block's index: three requests.
    ///
    /// # Errors
    /// `NotFound` without an index; `Corrupt` when either is damaged; others from the bucket.
    pub async fn open(reads: &Reads, id: BlockId) -> Result<OpenBlock> {
        let index_key: Arc<str> = format!("{id}/index").into();
        let named = |e: Error| e.block(id);
        let head = reads.bucket().head(&index_key).await.map_err(named)?;
        let Some(head) = head else {
            return Err(Error::new(Kind::NotFound, "the block has no index").block(id).part("index"));
        };
        let index_bytes = head.len_bytes;
        let tail = Toc::range(index_bytes);
        let first = reads.range(&index_key, 0..index_bytes.min(HEADER_BYTES as u64)).await.map_err(named)?;
        let version = index::check_header(&first).map_err(|m| Error::from(m).block(id))?;
        let last = reads.range(&index_key, tail).await.map_err(named)?;
        let toc = Toc::decode(&last, index_bytes).map_err(|m| Error::from(m).block(id))?;
        Ok(OpenBlock { reads: reads.clone(), id, index_key, index_bytes, version, toc })
    }

    /// The block.
    pub fn id(&self) -> BlockId {
        self.id
    }

    /// Format of the index.
    pub fn version(&self) -> Version {
        self.version
    }

    /// Where the sections of the index are.
    pub fn toc(&self) -> &Toc {
        &self.toc
    }

    /// Size of the index in bytes.
    pub fn index_bytes(&self) -> u64 {
        self.index_bytes
    }

    /// Bytes of the index.
    ///
    /// # Errors
    /// From the bucket.
    pub async fn index_range(&self, range: Range<u64>) -> Result<Bytes> {
        self.reads.range(&self.index_key, range).await.map_err(|e| e.block(self.id))
    }

    /// The symbol table, verified.
    ///
    /// # Errors
    /// `Corrupt`; others from the bucket.
    pub async fn symbols(&self) -> Result<SymbolTable<Bytes>> {
        let range = self.toc.symbols_range();
        let bytes = self.index_range(range.clone()).await?;
        SymbolTable::decode(self.version, bytes, range.start).map_err(|m| Error::from(m).block(self.id))
    }

    /// The table of postings lists, verified.
    ///
    /// # Errors
    /// `Corrupt`; others from the bucket.
    pub async fn postings_table(&self) -> Result<PostingsTable<Bytes>> {
        let range = self.toc.postings_table_range(self.index_bytes);
        let bytes = self.index_range(range.clone()).await?;
        PostingsTable::decode(self.version, bytes, range.start).map_err(|m| Error::from(m).block(self.id))
    }

    /// The ids of one postings list that begins at `offset`, verified.
    ///
    /// # Errors
    /// `Corrupt`; others from the bucket.
    pub async fn postings(&self, offset: u64) -> Result<Vec<u32>> {
        // a list ends before the table does
        let end = self.toc.postings_table;
        let head = self.index_range(offset.min(end)..(offset.saturating_add(4)).min(end)).await?;
        let len_bytes = index::postings_list_len(&head).unwrap_or(0);
        let bytes = self.index_range(offset.min(end)..offset.saturating_add(len_bytes).min(end)).await?;
        let list = index::decode_postings_list(&bytes, offset).map_err(|m| Error::from(m).block(self.id))?;
        Ok(list.iter().collect())
    }

    /// The ids of all series in order: the list of the empty name and value.
    ///
    /// # Errors
    /// `Corrupt`, also when there is no such list; others from the bucket.
    pub async fn all_series(&self, table: &PostingsTable<Bytes>) -> Result<Vec<u32>> {
        match table.find(b"", b"") {
            Some(offset) => self.postings(offset).await,
            None if table.is_empty() => Ok(Vec::new()),
            None => Err(Error::new(Kind::Corrupt, "there is no list of all series")
                .block(self.id)
                .part("index postings table")
                .at(self.toc.postings_table)),
        }
    }

    /// Cuts the list of all series, which must ascend and stay within its section, into runs of about `run_bytes`.
    pub fn series_runs(&self, ids: &[u32], run_bytes: u64) -> Vec<SeriesRun> {
        let offset = |id: &u32| self.version.series_offset(*id);
        let end = self.toc.series_range().end;
        let mut runs = Vec::new();
        let mut first = 0;
        while first < ids.len() {
            let limit = offset(&ids[first]).saturating_add(run_bytes.max(1));
            let behind = first + ids[first..].partition_point(|id| offset(id) < limit);
            let stop = ids.get(behind).map_or(end, offset);
            runs.push(SeriesRun { ids: first..behind, bytes: offset(&ids[first])..stop, last: behind == ids.len() });
            first = behind;
        }
        runs
    }

    /// Chunk segments in order of their names.
    ///
    /// # Errors
    /// From the bucket.
    pub async fn segments(&self) -> Result<Vec<SegmentFile>> {
        let folder = self.reads.bucket().list_folder(&format!("{}/chunks", self.id)).await.map_err(|e| e.block(self.id))?;
        let file = |o: crate::bucket::Object| {
            let name = o.key.rsplit('/').next().unwrap_or(&o.key).to_owned();
            SegmentFile { key: o.key, name, len_bytes: o.len_bytes }
        };
        Ok(folder.objects.into_iter().map(file).collect())
    }

    /// Bytes of a segment.
    ///
    /// # Errors
    /// From the bucket.
    pub async fn segment_range(&self, segment: &SegmentFile, range: Range<u64>) -> Result<Bytes> {
        self.reads.range(&segment.key, range).await.map_err(|e| e.block(self.id))
    }
}
