//! What is said of groups that are not healthy: to people, in the result, to whoever counts.

use std::collections::BTreeMap;

use super::*;
use crate::job::quarantine::Standing;
use crate::model::Timestamp;

/// Whether a failure is this pass's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tried {
    Yes,
    No,
}

impl<C: Compactor> Pass<'_, C> {
    pub(super) fn note_second_look(&self, name: &str, error: &Error) {
        let text = format!("group {name}: {error}; before that is believed, the bucket is listed and the block read once more");
        self.env.report.event(Event::Note { level: Level::Warn, block: error.block_id(), text: &text });
    }

    /// Says what is the matter with a group, and puts it in the result, unless it is there already.
    pub(super) fn tell(&mut self, entry: &Entry, tried: Tried) -> bool {
        if entry.is_held() && !entry.blocks.is_empty() && !self.holds.told.insert(entry.blocks.clone()) {
            return false;
        }
        let (name, standing) = (name(entry.resolution, &entry.labels), entry.standing);
        let (error, until) = (entry.error(), self.until(entry));
        let since = Timestamp::from_millis(entry.since);
        let text = match (tried, standing) {
            (Tried::Yes, Standing::Retrying) => format!("group {name}: {error}; {}", until),
            (Tried::Yes, _) => format!("group {name} is {}: {error}; {}", standing.as_str(), until),
            (Tried::No, _) => format!("group {name} is {} since {since}, not tried: {error}; {}", standing.as_str(), until),
        };
        let level = if standing == Standing::Retrying && tried == Tried::No { Level::Warn } else { Level::Error };
        self.env.report.event(Event::Note { level, block: error.block_id(), text: &text });
        let labels = entry.labels.clone();
        let tried = tried == Tried::Yes;
        self.result.errors.push(GroupError { group: entry.group.clone(), labels, standing, tried, error });
        true
    }

    /// What ends a state, for people.
    pub(super) fn until(&self, entry: &Entry) -> String {
        match (entry.standing, entry.next_try) {
            (Standing::Retrying, at) if at != 0 && self.options.back_off => {
                format!("tried again after {}", Timestamp::from_millis(at))
            }
            (Standing::Retrying, _) => "the next pass tries again".to_owned(),
            (..) if !self.holds.is_kept(entry) => "it is looked at again in each pass".to_owned(),
            (..) => {
                let file = store::path(&self.env.scratch);
                format!("not tried again until the blocks or their marks change, or {} is removed", file.display())
            }
        }
    }

    /// Tells whoever listens how all groups stand.
    pub(in crate::job::pass) fn report_groups(&mut self) {
        let troubles = self.holds.troubles();
        let mut worst: BTreeMap<(&str, &LabelSet), Standing> = BTreeMap::new();
        for entry in &troubles {
            let standing = worst.entry((&entry.group, &entry.labels)).or_insert(entry.standing);
            *standing = entry.standing.max(*standing);
        }
        let mut standings: BTreeMap<Standing, usize> = Standing::ALL.into_iter().map(|s| (s, 0)).collect();
        for standing in worst.values() {
            *standings.entry(*standing).or_default() += 1;
        }
        *standings.entry(Standing::Healthy).or_default() += self.holds.groups.saturating_sub(worst.len());
        self.env.report.event(Event::Groups { standings: &standings, troubles: &troubles });
        self.result.standings = standings;
    }
}
