//! The block that is read: its index opened as far as that goes, its segments by number.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use super::lost::{Losses, Lost};
use super::symbols::Symbols;
use crate::block::{Reads, SegmentFile};
use crate::bucket::{Bucket, Object};
use crate::error::{Error, Kind, Result};
use crate::format::index::{self, HEADER_BYTES, PostingsTable, Toc, Version, decode_postings_list, postings_list_len};
use crate::model::BlockId;

/// The longest symbol section that is read without a table of contents to say where it ends, in bytes.
const MAX_SYMBOLS_BYTES: u64 = 4 << 30;

/// An index of which everything but the series was read.
pub(super) struct Source {
    pub(super) id: BlockId,
    pub(super) bucket: Bucket,
    pub(super) index_key: Arc<str>,
    pub(super) index_bytes: u64,
    pub(super) version: Version,
    /// Where series are.
    pub(super) section: Range<u64>,
    /// Nobody said where series end: what cannot be read at the end may be something else.
    pub(super) open_ended: bool,
    /// The list of all series, where it was asked for and can be read.
    pub(super) ids: Option<Vec<u32>>,
    pub(super) symbols: Symbols,
    /// By number, counted from 0.
    pub(super) segments: BTreeMap<u32, SegmentFile>,
}

impl Source {
    /// Opens the block with these objects; what cannot be read is noted.
    ///
    /// # Errors
    /// `NotFound` without an index; `Corrupt` when no symbol can be trusted; others from the bucket.
    pub(super) async fn open(reads: &Reads, id: BlockId, objects: &[Object], lost: &mut Losses) -> Result<Source> {
        let index_key = format!("{id}/index");
        let Some(index) = objects.iter().find(|o| o.key == index_key) else {
            let next = "the labels of its series are nowhere else: restore the index from a backup";
            return Err(Error::new(Kind::NotFound, "the block has no index").block(id).part("index").next(next));
        };
        let opening = Opening { reads, id, key: index_key.as_str(), len_bytes: index.len_bytes };
        let version = opening.version(lost).await?;
        let toc = opening.toc(lost).await?;
        let table = match &toc {
            Some(toc) => opening.postings_table(version, toc, lost).await?,
            None => None,
        };
        let (symbols, behind) = opening.symbols(version, toc.as_ref(), table.as_ref(), lost).await?;
        let ids = match &table {
            Some(table) => opening.all_series(table, lost).await?,
            None => None,
        };
        Ok(Source {
            id,
            bucket: reads.bucket().clone(),
            version,
            section: toc.as_ref().map_or(behind..index.len_bytes, Toc::series_range),
            open_ended: toc.is_none(),
            ids,
            symbols,
            segments: segments(objects),
            index_bytes: index.len_bytes,
            index_key: index_key.into(),
        })
    }
}

/// Segments by number; what is named otherwise is none.
fn segments(objects: &[Object]) -> BTreeMap<u32, SegmentFile> {
    let segment = |o: &Object| {
        let name = o.key.rsplit_once("/chunks/")?.1;
        let plain = !name.is_empty() && name.bytes().all(|b| b.is_ascii_digit());
        let number = plain.then(|| name.parse::<u32>().ok()?.checked_sub(1))??;
        Some((number, SegmentFile { key: o.key.clone(), name: name.to_owned(), len_bytes: o.len_bytes }))
    };
    objects.iter().filter_map(segment).collect()
}

struct Opening<'a> {
    reads: &'a Reads,
    id: BlockId,
    key: &'a str,
    len_bytes: u64,
}

impl Opening<'_> {
    async fn range(&self, range: Range<u64>) -> Result<Bytes> {
        let range = range.start.min(self.len_bytes)..range.end.min(self.len_bytes);
        self.reads.range(self.key, range).await.map_err(|e| e.block(self.id))
    }

    /// A failure that losses may be noted of: damage, and nothing else.
    fn note(&self, error: Error, lost: &mut Losses, without: &str) -> Result<()> {
        if error.kind() != Kind::Corrupt {
            return Err(error.block(self.id));
        }
        lost.add(Lost::new(error.part_name().unwrap_or("index"), error.offset(), format!("{}; {without}", error.what())));
        Ok(())
    }

    async fn version(&self, lost: &mut Losses) -> Result<Version> {
        let header = self.range(0..HEADER_BYTES as u64).await?;
        match index::check_header(&header) {
            Ok(version) => Ok(version),
            Err(m) => self.note(m.into(), lost, "it is read as format 2").map(|()| Version::V2),
        }
    }

    async fn toc(&self, lost: &mut Losses) -> Result<Option<Toc>> {
        let tail = self.range(Toc::range(self.len_bytes)).await?;
        match Toc::decode(&tail, self.len_bytes) {
            Ok(toc) => Ok(Some(toc)),
            Err(m) => self.note(m.into(), lost, "series are looked for behind the symbols").map(|()| None),
        }
    }

    async fn postings_table(&self, version: Version, toc: &Toc, lost: &mut Losses) -> Result<Option<PostingsTable<Bytes>>> {
        let range = toc.postings_table_range(self.len_bytes);
        let bytes = self.range(range.clone()).await?;
        match PostingsTable::decode(version, bytes, range.start) {
            Ok(table) => Ok(Some(table)),
            Err(m) => self.note(m.into(), lost, "postings are made anew, nothing is lost by it").map(|()| None),
        }
    }

    /// The symbols, and where they end.
    async fn symbols(
        &self,
        version: Version,
        toc: Option<&Toc>,
        table: Option<&PostingsTable<Bytes>>,
        lost: &mut Losses,
    ) -> Result<(Symbols, u64)> {
        let range = match toc {
            Some(toc) => toc.symbols_range(),
            None => {
                let begin = HEADER_BYTES as u64;
                let field = self.range(begin..begin + 4).await?;
                let len = field.first_chunk::<4>().map_or(0, |f| u64::from(u32::from_be_bytes(*f)));
                begin..(begin + 4 + len + 4).min(self.len_bytes).min(MAX_SYMBOLS_BYTES)
            }
        };
        let section = self.range(range.clone()).await?;
        let error = match Symbols::whole(version, section.clone(), range.start) {
            Ok(symbols) => return Ok((symbols, range.end)),
            Err(error) => error.block(self.id),
        };
        match table {
            Some(table) if error.kind() == Kind::Corrupt => {
                Ok((Symbols::mended(version, &section, range.start, table, &error, lost)?, range.end))
            }
            _ => Err(error.next("neither symbols nor postings can be trusted: restore the index from a backup")),
        }
    }

    /// The list of all series, if it can be read and makes sense.
    async fn all_series(&self, table: &PostingsTable<Bytes>, lost: &mut Losses) -> Result<Option<Vec<u32>>> {
        let Some(offset) = table.find(b"", b"") else { return Ok(None) };
        let head = self.range(offset..offset.saturating_add(4)).await?;
        let len_bytes = postings_list_len(&head).unwrap_or(0);
        let bytes = self.range(offset..offset.saturating_add(len_bytes)).await?;
        match decode_postings_list(&bytes, offset) {
            Ok(list) => {
                let ids: Vec<u32> = list.iter().collect();
                Ok(ids.is_sorted_by(|a, b| a < b).then_some(ids))
            }
            Err(m) => self.note(m.into(), lost, "postings are made anew, nothing is lost by it").map(|()| None),
        }
    }
}
