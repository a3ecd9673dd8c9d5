//! What ends a state: a change that a listing shows, an object that can be read again, success.

use super::*;
use crate::bucket::is_archived;
use crate::error::Kind;
use crate::job::Work;
use crate::job::quarantine::Standing;

impl<C: Compactor> Pass<'_, C> {
    /// Lets go of what changed since it failed; `blocks` are all that are worked on.
    pub(in crate::job::pass) async fn lift(&mut self, blocks: &[CatalogBlock]) {
        if self.holds.state.entries().is_empty() {
            return;
        }
        let by_id: HashMap<BlockId, &CatalogBlock> = blocks.iter().map(|b| (b.id, b)).collect();
        let salt = self.options.salt();
        let mut restored = HashSet::new();
        let archived = self.holds.state.entries().iter().filter(|e| e.standing == Standing::Archived);
        // once in a pass is enough
        for entry in archived.filter(|e| !self.holds.told.contains(&e.blocks)) {
            if self.is_restored(entry).await {
                restored.insert(entry.blocks.clone());
            }
        }
        let lifted = self.holds.state.lift(|entry| {
            if entry.blocks.is_empty() {
                return blocks.iter().any(|b| b.meta.resolution() == entry.resolution && *b.labels == entry.labels);
            }
            let all: Option<Vec<&CatalogBlock>> = entry.blocks.iter().map(|id| by_id.get(id).copied()).collect();
            all.is_some_and(|all| print(all, &salt) == entry.print) && !restored.contains(&entry.blocks)
        });
        for entry in lifted.iter().filter(|e| e.is_held()) {
            let name = name(entry.resolution, &entry.labels);
            let text = format!("group {name} is {} no more: its blocks or marks changed", entry.standing.as_str());
            self.env.report.event(Event::Note { level: Level::Info, block: entry.block, text: &text });
        }
        if !lifted.is_empty() {
            self.keep();
        }
    }

    /// Whether an object came back from an archive, which no listing tells.
    async fn is_restored(&self, entry: &Entry) -> bool {
        let (Some(block), Some(part)) = (entry.block, &entry.part) else { return true };
        let folder = format!("{block}/");
        let key = if part.starts_with(&folder) { part.clone() } else { folder + part };
        match self.env.bucket.get_range(&key, 0..1).await {
            Ok(_) => true,
            Err(error) => !is_archived(&error) && error.kind() != Kind::Unavailable,
        }
    }

    /// A step of `group` went well, and these blocks are `done`.
    pub(in crate::job::pass) fn praise(&mut self, work: Work, group: &str, labels: &LabelSet, done: Option<&[BlockId]>) {
        let before = self.holds.state.entries().len();
        self.holds.state.succeeded(work, group, labels, done);
        if self.holds.state.entries().len() != before {
            self.keep();
        }
    }
}
