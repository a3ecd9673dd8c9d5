//! Lets an [`Edit`] see every series of one block: only its index is read, and nothing is written.

use std::sync::Arc;

use super::LOOK_AND_MARK;
use super::decode::Rules;
use super::hooks::{Edit, Judge, SharedSymbols};
use super::input::SeriesFeed;
use super::source::{SourceBlock, read_ahead};
use super::symbols::{SymbolMerge, merge_symbols};
use crate::block::RangeStream;
use crate::error::{Error, Kind, Result};
use crate::format::index::{self, SymbolTable, Version};
use crate::job::Env;
use crate::model::Millis;

/// The index of one block on its way past an edit, whose verdicts change nothing here.
pub struct Scan {
    env: Env,
    symbols: SharedSymbols,
    series: SeriesFeed,
}

impl Scan {
    /// Reads the block's symbols; its series come with [`Scan::next`].
    ///
    /// # Errors
    /// `Corrupt` names part and offset; else what the bucket says.
    pub async fn open(env: &Env, block: &SourceBlock, edit: Arc<dyn Edit>) -> Result<Scan> {
        let pool = env.compute();
        let read_ahead = read_ahead(env.bucket.read_bytes() as u64, 1);
        let shape = block.open(&env.bucket).await?;
        let mut streams = [RangeStream::new(&env.bucket, block.key("index"), shape.toc.symbols_range(), read_ahead)];
        let merge = SymbolMerge::new(std::iter::once((shape.version, shape.toc.symbols)));
        let damaged = |_, m| Error::from(m).block(block.id).next(LOOK_AND_MARK);
        let (symbols, remaps, _) = merge_symbols(merge, &mut streams, &pool, damaged).await?;
        let symbols = SymbolTable::decode(Version::V2, symbols.finish().into(), index::HEADER_BYTES as u64)?;
        let symbols = Arc::new(symbols);
        let rules = Rules {
            block: block.id,
            version: shape.version,
            section: shape.toc.series_range(),
            remap: remaps.into_iter().next().unwrap_or_default(),
            range: block.meta.time_range(),
            keep: (Millis::MIN, Millis::MAX),
            tombstones: None,
            accept_malformed: false,
            judge: Judge::Strict,
            edit: Some(edit),
            labels: None,
            symbols: Some(symbols.clone()),
        };
        let series = SeriesFeed::new(&env.bucket, &block.key("index"), Arc::new(rules), pool, read_ahead);
        Ok(Scan { env: env.clone(), symbols, series })
    }

    /// The block's symbols, numbered in order.
    pub fn symbols(&self) -> &SharedSymbols {
        &self.symbols
    }

    /// What the edit logged about the next stretch of series, in the order of the index; `None` behind the last.
    ///
    /// # Errors
    /// `Corrupt` names part and offset; `Cancelled` when asked to stop; else what the bucket says.
    pub async fn next(&mut self) -> Result<Option<Vec<u8>>> {
        if self.env.cancel.is_cancelled() {
            return Err(Error::new(Kind::Cancelled, "asked to stop"));
        }
        Ok(self.series.next_raw().await?.map(|mut batch| std::mem::take(&mut batch.log)))
    }
}
