//! How much may be done at a time: jobs of each kind, and memory and disk for all of them together.

use std::path::Path;

use crate::job::Work;
use crate::job::plan::{Needs, size_text};

/// What is taken, and what there is.
#[derive(Clone, Debug)]
pub(super) struct Room {
    /// Compactions and downsamplings that may be under way.
    slots: [usize; 2],
    under_way: [usize; 2],
    memory: u64,
    taken: Needs,
    /// Bytes that are free on the local disk; `None` where that is not known.
    disk: Option<u64>,
}

fn kind(work: Work) -> usize {
    match work {
        Work::Compaction => 0,
        Work::Downsampling => 1,
    }
}

impl Room {
    /// For so many compactions and downsamplings, which share so many bytes of memory.
    pub(super) fn new(compactions: usize, downsamplings: usize, memory: u64) -> Room {
        let slots = [compactions.max(1), downsamplings.max(1)];
        Room { slots, under_way: [0; 2], memory, taken: Needs::default(), disk: None }
    }

    /// Looks how much is free on the disk of `folder`, which need not be there yet, beside what is going to be taken.
    pub(super) fn look_at_disk(&mut self, folder: &Path) {
        self.disk = folder.ancestors().find(|f| f.exists()).and_then(free_bytes);
    }

    /// Why there is never room for this, with figures.
    pub(super) fn refusal(&self, needs: Needs) -> Option<String> {
        if needs.memory > self.memory {
            let (needs, has) = (size_text(needs.memory), size_text(self.memory));
            return Some(format!("it may take {needs} of memory, and {has} are allowed: raise --compact.memory-budget"));
        }
        match self.disk {
            Some(free) if needs.scratch > free => {
                let (needs, has) = (size_text(needs.scratch), size_text(free));
                Some(format!("it may take {needs} of scratch space, and {has} are free: make room, or set --data-dir"))
            }
            _ => None,
        }
    }

    /// Whether one more of this kind may begin, if it fits.
    pub(super) fn has_slot(&self, work: Work) -> bool {
        self.under_way[kind(work)] < self.slots[kind(work)]
    }

    /// Whether one more of any kind may begin, if it fits.
    pub(super) fn has_any_slot(&self) -> bool {
        self.has_slot(Work::Compaction) || self.has_slot(Work::Downsampling)
    }

    /// Whether there is room for this now. One alone may have all there is.
    pub(super) fn fits(&self, needs: Needs) -> bool {
        let is_alone = self.under_way == [0, 0];
        let fits = |taken: u64, needs: u64, has: u64| taken.saturating_add(needs) <= has;
        is_alone
            || fits(self.taken.memory, needs.memory, self.memory)
                && self.disk.is_none_or(|free| fits(self.taken.scratch, needs.scratch, free))
    }

    /// A job begins.
    pub(super) fn begin(&mut self, work: Work, needs: Needs) {
        self.under_way[kind(work)] += 1;
        self.taken.memory = self.taken.memory.saturating_add(needs.memory);
        self.taken.scratch = self.taken.scratch.saturating_add(needs.scratch);
    }

    /// It is over.
    pub(super) fn end(&mut self, work: Work, needs: Needs) {
        self.under_way[kind(work)] = self.under_way[kind(work)].saturating_sub(1);
        self.taken.memory = self.taken.memory.saturating_sub(needs.memory);
        self.taken.scratch = self.taken.scratch.saturating_sub(needs.scratch);
    }
}

/// Bytes that we may write to the disk of a folder that is there.
#[cfg(unix)]
fn free_bytes(folder: &Path) -> Option<u64> {
    let free = rustix::fs::statvfs(folder).ok()?;
    Some(free.f_bavail.saturating_mul(free.f_frsize))
}

#[cfg(not(unix))]
fn free_bytes(_: &Path) -> Option<u64> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_taken_comes_back() {
        let mut room = Room::new(2, 1, 100);
        let needs = Needs { memory: 60, scratch: 0, read: 0 };
        assert!(room.fits(needs));
        room.begin(Work::Compaction, needs);
        assert!(!room.fits(needs) && room.fits(Needs { memory: 40, ..needs }));
        assert!(room.has_slot(Work::Compaction) && room.has_slot(Work::Downsampling));
        room.end(Work::Compaction, needs);
        assert!(room.fits(needs));
        let why = room.refusal(Needs { memory: 101, ..needs }).unwrap();
        assert!(why.contains("101 B of memory") && why.contains("--compact.memory-budget"), "{why}");
    }

    #[test]
    #[cfg(unix)]
    fn the_disk_is_looked_at_where_the_folder_will_be() {
        let mut room = Room::new(1, 1, u64::MAX);
        assert_eq!(room.refusal(Needs { scratch: u64::MAX, ..Needs::default() }), None, "nothing is known yet");
        let folder = tempfile::tempdir().unwrap();
        room.look_at_disk(&folder.path().join("not/there/yet"));
        let why = room.refusal(Needs { scratch: u64::MAX, ..Needs::default() }).unwrap();
        assert!(why.contains("of scratch space"), "{why}");
        assert_eq!(room.refusal(Needs { scratch: 1, ..Needs::default() }), None);
    }
}
