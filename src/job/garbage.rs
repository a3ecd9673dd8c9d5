//! Marking duplicates: blocks whose sources others have all of, left behind by a compaction that was
//! interrupted after its block was in the bucket and before its sources were marked.

use futures::{StreamExt, stream};

use crate::block::retire::Marked;
use crate::error::Result;
use crate::format::marks::texts;
use crate::job::Env;
use crate::job::filter::Selection;
use crate::job::mark;
use crate::job::plan::PlannedGarbage;
use crate::model::BlockId;

/// Marks that are made at a time.
const MARKS_AT_A_TIME: usize = 8;

/// Duplicates of a selection, as a plan has them.
pub fn plan(selection: &Selection) -> Vec<PlannedGarbage> {
    selection.duplicates.iter().map(|(block, by)| PlannedGarbage { block: block.id, covered_by: *by }).collect()
}

/// Marks duplicates for deletion; returns those that were not marked before.
///
/// A block that somebody deleted in the meantime gets no mark: it would be all that is left of it.
///
/// # Errors
/// What the bucket says; the others are marked all the same.
pub async fn run(env: &Env, garbage: &[PlannedGarbage]) -> Result<Vec<BlockId>> {
    let mark = |block| async move {
        let marked = mark::replaced(env, block, texts::OUTDATED_BLOCK).await;
        (block, marked)
    };
    let mut under_way = stream::iter(garbage.iter().map(|g| mark(g.block))).buffer_unordered(MARKS_AT_A_TIME);
    let (mut new, mut failure) = (Vec::new(), None);
    while let Some((block, marked)) = under_way.next().await {
        match marked {
            Ok(Marked::Written) => new.push(block),
            Ok(Marked::Already | Marked::NoBlock) => {}
            Err(error) => failure = failure.or(Some(error)),
        }
    }
    new.sort_unstable();
    failure.map_or(Ok(new), Err)
}
