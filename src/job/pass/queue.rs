//! What is ready, and which of it begins next.
//!
//! *Order*: what takes most blocks away for a byte goes first. Who has waited for [`LONGEST_WAIT`] goes before all
//! others, and nothing of its kind begins while there is no room for it; so nobody waits for ever.

use super::room::Room;
use crate::job::Work;
use crate::job::plan::Needs;
use crate::model::Millis;

/// After so long nobody is let past.
const LONGEST_WAIT: Millis = 6 * 3_600_000;

/// A job that may begin.
#[derive(Debug)]
pub(super) struct Ready<T> {
    pub(super) task: T,
    pub(super) work: Work,
    pub(super) needs: Needs,
    /// Blocks that there are less of when it is done, or levels that there are more.
    pub(super) gain: usize,
    /// When it was planned first.
    pub(super) since: Millis,
}

impl<T> Ready<T> {
    fn worth(&self) -> f64 {
        self.gain as f64 / (1 + self.needs.read) as f64
    }

    fn has_waited(&self, now: Millis) -> bool {
        now.saturating_sub(self.since) >= LONGEST_WAIT
    }
}

/// Jobs that may begin.
#[derive(Debug)]
pub(super) struct Queue<T> {
    ready: Vec<Ready<T>>,
}

impl<T> Queue<T> {
    /// Of what is ready at `now`; of equals the first is first.
    pub(super) fn new(mut ready: Vec<Ready<T>>, now: Millis) -> Self {
        ready.sort_by(|a, b| {
            let late = |r: &Ready<T>| if r.has_waited(now) { r.since } else { Millis::MAX };
            late(a).cmp(&late(b)).then(b.worth().total_cmp(&a.worth()))
        });
        Queue { ready }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.ready.is_empty()
    }

    /// The next job for which there is room; it is taken out of the queue.
    pub(super) fn take(&mut self, room: &Room, now: Millis) -> Option<Ready<T>> {
        let mut reserved: Vec<Work> = Vec::new();
        for at in 0..self.ready.len() {
            let ready = &self.ready[at];
            if reserved.contains(&ready.work) || !room.has_slot(ready.work) {
                continue;
            }
            if room.fits(ready.needs) {
                return Some(self.ready.remove(at));
            }
            if ready.has_waited(now) {
                reserved.push(ready.work);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ready(name: char, gain: usize, read: u64, since: Millis) -> Ready<char> {
        Ready { task: name, work: Work::Compaction, needs: Needs { memory: read, scratch: 0, read }, gain, since }
    }

    fn names(queue: &mut Queue<char>, room: &Room, now: Millis) -> String {
        std::iter::from_fn(|| queue.take(room, now)).map(|r| r.task).collect()
    }

    #[test]
    fn what_takes_most_blocks_away_for_a_byte() {
        let jobs = || vec![ready('a', 3, 300, 5), ready('b', 3, 100, 5), ready('c', 30, 600, 5), ready('d', 3, 100, 4)];
        let room = Room::new(9, 9, 1_000);
        assert_eq!(names(&mut Queue::new(jobs(), 6), &room, 6), "cbda");
        let late = 5 + LONGEST_WAIT;
        assert_eq!(names(&mut Queue::new(jobs(), late), &room, late), "dcba");
        assert_eq!(names(&mut Queue::new(jobs(), late - 1), &room, late - 1), "dcba");
    }

    #[test]
    fn small_jobs_pass_a_large_one_until_it_has_waited() {
        let jobs = || vec![ready('l', 1, 800, 0), ready('s', 1, 100, 1), ready('t', 1, 100, 1)];
        let mut room = Room::new(9, 9, 1_000);
        room.begin(Work::Compaction, Needs { memory: 300, ..Needs::default() });
        assert_eq!(names(&mut Queue::new(jobs(), 2), &room, 2), "st");
        assert_eq!(names(&mut Queue::new(jobs(), LONGEST_WAIT), &room, LONGEST_WAIT), "", "the large one waits for room");
        room.end(Work::Compaction, Needs { memory: 300, ..Needs::default() });
        assert_eq!(names(&mut Queue::new(jobs(), LONGEST_WAIT), &room, LONGEST_WAIT), "lst");
    }

    #[test]
    fn kinds_have_slots_of_their_own() {
        let mut queue = Queue::new(vec![ready('a', 1, 1, 0), ready('b', 1, 1, 0)], 0);
        queue.ready[1].work = Work::Downsampling;
        let mut room = Room::new(1, 1, 1_000);
        room.begin(Work::Compaction, Needs::default());
        assert_eq!(queue.take(&room, 0).map(|r| r.task), Some('b'));
        assert!(queue.take(&room, 0).is_none());
        assert!(!queue.is_empty());
    }
}
