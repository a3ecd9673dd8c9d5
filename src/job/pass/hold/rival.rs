//! What other compactors work on is left alone.

use super::*;
use crate::job::Work;
use crate::job::filter::Selection;
use crate::job::quarantine::{Failure, Standing};
use crate::job::rival::{LEFT_ALONE_FOR, Rivals};

impl<C: Compactor> Pass<'_, C> {
    /// Looks for blocks of other compactors in a look that `began` then, and says so.
    pub(in crate::job::pass) fn look_for_rivals(&mut self, selection: &Selection, began: Millis) {
        let alone = LEFT_ALONE_FOR / self.options.range_divisor.max(1);
        let rivals = Rivals::find(selection, self.env.bucket.own(), began, alone);
        self.env.report.event(Event::Rivals { blocks: rivals.count() });
        for rival in rivals.at(self.env.clock.now()) {
            if self.holds.rivals_told.insert(rival.block) {
                let text = rival.error().to_string();
                self.env.report.event(Event::Note { level: Level::Warn, block: Some(rival.block), text: &text });
            }
        }
        self.rivals = rivals;
    }

    /// Whether another compactor is at work on blocks of these labels: then the group is left alone, and that is in the
    /// result.
    pub(super) fn is_anothers(&mut self, group: &Group, now: Millis) -> bool {
        let Some(rival) = self.rivals.of(&group.labels, now) else { return false };
        let error = rival.error();
        let entry = Entry::new(Work::Compaction, Standing::Retrying, Failure::of(group, Vec::new(), 0), &error, rival.made);
        self.holds.found.push(Entry { next_try: rival.until, ..entry });
        self.stop(&group.key, Standing::Retrying);
        let (group, labels, standing) = (group.key.clone(), LabelSet::clone(&group.labels), Standing::Retrying);
        self.result.errors.push(GroupError { group, labels, standing, tried: false, error });
        true
    }
}
