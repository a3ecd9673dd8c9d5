//! Carrying retention out: marks, unless something speaks against it.

use futures::{StreamExt, stream};

use super::{Brake, Expired, Held, History, Owes, RetentionPlan, brakes, plan_knowing};
use crate::block::retire::Marked;
use crate::error::{Error, Result};
use crate::job::catalog::CatalogBlock;
use crate::job::downsample::Empties;
use crate::job::mark;
use crate::job::pass::PassOptions;
use crate::job::plan::size_text;
use crate::job::{Env, Event, Level};
use crate::model::Millis;

/// Marks that are made at a time.
const MARKS_AT_A_TIME: usize = 8;

/// What retention came to in one pass, which may look more than once.
#[derive(Debug, Default)]
pub struct Retained {
    /// Blocks that were marked for deletion.
    pub marked: Vec<Expired>,
    /// Blocks that were held when it was last looked.
    pub held: Vec<Held>,
    /// Why nothing was marked when it was last looked.
    pub brakes: Vec<Brake>,
    /// What could not be asked or marked; the next pass tries again.
    pub errors: Vec<Error>,
    /// When it was last looked, if it was.
    looked: Option<Millis>,
    /// What earlier passes marked, as it was known when this one began.
    history: Option<History>,
}

impl Retained {
    /// Whether all was done that was to be done.
    pub fn is_clean(&self) -> bool {
        self.brakes.is_empty() && self.errors.is_empty()
    }

    /// Whether nobody looked within `length` before `now`.
    pub fn is_older_than(&self, length: Millis, now: Millis) -> bool {
        self.looked.is_none_or(|at| now.saturating_sub(at) >= length)
    }
}

/// Plans, and looks for brakes; reads only.
///
/// # Errors
/// What the bucket says when it is asked for the time.
pub async fn look(env: &Env, blocks: &[CatalogBlock], options: &PassOptions) -> Result<RetentionPlan> {
    let mut plan = plan_knowing(blocks, options, env.clock.now(), &empties(env, options));
    if !plan.expired.is_empty() && !options.retention_confirm {
        let theirs = time_by_looking(env, blocks).await?;
        let history = History::read(&env.scratch, env.bucket.name());
        plan.brakes = brakes(&plan, &history, 0, env.clock.now(), theirs);
    }
    Ok(plan)
}

/// The time by the bucket's clock, as far as it can be told without writing anything.
///
/// # Errors
/// What the bucket says when it is asked.
pub(crate) async fn time_by_looking(env: &Env, blocks: &[CatalogBlock]) -> Result<Option<Millis>> {
    // on a local disk the time comes from a file that is written
    let told = match blocks.first() {
        Some(block) if !env.bucket.is_local() => env.bucket.date(&block.id.to_string()).await?,
        _ => None,
    };
    Ok(told.or_else(|| newest(env, blocks)))
}

/// Plans, marks what has expired unless a brake says no, and takes what was marked out of `blocks`.
///
/// It reports what it does, and never fails: what went wrong is in `retained`.
pub async fn run(env: &Env, blocks: &mut Vec<CatalogBlock>, options: &PassOptions, retained: &mut Retained) {
    let now = env.clock.now();
    retained.looked = Some(now);
    let mut plan = plan_knowing(blocks, options, now, &empties(env, options));
    let already = retained.marked.iter().map(|e| e.bytes).fold(0, u64::saturating_add);
    if !plan.expired.is_empty() && !options.retention_confirm {
        let theirs = match clock(env, &plan, blocks).await {
            Ok(theirs) => theirs,
            Err(error) => return fail(env, retained, error),
        };
        let history = retained.history.get_or_insert_with(|| History::read(&env.scratch, env.bucket.name()));
        plan.brakes = brakes(&plan, history, already, now, theirs);
    }
    tell(env, &plan, retained);
    retained.held = std::mem::take(&mut plan.held);
    retained.brakes = plan.brakes;
    if !retained.brakes.is_empty() {
        return;
    }
    let expired = plan.expired.iter().filter(|_| !env.cancel.is_cancelled());
    let each = expired.map(|e| async move {
        let marked = mark::expired(env, e.block, &e.details()).await;
        (e, marked)
    });
    let mut under_way = stream::iter(each).buffer_unordered(MARKS_AT_A_TIME);
    while let Some((expired, marked)) = under_way.next().await {
        match marked {
            Ok(marked) => {
                blocks.retain(|b| b.id != expired.block);
                if marked == Marked::Written {
                    retained.marked.push(expired.clone());
                }
            }
            Err(error) => fail(env, retained, error),
        }
    }
    drop(under_way);
    retained.marked.sort_by_key(|e| e.block);
    let bytes = retained.marked.iter().map(|e| e.bytes).fold(0, u64::saturating_add);
    History::read(&env.scratch, env.bucket.name()).note(&env.scratch, bytes);
}

fn empties(env: &Env, options: &PassOptions) -> Empties {
    Empties::read(&env.scratch, options.downsample_policy.as_ref())
}

fn fail(env: &Env, retained: &mut Retained, error: Error) {
    let text = format!("retention: {error}; the next pass tries again");
    env.report.event(Event::Note { level: Level::Warn, block: error.block_id(), text: &text });
    retained.errors.push(error);
}

/// The time by the bucket's clock; where it does not tell, the newest object, if that is ahead of us.
async fn clock(env: &Env, plan: &RetentionPlan, blocks: &[CatalogBlock]) -> Result<Option<Millis>> {
    let Some(first) = plan.expired.first() else { return Ok(None) };
    let told = env.bucket.date(&first.block.to_string()).await?;
    Ok(told.or_else(|| newest(env, blocks)))
}

/// When the newest object was written, if that is still to come by our clock.
fn newest(env: &Env, blocks: &[CatalogBlock]) -> Option<Millis> {
    let newest = blocks.iter().flat_map(|b| b.objects.iter()).map(|o| o.modified).max();
    newest.filter(|&at| at > env.clock.now())
}

/// Says what is lost, held and stopped; what was said in this pass is not said again.
fn tell(env: &Env, plan: &RetentionPlan, before: &Retained) {
    let note = |level, block, text: &str| env.report.event(Event::Note { level, block, text });
    for brake in plan.brakes.iter().filter(|brake| !before.brakes.contains(brake)) {
        note(Level::Error, None, &format!("retention marks nothing: {brake}"));
    }
    for expired in &plan.expired {
        match (&expired.lost, plan.brakes.is_empty()) {
            (Some(why), true) => {
                note(Level::Warn, Some(expired.block), &format!("{} and is lost: {why}", expired.details()));
            }
            (None, true) => note(Level::Info, Some(expired.block), &expired.details()),
            (_, false) => {}
        }
    }
    let new = plan.held.iter().filter(|held| !before.held.contains(held));
    for held in new.clone() {
        let level = if matches!(held.owes, Owes::Person { .. }) { Level::Warn } else { Level::Debug };
        note(level, Some(held.block), &format!("expired and held: {}", held.owes));
    }
    let (count, bytes) = new.fold((0, 0u64), |(count, bytes), held| (count + 1, bytes.saturating_add(held.bytes)));
    if count > 0 {
        let text = format!("{count} expired blocks of {} are held until they are downsampled", size_text(bytes));
        note(Level::Info, None, &text);
    }
}
