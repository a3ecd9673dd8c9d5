//! The index of a block that is being built: symbols first, then series entries as they come, and
//! at the end postings, their table and the table of contents. Append-only: nothing is patched.

use std::sync::Arc;

use bytes::Bytes;

use super::object::{ObjectWriter, Written};
use super::postings::{PairLists, Shard};
use crate::block::witness::{Bounds, Witness};
use crate::bucket::Bucket;
use crate::error::{Error, Kind, Result};
use crate::format::index::{
    self, PostingsTableEmitter, PostingsTableLen, SERIES_ALIGN, SymbolTable, Toc, Version, encode_postings_list,
};

/// Bytes of postings that are encoded before they are handed to the upload.
const EMIT_BYTES: usize = 1 << 20;

/// Writes `index` from front to back.
pub(crate) struct IndexFile {
    object: ObjectWriter,
    symbols: SymbolTable<Bytes>,
    toc: Toc,
    series_max_bytes: u64,
    /// Id of the last entry, in units of 16 bytes.
    last_series: Option<u64>,
    /// All series, as varint deltas would save little: this list is the longest there is and read once.
    all: Vec<u32>,
    bounds: Option<Arc<Bounds>>,
}

impl IndexFile {
    /// Begins an index of at most `bound_bytes` with this symbol section; `witness` sees all that is sent.
    pub(crate) async fn begin(
        bucket: &Bucket,
        folder: &str,
        symbols: Bytes,
        bound_bytes: u64,
        sha256: bool,
        witness: Option<&Witness>,
    ) -> Result<Self> {
        let mut object = ObjectWriter::begin(bucket, folder, "index", bound_bytes, sha256, witness.map(Witness::index));
        object.write(Bytes::copy_from_slice(&index::header())).await?;
        let toc = Toc { symbols: object.position(), ..Toc::default() };
        object.write(symbols.clone()).await?;
        let toc = Toc { series: object.position(), ..toc };
        let symbols = SymbolTable::decode(Version::V2, symbols, toc.symbols)?;
        Ok(IndexFile {
            object,
            symbols,
            toc,
            series_max_bytes: 0,
            last_series: None,
            all: Vec::new(),
            bounds: witness.map(Witness::bounds),
        })
    }

    /// The longest way from one series to the next, in bytes, as upstream measures it.
    pub(crate) fn series_max_bytes(&self) -> u64 {
        self.series_max_bytes
    }

    async fn pad(&mut self, align: u64) -> Result<()> {
        let zeros = (align - self.object.position() % align) % align;
        self.object.write(Bytes::from_static(&[0; 16]).slice(..zeros as usize)).await
    }

    /// Appends entries that lie at multiples of 16 bytes from the first, which begin at `starts` in
    /// units of 16 bytes; returns what is to be added to `starts` to have their ids.
    ///
    /// # Errors
    /// `Limit` above 64 GiB: series ids do not go further.
    pub(crate) async fn append(&mut self, entries: Bytes, starts: impl Iterator<Item = u32>) -> Result<u32> {
        self.pad(SERIES_ALIGN).await?;
        let base = self.object.position() / SERIES_ALIGN;
        if self.object.position() + entries.len() as u64 > index::MAX_BYTES {
            return Err(Error::new(Kind::Limit, "the index of the merged block would exceed 64 GiB")
                .part("index")
                .next("mark the largest of the blocks no-compact, so that the rest of the group goes on"));
        }
        self.object.write(entries).await?;
        for start in starts {
            let id = base + u64::from(start);
            if let Some(last) = self.last_series {
                self.series_max_bytes = self.series_max_bytes.max((id - last) * SERIES_ALIGN);
            }
            self.last_series = Some(id);
            self.all.push(id as u32);
        }
        // below the limit checked above
        Ok(base as u32)
    }

    /// Appends postings, tables and the table of contents, and makes the object visible.
    pub(crate) async fn finish(mut self, shards: Vec<Shard>) -> Result<Written> {
        self.toc.label_indices = self.object.position();
        // upstream aligns the lists, and then calls the padding a part of the postings
        self.toc.postings = self.object.position();
        if let Some(bounds) = &self.bounds {
            bounds.series_end(self.toc.postings);
        }
        self.pad(4).await?;
        let mut emit = Emit {
            symbols: self.symbols.clone(),
            shards,
            all: std::mem::take(&mut self.all),
            bounds: self.bounds.take(),
            position: self.object.position(),
            series_count: 0,
            table: PostingsTableLen::default(),
        };
        let (send, mut pieces) = tokio::sync::mpsc::channel::<Bytes>(2);
        // reads spilled runs, so it may wait for the disk
        let task = tokio::task::spawn_blocking(move || emit.run(|piece| send.blocking_send(piece).is_ok()));
        while let Some(piece) = pieces.recv().await {
            self.object.write(piece).await?;
        }
        let table_at = task.await.map_err(|e| Error::new(Kind::Cancelled, "writing postings was stopped").source(e))??;
        self.toc.label_indices_table = table_at;
        self.toc.postings_table = table_at;
        self.object.write(Bytes::copy_from_slice(&self.toc.encode())).await?;
        self.object.finish().await
    }

    /// Drops what was written.
    pub(crate) async fn abort(self) {
        self.object.abort().await;
    }
}

/// Encodes postings and their table, piece by piece.
struct Emit {
    symbols: SymbolTable<Bytes>,
    shards: Vec<Shard>,
    all: Vec<u32>,
    series_count: u64,
    /// Where the next piece begins in the index.
    position: u64,
    table: PostingsTableLen,
    bounds: Option<Arc<Bounds>>,
}

impl Emit {
    /// Hands out pieces until all is written or nobody takes them; returns where the table begins.
    fn run(&mut self, mut take: impl FnMut(Bytes) -> bool) -> Result<u64> {
        let first = self.position;
        let mut out = Vec::with_capacity(EMIT_BYTES + EMIT_BYTES / 8);
        self.table.add(0, 0, first);
        self.series_count = self.all.len() as u64;
        encode_postings_list(&mut out, self.all.iter().copied())?;
        self.all = Vec::new();
        let shards = std::mem::take(&mut self.shards);
        let mut lists = PairLists::new(&shards)?;
        while let Some(list) = lists.next()? {
            let at = self.position + out.len() as u64;
            self.table.add(self.symbols.get(list.name)?.len(), self.symbols.get(list.value)?.len(), at);
            encode_postings_list(&mut out, Counted { left: list.count as usize, series: list.series() })?;
            if out.len() >= EMIT_BYTES && !self.hand_out(&mut out, &mut take) {
                return Err(given_up());
            }
        }
        drop(lists);
        let table_at = self.position + out.len() as u64;
        if let Some(bounds) = &self.bounds {
            bounds.table(table_at);
        }
        let mut table = self.table.emit(&mut out)?;
        self.emit_table(&shards, &mut table, first, &mut out, &mut take)?;
        table.finish(&mut out);
        if !self.hand_out(&mut out, &mut take) {
            return Err(given_up());
        }
        Ok(table_at)
    }

    /// The second pass: where each list lies follows from the counts.
    fn emit_table(
        &mut self,
        shards: &[Shard],
        table: &mut PostingsTableEmitter,
        first: u64,
        out: &mut Vec<u8>,
        take: &mut impl FnMut(Bytes) -> bool,
    ) -> Result<()> {
        let list_bytes = |count: u64| 12 + 4 * count;
        let mut at = first;
        table.entry(out, b"", b"", at);
        at += list_bytes(self.series_count);
        let mut lists = PairLists::new(shards)?;
        while let Some(list) = lists.next()? {
            table.entry(out, self.symbols.get(list.name)?, self.symbols.get(list.value)?, at);
            at += list_bytes(u64::from(list.count));
            if out.len() >= EMIT_BYTES && !self.hand_out(out, take) {
                return Err(given_up());
            }
        }
        Ok(())
    }

    fn hand_out(&mut self, out: &mut Vec<u8>, take: &mut impl FnMut(Bytes) -> bool) -> bool {
        self.position += out.len() as u64;
        take(Bytes::from(std::mem::replace(out, Vec::with_capacity(EMIT_BYTES + EMIT_BYTES / 8))))
    }
}

fn given_up() -> Error {
    Error::new(Kind::Cancelled, "the upload of the index was stopped").part("index")
}

/// An iterator whose length is known beforehand.
struct Counted<I> {
    left: usize,
    series: I,
}

impl<I: Iterator<Item = u32>> Iterator for Counted<I> {
    type Item = u32;

    fn next(&mut self) -> Option<u32> {
        self.left = self.left.saturating_sub(1);
        self.series.next()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl<I: Iterator<Item = u32>> ExactSizeIterator for Counted<I> {}
