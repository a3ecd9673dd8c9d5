//! What the compactor is going to do, from its last look at the bucket: computed when it is asked for, once a look, on a
//! thread of its own.

use std::sync::{Arc, Mutex};

use super::{Compactor, lock};
use crate::job::catalog::{Catalog, Partial};
use crate::job::filter::Selection;
use crate::job::forecast::{Knows, forecast};
use crate::job::pass::PassOptions;
use crate::model::Millis;

/// The last look, and what was made of it.
#[derive(Default)]
pub(super) struct Planned {
    seen: Mutex<Option<Arc<Seen>>>,
    /// The look that the answer is about, and the answer; locked while it is computed, so that it is once.
    answer: tokio::sync::Mutex<Option<(Arc<Seen>, Arc<str>)>>,
}

/// What a look found.
struct Seen {
    partial: Vec<Partial>,
    selection: Selection,
    options: PassOptions,
    at: Millis,
}

impl Planned {
    pub(super) fn looked(&self, catalog: &Catalog, selection: &Selection, options: &PassOptions, at: Millis) {
        let (partial, selection, options) = (catalog.partial.clone(), selection.clone(), options.clone());
        *lock(&self.seen) = Some(Arc::new(Seen { partial, selection, options, at }));
    }
}

impl Compactor {
    /// The `data` of an answer: the forecast as JSON, `null` before the first look.
    pub(super) async fn planned(self: &Arc<Self>) -> Arc<str> {
        let mut answer = self.plan.answer.lock().await;
        let Some(seen) = lock(&self.plan.seen).clone() else { return "null".into() };
        if let Some((of, text)) = &*answer
            && Arc::ptr_eq(of, &seen)
        {
            return text.clone();
        }
        let (compactor, of) = (Arc::clone(self), Arc::clone(&seen));
        // many blocks take a while
        let computed = tokio::task::spawn_blocking(move || compactor.plan_of(&of)).await;
        let text: Arc<str> = computed.unwrap_or_else(|_| "null".to_owned()).into();
        *answer = Some((seen, text.clone()));
        text
    }

    fn plan_of(&self, seen: &Seen) -> String {
        let Some(bucket) = self.bucket.get() else { return "null".to_owned() };
        let mut knows = Knows::read(bucket, &self.settings.data_dir, &seen.options, seen.at);
        knows.prices = self.settings.prices;
        let catalog = Catalog { partial: seen.partial.clone(), ..Catalog::default() };
        let forecast = forecast(&catalog, &seen.selection, &seen.options, &knows);
        serde_json::to_string(&forecast).unwrap_or_else(|_| "null".to_owned())
    }
}
