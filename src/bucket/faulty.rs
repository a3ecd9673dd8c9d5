//! A store that fails as we tell it, for simulations and tests.
//!
//! Whether a request fails, and how, is a function of the seed, the operation, its key and how
//! often that pair was asked for before: a printed seed replays a run, and a change elsewhere in
//! the run does not move the faults of a key.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::{self, BoxStream, StreamExt, TryStreamExt};
use object_store::path::Path as Key;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, GetResultPayload, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    ObjectStoreExt, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result, UploadPart,
};
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// What goes wrong, how often. The default is nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Faults {
    /// Which of all possible runs.
    pub seed: u64,
    /// Requests of a thousand that fail at once, with nothing done.
    pub error_permille: u32,
    /// Requests of a thousand that fail after [`Faults::timeout`], with nothing done.
    pub timeout_permille: u32,
    /// How long such a request waits; virtual where the runtime's time is.
    pub timeout: Duration,
    /// Reads of a thousand whose answer ends too early.
    pub short_read_permille: u32,
    /// Writes and deletes of a thousand that are done, and then said to have failed.
    pub lost_answer_permille: u32,
    /// New objects of a thousand that listings do not show at first.
    pub lag_permille: u32,
    /// After so many further operations of the store they do.
    pub lag_operations: u64,
    /// Requests take up to so long before anything is done; virtual where the runtime's time is. Then the order of
    /// those that are under way together follows from the seed, and not from threads of the machine.
    pub latency: Duration,
    /// A request for one key fails at most so often in a row, so that whoever tries again gets
    /// through; 0 for no limit.
    pub failures_in_a_row: u32,
    /// Operations that work; from then on all fail, as if the machine had been switched off.
    pub crash_after: Option<u64>,
    /// Whether the operation that the crash happens in is done; `None` leaves it to chance.
    pub crash_done: Option<bool>,
}

/// One operation, and what becomes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asked<'a> {
    /// Its number, from 1.
    pub number: u64,
    /// What was asked for, such as `Put`.
    pub operation: &'static str,
    /// Of which key, or below which folder.
    pub key: &'a str,
    /// The fault it is made to meet, such as `LostAnswer`.
    pub fault: Option<&'static str>,
}

/// Who hears of every operation before it is done.
#[derive(Clone)]
struct Listener(Arc<dyn Fn(Asked<'_>) + Send + Sync>);

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Listener")
    }
}

/// A store behind faults; cheap to clone.
#[derive(Clone, Debug)]
pub struct Faulty {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    store: Arc<dyn ObjectStore>,
    faults: Faults,
    listener: Option<Listener>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    operations: u64,
    failed: u64,
    /// How often each operation was asked for each key.
    attempts: HashMap<(Op, String), Attempts>,
    /// Objects that listings do not show before that many operations.
    hidden: HashMap<Key, u64>,
}

#[derive(Debug, Default)]
struct Attempts {
    made: u32,
    failed_in_a_row: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Op {
    Put,
    BeginParts,
    Part,
    Complete,
    Abort,
    Get,
    Delete,
    List,
    Copy,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    Error,
    Timeout,
    ShortRead,
    LostAnswer,
    Crash { done: bool },
}

impl Op {
    fn name(self) -> &'static str {
        match self {
            Op::Put => "Put",
            Op::BeginParts => "BeginParts",
            Op::Part => "Part",
            Op::Complete => "Complete",
            Op::Abort => "Abort",
            Op::Get => "Get",
            Op::Delete => "Delete",
            Op::List => "List",
            Op::Copy => "Copy",
        }
    }
}

impl Fault {
    fn name(self) -> &'static str {
        match self {
            Fault::Error => "Error",
            Fault::Timeout => "Timeout",
            Fault::ShortRead => "ShortRead",
            Fault::LostAnswer => "LostAnswer",
            Fault::Crash { done: true } => "Crash, done",
            Fault::Crash { done: false } => "Crash",
        }
    }
}

impl Faulty {
    /// Puts `store` behind `faults`. A second one over the same store is the machine switched on
    /// again.
    pub fn new(store: Arc<dyn ObjectStore>, faults: Faults) -> Self {
        Faulty { shared: Arc::new(Shared { store, faults, listener: None, state: Mutex::default() }) }
    }

    /// The same with somebody who hears of every operation before it is done; must not block.
    pub fn heard(store: Arc<dyn ObjectStore>, faults: Faults, hears: impl Fn(Asked<'_>) + Send + Sync + 'static) -> Self {
        let listener = Some(Listener(Arc::new(hears)));
        Faulty { shared: Arc::new(Shared { store, faults, listener, state: Mutex::default() }) }
    }

    /// What is behind the faults: the bucket as it stands after a crash.
    pub fn store(&self) -> Arc<dyn ObjectStore> {
        Arc::clone(&self.shared.store)
    }

    /// Operations so far, failed ones too: every number below it is a place to crash at.
    pub fn operations(&self) -> u64 {
        self.state().operations
    }

    /// Operations that were made to fail.
    pub fn failed(&self) -> u64 {
        self.state().failed
    }

    /// Whether [`Faults::crash_after`] has been reached.
    pub fn crashed(&self) -> bool {
        self.shared.faults.crash_after.is_some_and(|n| self.operations() > n)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Waits until an operation arrives, counts it, and says what becomes of it.
    async fn arrive(&self, op: Op, key: &str) -> Option<Fault> {
        let faults = &self.shared.faults;
        if !faults.latency.is_zero() {
            let made = self.state().attempts.get(&(op, key.to_owned())).map_or(0, |a| a.made);
            let share = faults.draw(op, &format!("{key} on its way"), made) % 1_000_000;
            tokio::time::sleep(faults.latency.mul_f64(share as f64 / 1e6)).await;
        }
        self.next(op, key)
    }

    /// Counts an operation and says what becomes of it.
    fn next(&self, op: Op, key: &str) -> Option<Fault> {
        let faults = &self.shared.faults;
        let mut state = self.state();
        state.operations += 1;
        let number = state.operations;
        let attempts = state.attempts.entry((op, key.to_owned())).or_default();
        attempts.made += 1;
        let fault = match faults.crash_after {
            Some(n) if number > n => {
                let done = || faults.crash_done.unwrap_or_else(|| faults.draw(op, key, attempts.made).is_multiple_of(2));
                let done = number == n + 1 && done();
                Some(Fault::Crash { done })
            }
            _ if faults.failures_in_a_row > 0 && attempts.failed_in_a_row >= faults.failures_in_a_row => None,
            _ => faults.fault(op, key, attempts.made),
        };
        match fault {
            None => attempts.failed_in_a_row = 0,
            Some(_) => {
                attempts.failed_in_a_row += 1;
                state.failed += 1;
            }
        }
        drop(state);
        if let Some(Listener(hears)) = &self.shared.listener {
            hears(Asked { number, operation: op.name(), key, fault: fault.map(Fault::name) });
        }
        fault
    }

    /// Runs an operation that changes something, or does not, or says it did not.
    async fn change<T>(&self, op: Op, key: &Key, run: impl Future<Output = Result<T>>) -> Result<T> {
        match self.arrive(op, key.as_ref()).await {
            None => run.await,
            Some(fault @ (Fault::LostAnswer | Fault::Crash { done: true })) => {
                run.await?;
                Err(self.failure(fault, op, key.as_ref()).await)
            }
            Some(fault) => Err(self.failure(fault, op, key.as_ref()).await),
        }
    }

    async fn failure(&self, fault: Fault, op: Op, key: &str) -> Error {
        if fault == Fault::Timeout {
            tokio::time::sleep(self.shared.faults.timeout).await;
        }
        Error::Generic { store: "Faulty", source: format!("{fault:?} injected into {op:?} of `{key}`").into() }
    }

    /// A new object may take its time to appear in listings.
    fn appeared(&self, key: &Key) {
        let faults = &self.shared.faults;
        let mut state = self.state();
        let until = state.operations + faults.lag_operations;
        if faults.lag_permille > 0 && faults.draw(Op::List, key.as_ref(), 0) % 1000 < u64::from(faults.lag_permille) {
            state.hidden.entry(key.clone()).or_insert(until);
        }
    }

    fn shows(&self, key: &Key) -> bool {
        let state = self.state();
        state.hidden.get(key).is_none_or(|until| state.operations > *until)
    }

    /// Whether anything below a folder is shown.
    async fn shows_folder(&self, folder: &Key) -> Result<bool> {
        if self.state().hidden.is_empty() {
            return Ok(true);
        }
        let mut below = self.shared.store.list(Some(folder));
        while let Some(found) = below.try_next().await? {
            if self.shows(&found.location) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

impl Faults {
    /// The fault of an attempt at an operation, a pure function.
    fn fault(&self, op: Op, key: &str, attempt: u32) -> Option<Fault> {
        let mut drawn = self.draw(op, key, attempt) % 1000;
        let reads = op == Op::Get;
        let changes = !matches!(op, Op::Get | Op::List | Op::BeginParts);
        [
            (self.error_permille, Fault::Error, true),
            (self.timeout_permille, Fault::Timeout, true),
            (self.short_read_permille, Fault::ShortRead, reads),
            (self.lost_answer_permille, Fault::LostAnswer, changes),
        ]
        .into_iter()
        .filter(|(.., applies)| *applies)
        .find_map(|(share, fault, _)| match drawn.checked_sub(share.into()) {
            None => Some(fault),
            Some(rest) => {
                drawn = rest;
                None
            }
        })
    }

    fn draw(&self, op: Op, key: &str, attempt: u32) -> u64 {
        xxh3_64_with_seed(format!("{op:?} {attempt} {key}").as_bytes(), self.seed)
    }
}

impl fmt::Display for Faulty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} behind faults of seed {}", self.shared.store, self.shared.faults.seed)
    }
}

#[async_trait]
impl ObjectStore for Faulty {
    async fn put_opts(&self, key: &Key, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        self.change(Op::Put, key, async {
            let put = self.shared.store.put_opts(key, payload, options).await?;
            self.appeared(key);
            Ok(put)
        })
        .await
    }

    async fn put_multipart_opts(&self, key: &Key, options: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        let upload = self.change(Op::BeginParts, key, self.shared.store.put_multipart_opts(key, options)).await?;
        Ok(Box::new(FaultyUpload { faulty: self.clone(), key: key.clone(), upload }))
    }

    async fn get_opts(&self, key: &Key, options: GetOptions) -> Result<GetResult> {
        match self.arrive(Op::Get, key.as_ref()).await {
            None => self.shared.store.get_opts(key, options).await,
            Some(Fault::ShortRead) if !options.head => {
                let mut answer = self.shared.store.get_opts(key, options).await?;
                let (range, meta, attributes) =
                    (answer.range.clone(), answer.meta.clone(), std::mem::take(&mut answer.attributes));
                let extensions = std::mem::take(&mut answer.extensions);
                let bytes = answer.bytes().await?;
                let half = bytes.slice(..bytes.len() / 2);
                let payload = GetResultPayload::Stream(stream::iter([Ok::<Bytes, Error>(half)]).boxed());
                Ok(GetResult { payload, meta, range, attributes, extensions })
            }
            Some(fault) => Err(self.failure(fault, Op::Get, key.as_ref()).await),
        }
    }

    fn delete_stream(&self, keys: BoxStream<'static, Result<Key>>) -> BoxStream<'static, Result<Key>> {
        let faulty = self.clone();
        keys.then(move |key| {
            let faulty = faulty.clone();
            async move {
                let key = key?;
                faulty.change(Op::Delete, &key, faulty.shared.store.delete(&key)).await?;
                Ok(key)
            }
        })
        .boxed()
    }

    fn list(&self, prefix: Option<&Key>) -> BoxStream<'static, Result<ObjectMeta>> {
        let (faulty, prefix) = (self.clone(), prefix.cloned());
        let begun = async move {
            let name = prefix.as_ref().map(Key::as_ref).unwrap_or_default();
            if let Some(fault) = faulty.arrive(Op::List, name).await {
                return Err(faulty.failure(fault, Op::List, name).await);
            }
            let found = faulty.shared.store.list(prefix.as_ref());
            Ok(found.try_filter(move |o| futures::future::ready(faulty.shows(&o.location))))
        };
        stream::once(begun).try_flatten().boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Key>) -> Result<ListResult> {
        let name = prefix.map(Key::as_ref).unwrap_or_default();
        if let Some(fault) = self.arrive(Op::List, name).await {
            return Err(self.failure(fault, Op::List, name).await);
        }
        let mut found = self.shared.store.list_with_delimiter(prefix).await?;
        found.objects.retain(|o| self.shows(&o.location));
        let mut shown = Vec::with_capacity(found.common_prefixes.len());
        for folder in found.common_prefixes {
            if self.shows_folder(&folder).await? {
                shown.push(folder);
            }
        }
        found.common_prefixes = shown;
        Ok(found)
    }

    async fn copy_opts(&self, from: &Key, to: &Key, options: CopyOptions) -> Result<()> {
        self.change(Op::Copy, to, self.shared.store.copy_opts(from, to, options)).await
    }
}

#[derive(Debug)]
struct FaultyUpload {
    faulty: Faulty,
    key: Key,
    upload: Box<dyn MultipartUpload>,
}

#[async_trait]
impl MultipartUpload for FaultyUpload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        let (faulty, key) = (self.faulty.clone(), self.key.clone());
        let part = self.upload.put_part(data);
        Box::pin(async move { faulty.change(Op::Part, &key, part).await })
    }

    async fn complete(&mut self) -> Result<PutResult> {
        let faulty = self.faulty.clone();
        let (key, upload) = (&self.key, &mut self.upload);
        faulty
            .change(Op::Complete, key, async {
                let put = upload.complete().await?;
                faulty.appeared(key);
                Ok(put)
            })
            .await
    }

    async fn abort(&mut self) -> Result<()> {
        let faulty = self.faulty.clone();
        faulty.change(Op::Abort, &self.key, self.upload.abort()).await
    }
}

#[cfg(test)]
mod tests {
    use object_store::memory::InMemory;

    use super::*;

    const ALL: Faults = Faults {
        seed: 7,
        error_permille: 100,
        timeout_permille: 100,
        timeout: Duration::from_secs(60),
        short_read_permille: 100,
        lost_answer_permille: 100,
        lag_permille: 500,
        lag_operations: 5,
        latency: Duration::ZERO,
        failures_in_a_row: 3,
        crash_after: None,
        crash_done: None,
    };

    #[test]
    fn a_fault_depends_on_seed_operation_key_and_attempt_alone() {
        let row = |faults: Faults| (0..200).map(|n| faults.fault(Op::Put, "k", n)).collect::<Vec<_>>();
        assert_eq!(row(ALL), row(ALL));
        assert_ne!(row(ALL), row(Faults { seed: 8, ..ALL }));
        let count = |fault| row(ALL).iter().filter(|f| **f == Some(fault)).count();
        for fault in [Fault::Error, Fault::Timeout, Fault::LostAnswer] {
            assert!((5..50).contains(&count(fault)), "{fault:?} {}", count(fault));
        }
        assert_eq!(count(Fault::ShortRead), 0, "a write has no answer to cut");
    }

    #[tokio::test(start_paused = true)]
    async fn after_the_crash_nothing_works_and_what_was_written_stays() {
        let store = Arc::new(InMemory::new());
        let key = |n: u64| Key::parse(format!("k{n}")).unwrap();
        let faulty = Faulty::new(Arc::clone(&store) as _, Faults { crash_after: Some(3), ..Faults::default() });
        for n in 0..6 {
            assert_eq!(faulty.put(&key(n), "x".into()).await.is_ok(), n < 3, "{n}");
            assert_eq!(faulty.crashed(), n >= 3);
        }
        assert!(faulty.get(&key(0)).await.is_err());
        assert!(faulty.list(None).next().await.unwrap().is_err());
        assert_eq!((faulty.operations(), faulty.failed()), (8, 5));
        let held: Vec<_> = store.list(None).try_collect().await.unwrap();
        assert!(held.len() == 3 || held.len() == 4, "the write in which it happened may be done: {}", held.len());
        assert!(Faulty::new(store, Faults::default()).get(&key(0)).await.is_ok());
    }

    #[tokio::test]
    async fn whether_the_last_operation_is_done_can_be_said_and_all_are_heard() {
        for done in [false, true] {
            let store = Arc::new(InMemory::new());
            let faults = Faults { crash_after: Some(1), crash_done: Some(done), ..Faults::default() };
            let heard = Arc::new(Mutex::new(Vec::new()));
            let hears = Arc::clone(&heard);
            let faulty = Faulty::heard(Arc::clone(&store) as _, faults, move |asked| {
                hears.lock().unwrap().push(format!("{} {} {} {:?}", asked.number, asked.operation, asked.key, asked.fault));
            });
            for key in ["a", "b", "c"] {
                _ = faulty.put(&key.into(), "x".into()).await;
            }
            let held: Vec<_> = store.list(None).try_collect().await.unwrap();
            assert_eq!(held.len(), if done { 2 } else { 1 });
            let crash = if done { "Crash, done" } else { "Crash" };
            let expected = ["1 Put a None".to_owned(), format!("2 Put b Some({crash:?})"), "3 Put c Some(\"Crash\")".to_owned()];
            assert_eq!(*heard.lock().unwrap(), expected);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_lost_answer_hides_a_write_that_was_done() {
        let store = Arc::new(InMemory::new());
        let faulty = Faulty::new(Arc::clone(&store) as _, Faults { lost_answer_permille: 1000, ..Faults::default() });
        let key = Key::from("k");
        assert!(faulty.put(&key, "x".into()).await.is_err());
        assert_eq!(store.get(&key).await.unwrap().bytes().await.unwrap(), "x");
        assert!(faulty.delete(&key).await.is_err());
        assert!(store.get(&key).await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn new_objects_are_listed_late() {
        let faults = Faults { lag_permille: 1000, lag_operations: 3, ..Faults::default() };
        let faulty = Faulty::new(Arc::new(InMemory::new()), faults);
        faulty.put(&Key::from("a/b"), "x".into()).await.unwrap();
        let mut seen = Vec::new();
        for _ in 0..5 {
            let all: Vec<_> = faulty.list(None).try_collect().await.unwrap();
            seen.push((all.len(), faulty.list_with_delimiter(None).await.unwrap().common_prefixes.len()));
        }
        assert_eq!(seen, [(0, 0), (0, 1), (1, 1), (1, 1), (1, 1)]);
        assert!(faulty.get(&Key::from("a/b")).await.is_ok(), "whoever knows the key gets it at once");
    }
}
