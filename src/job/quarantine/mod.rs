//! Work that is left alone for a while: which group stands how, why, and what ends it.
//!
//! A job that fails is judged by the kind of its error, as `class` has it. What may be different the next time is
//! tried again in the next pass, later and later. What looks like damage is looked at once more before anybody
//! believes it: the bucket is listed again, and the job reads it again. Only then is the job left alone, until the
//! objects of its blocks change, marks included.
//!
//! [`state`] decides and knows neither time nor disk; [`store`] keeps it below `--data-dir`, so that a process that
//! is started every hour does not fail every hour; [`evidence`] is what a listing says of a block; [`series`] names what is damaged.

pub mod evidence;
pub mod series;
pub mod state;
pub mod store;

pub use evidence::{Flaw, flaws, print};
pub use series::series_of;
pub use state::{Entry, Failure, Quarantine, Standing, Verdict};
