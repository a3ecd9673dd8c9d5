//! What the exit code says.

use blockyard::{Error, Kind};

/// How the program ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Everything was done.
    Done,
    /// Something could not be done, or a check found something: the messages name it.
    Failed,
    /// Flags or configuration make no sense; nothing was begun.
    Usage,
    /// A signal asked us to stop, and we stopped at a clean point.
    Signal(u8),
}

impl Exit {
    /// The code for the operating system; signals count from 128 as shells do.
    pub(crate) fn code(self) -> u8 {
        match self {
            Exit::Done => 0,
            Exit::Failed => 1,
            Exit::Usage => 2,
            Exit::Signal(number) => 128 + number,
        }
    }
}

impl From<&Error> for Exit {
    fn from(error: &Error) -> Self {
        match error.kind() {
            Kind::Invalid => Exit::Usage,
            _ => Exit::Failed,
        }
    }
}
