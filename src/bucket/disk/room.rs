//! Room on the disk, which a test takes away: everything that can find the disk full asks first.

use std::io;

#[cfg(test)]
use std::sync::{Arc, Mutex};

/// Room for steps of writing; there is always some, but in tests.
#[derive(Clone, Debug, Default)]
pub(crate) struct Room {
    #[cfg(test)]
    state: Option<Arc<Mutex<State>>>,
}

/// What a test knows of the steps.
#[cfg(test)]
#[derive(Debug)]
struct State {
    /// Steps that were asked for.
    steps: usize,
    /// The first for which there is no room; nor is there for those behind.
    full_from: usize,
}

impl Room {
    /// Before a step that needs room.
    ///
    /// # Errors
    /// `StorageFull`, as the system has it.
    #[cfg(not(test))]
    pub(super) fn take(&self) -> io::Result<()> {
        Ok(())
    }

    /// Before a step that needs room.
    #[cfg(test)]
    pub(super) fn take(&self) -> io::Result<()> {
        let Some(state) = &self.state else { return Ok(()) };
        let mut state = state.lock().expect("no panic");
        state.steps += 1;
        match state.steps > state.full_from {
            true => Err(io::ErrorKind::StorageFull.into()),
            false => Ok(()),
        }
    }
}

#[cfg(test)]
impl Room {
    /// Enough of it, until [`Room::only`].
    pub(crate) fn limited() -> Room {
        Room { state: Some(Arc::new(Mutex::new(State { steps: 0, full_from: usize::MAX }))) }
    }

    /// From now on there is room for so many steps, and then for none.
    pub(crate) fn only(&self, steps: usize) {
        if let Some(state) = &self.state {
            *state.lock().expect("no panic") = State { steps: 0, full_from: steps };
        }
    }
}
