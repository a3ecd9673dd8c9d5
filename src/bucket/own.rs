//! What this process did to a bucket: blocks that it made, and changes that a listing may not show yet.
//!
//! A store is asked for one key and tells the truth; its listings may lag behind (thanos#9042). Whoever plans from a
//! listing without the block that was just written, and with the marks of its sources, compacts around a hole. So
//! every listing is held against what was changed here: where the two differ, the object is asked for by its key.
//! A store whose listings keep up is asked nothing more; one whose listings never do costs a request for each object
//! that they do not show.
//!
//! *Memory:* a key and some 100 bytes for each object that was changed and not listed since, at most [`MOST_KEYS`].

use std::collections::{BTreeMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::model::{BlockId, Millis};

/// Changes that are remembered at a time; beyond, the older half is forgotten: a listing that lags by so many objects
/// is none.
const MOST_KEYS: usize = 200_000;

/// How long a change is remembered at least, although a listing shows it: the next one may come from another machine.
const REMEMBERED_FOR: Duration = Duration::from_secs(600);

/// The object by which a folder becomes a block.
const META: &str = "meta.json";

/// What this process did to a bucket, through all clones of it.
#[derive(Debug, Default)]
pub struct Own {
    state: Mutex<State>,
    /// Objects of which listings said otherwise than the store itself.
    late: AtomicU64,
    /// When it looked first, and blocks that it found then and that a later look must not take for new.
    first: Mutex<Option<(Millis, Arc<[BlockId]>)>>,
}

#[derive(Debug, Default)]
struct State {
    changes: BTreeMap<String, Change>,
    blocks: HashSet<BlockId>,
    /// Changes so far.
    made: u64,
}

/// The last that was done to an object, or tried.
#[derive(Clone, Copy, Debug)]
struct Change {
    /// Its number among all.
    number: u64,
    at: Instant,
    /// The object should be there.
    there: bool,
}

/// What to think of an object that is listed, or is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Believe {
    /// The listing.
    Listing,
    /// The listing, which shows what was done here.
    Shown,
    /// Nobody: it has to be asked for.
    Nobody,
}

impl Own {
    /// Whether this process made the block `id` visible, or tried to.
    pub fn is_block(&self, id: BlockId) -> bool {
        self.state().blocks.contains(&id)
    }

    /// When this process looked at the bucket first, and what it found then that is worth remembering; `now` and what
    /// `there` says of it, if this is the first look since the beginning or since [`Own::begin_anew`].
    pub fn first_look(&self, now: Millis, there: impl FnOnce(Millis) -> Vec<BlockId>) -> (Millis, Arc<[BlockId]>) {
        let mut first = self.first.lock().unwrap_or_else(PoisonError::into_inner);
        let (since, blocks) = first.get_or_insert_with(|| (now, there(now).into()));
        (*since, Arc::clone(blocks))
    }

    /// Somebody else may have worked on the bucket until now, by right: the next look is the first one.
    pub fn begin_anew(&self) {
        *self.first.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Objects so far of which a listing did not show what this process had done to them before it began.
    pub fn late(&self) -> u64 {
        self.late.load(Relaxed)
    }

    /// An object is about to be written, or was.
    pub(crate) fn writes(&self, key: &str) {
        self.changes(key, true);
    }

    /// An object is about to be deleted, or was.
    pub(super) fn deletes(&self, key: &str) {
        self.changes(key, false);
    }

    fn changes(&self, key: &str, there: bool) {
        let mut state = self.state();
        state.made += 1;
        let change = Change { number: state.made, at: Instant::now(), there };
        state.changes.insert(key.to_owned(), change);
        if there && let Some(id) = key.split_once('/').filter(|(_, name)| *name == META).and_then(|(id, _)| id.parse().ok()) {
            state.blocks.insert(id);
        }
        if state.changes.len() > MOST_KEYS {
            let mut numbers: Vec<u64> = state.changes.values().map(|c| c.number).collect();
            let (_, &mut middle, _) = numbers.select_nth_unstable(MOST_KEYS / 2);
            state.changes.retain(|_, c| c.number > middle);
        }
    }

    /// What is done from now on has a higher number.
    pub(super) fn number(&self) -> u64 {
        self.state().made
    }

    /// What to think of an object that a listing shows.
    pub(super) fn listed(&self, key: &str) -> Believe {
        match self.state().changes.get(key) {
            None => Believe::Listing,
            Some(Change { there: true, .. }) => Believe::Shown,
            Some(Change { there: false, .. }) => Believe::Nobody,
        }
    }

    /// Objects below `folder` ("" for all) that should be there, and are not among those that were `shown`: by key.
    pub(super) fn missing(&self, folder: &str, shown: &HashSet<String>) -> Vec<String> {
        let state = self.state();
        let below = below(&state.changes, folder);
        below.filter(|(key, change)| change.there && !shown.contains(*key)).map(|(key, _)| key.clone()).collect()
    }

    /// A listing of `folder`, which began after change `began`, is over and showed these of our objects: what it is
    /// right about is forgotten, in time.
    pub(super) fn settle(&self, folder: &str, began: u64, shown: &HashSet<String>) {
        let mut state = self.state();
        let is_over = |(key, change): &(&String, &Change)| {
            change.number <= began && change.at.elapsed() >= REMEMBERED_FOR && change.there == shown.contains(*key)
        };
        let over: Vec<String> = below(&state.changes, folder).filter(is_over).map(|(key, _)| key.clone()).collect();
        over.iter().for_each(|key| _ = state.changes.remove(key));
    }

    /// The store itself said of an object, in a listing that began after change `began`, whether it `is_there`, and the
    /// listing had said otherwise.
    pub(super) fn told(&self, key: &str, began: u64, is_there: bool) {
        let mut state = self.state();
        let Some(&change) = state.changes.get(key).filter(|c| c.number <= began) else { return };
        match change.there == is_there {
            true => _ = self.late.fetch_add(1, Relaxed),
            // it was not done after all, or somebody else undid it
            false => _ = state.changes.remove(key),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Changes below a folder, by key.
fn below<'a>(changes: &'a BTreeMap<String, Change>, folder: &str) -> impl Iterator<Item = (&'a String, &'a Change)> + use<'a> {
    let prefix = if folder.is_empty() { String::new() } else { format!("{}/", folder.trim_end_matches('/')) };
    changes.range(prefix.clone()..).take_while(move |(key, _)| key.starts_with(&prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(own: &Own, folder: &str) -> Vec<String> {
        own.missing(folder, &HashSet::new())
    }

    #[test]
    fn blocks_that_were_made_are_known_for_ever_and_marks_make_none() {
        let (own, [a, b]) = (Own::default(), [1, 2].map(|n| BlockId::from_parts(n, 0)));
        own.writes(&format!("{a}/meta.json"));
        own.deletes(&format!("{a}/meta.json"));
        own.writes(&format!("{b}/deletion-mark.json"));
        own.writes("blockyard/meta.json");
        assert_eq!((own.is_block(a), own.is_block(b)), (true, false));
        assert_eq!(own.first_look(5, |_| vec![a]), (5, [a].into()));
        assert_eq!(own.first_look(9, |_| vec![b]), (5, [a].into()));
        own.begin_anew();
        assert_eq!(own.first_look(9, |_| vec![b]), (9, [b].into()));
    }

    #[tokio::test(start_paused = true)]
    async fn what_a_listing_shows_is_forgotten_in_time() {
        let own = Own::default();
        own.writes("a/1");
        own.writes("a/2");
        own.writes("ab/1");
        own.deletes("a/3");
        assert_eq!((keys(&own, "a"), keys(&own, "").len()), (vec!["a/1".to_owned(), "a/2".to_owned()], 3));
        assert_eq!(["a/1", "a/3", "a/4"].map(|key| own.listed(key)), [Believe::Shown, Believe::Nobody, Believe::Listing]);

        let shown = HashSet::from(["a/1".to_owned()]);
        own.settle("a", own.number(), &shown);
        assert_eq!(keys(&own, "a").len(), 2, "the next listing may come from another machine");
        let began = own.number();
        tokio::time::advance(REMEMBERED_FOR).await;
        own.writes("a/1");
        own.settle("a", began, &shown);
        assert_eq!((keys(&own, "a").len(), own.listed("a/3")), (2, Believe::Listing), "a/1 was written again meanwhile");
        tokio::time::advance(REMEMBERED_FOR).await;
        own.settle("a", own.number(), &shown);
        assert_eq!(keys(&own, ""), ["a/2", "ab/1"]);
    }

    #[test]
    fn what_the_store_itself_says_counts() {
        let own = Own::default();
        own.writes("a/1");
        own.writes("a/2");
        let began = own.number();
        own.writes("a/3");
        for (key, is_there) in [("a/1", true), ("a/2", false), ("a/3", true), ("b", true)] {
            own.told(key, began, is_there);
        }
        assert_eq!((own.late(), keys(&own, "")), (1, vec!["a/1".to_owned(), "a/3".to_owned()]));
    }

    #[test]
    fn the_older_half_goes_when_there_are_too_many() {
        let own = Own::default();
        (0..=MOST_KEYS).for_each(|n| own.writes(&format!("{n:08}")));
        let kept = keys(&own, "");
        assert_eq!((kept.len(), kept[0].as_str()), (MOST_KEYS / 2, format!("{:08}", MOST_KEYS / 2 + 1).as_str()));
    }
}
