//! A machine that runs passes: one thread, virtual time, computing in between waiting.

use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;

use blockyard::bucket::faulty::{Faults, Faulty};
use blockyard::bucket::{Bucket, Tuning};
use blockyard::job::pass::{Engine, PassOptions, PassResult, run};
use blockyard::job::{Env, Event, Report};
use rayon::{ThreadPool, ThreadPoolBuilder, Yield};
use tokio::runtime::Runtime;

use super::store::{Shelf, Time};

thread_local! {
    /// Computes on the thread that waits for it, when there is nothing else to do on it: which of two comes
    /// first never depends on a second thread.
    static POOL: Arc<ThreadPool> =
        Arc::new(ThreadPoolBuilder::new().num_threads(1).use_current_thread().build().expect("a pool"));
}

/// A process from its start to its end, however it ends.
pub(super) struct Machine {
    pub(super) faulty: Faulty,
    shelf: Shelf,
    env: Env,
    // last: what it still runs may use all of the above
    runtime: Runtime,
}

/// Notes go to the log.
struct Notes(Shelf);

impl Report for Notes {
    fn event(&self, event: Event<'_>) {
        if let Event::Note { text, block, .. } = event {
            let block = block.map(|id| id.to_string()).unwrap_or_default();
            self.0.note(format!("      note {block} {text}"));
        }
    }
}

impl Machine {
    /// Switches it on.
    pub(super) fn new(shelf: &Shelf, time: &Arc<Time>, faults: Faults, scratch: &Path) -> Machine {
        shelf.restarted();
        shelf.note(format!("--- a process begins: {faults:?}"));
        let hears = shelf.clone();
        let faulty = Faulty::heard(Arc::new(shelf.clone()), faults, move |asked| {
            let mut line = format!("{:5} {} {}", asked.number, asked.operation, asked.key);
            match asked.fault {
                Some(fault) => _ = write!(line, " -> {fault}"),
                None if ["Put", "Complete"].contains(&asked.operation) => hears.acknowledged(asked.key),
                None => {}
            }
            hears.note(line);
        });
        let tuning = Tuning { read_bytes: 16 << 10, part_bytes: 4 << 10, ..Tuning::default() };
        let env = Env {
            bucket: Bucket::over(Arc::new(faulty.clone()), "", tuning).expect("a bucket"),
            pool: POOL.with(Arc::clone),
            clock: time.clone(),
            report: Arc::new(Notes(shelf.clone())),
            scratch: scratch.to_owned(),
            cancel: Default::default(),
        };
        let compute = || POOL.with(|pool| while pool.yield_local() == Some(Yield::Executed) {});
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .max_blocking_threads(1)
            .on_thread_park(compute)
            .build()
            .expect("a runtime");
        Machine { faulty, shelf: shelf.clone(), env, runtime }
    }

    /// Runs one pass.
    pub(super) fn pass(&self, options: &PassOptions) -> blockyard::Result<PassResult> {
        self.shelf.note(format!("--- a pass at {}", self.env.clock.now()));
        let done = self.runtime.block_on(run(&self.env, options, &Engine));
        let text = match &done {
            Ok(result) if result.is_clean() => "clean".to_owned(),
            Ok(result) => format!(
                "{:?} {:?} {:?} {:?}",
                result.errors, result.not_downsampled, result.clean_errors, result.retention.errors
            ),
            Err(error) => error.to_string(),
        };
        self.shelf.note(format!("--- it ends: {text}"));
        done
    }
}
