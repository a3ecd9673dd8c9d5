//! What may be done beside a pass, which can take hours: looking, and deleting what is due.

use super::PassOptions;
use super::run::{look, syncer};
use crate::error::Result;
use crate::job::catalog::Syncer;
use crate::job::clean::{self, Cleaned};
use crate::job::{Env, Event, Level};

/// Looks at a bucket beside a pass; knows what it has seen.
pub struct Beside {
    syncer: Syncer,
}

impl Beside {
    /// Has seen nothing yet.
    pub fn new(env: &Env, options: &PassOptions) -> Self {
        Beside { syncer: syncer(env, options, false) }
    }

    /// Looks, so that whoever listens hears what is there.
    ///
    /// # Errors
    /// A bucket that cannot be looked at, wholly or in part.
    pub async fn look(&mut self, env: &Env, options: &PassOptions) -> Result<()> {
        look(env, options, &mut self.syncer).await.map(drop)
    }

    /// Deletes blocks whose delay is over and uploads that were given up. A marked block is no input of a
    /// compaction, so that none under way is disturbed.
    ///
    /// # Errors
    /// As [`look`](Beside::look): then nothing is deleted.
    pub async fn clean(&mut self, env: &Env, options: &PassOptions) -> Result<Cleaned> {
        let (catalog, selection) = look(env, options, &mut self.syncer).await?;
        let now = env.clock.now();
        let mut due = clean::due(&selection, &catalog, options.delete_delay, now);
        due.extend(clean::given_up(&catalog, now));
        let cleaned = clean::run(env, &catalog, &due).await;
        for error in &cleaned.errors {
            let text = format!("not cleaned, the next cleanup tries again: {error}");
            env.report.event(Event::Note { level: Level::Warn, block: error.block_id(), text: &text });
        }
        env.report.event(Event::Cleaned);
        Ok(cleaned)
    }
}
