//! Defects that tests seed, to see that they would be noticed.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

#[derive(Default)]
pub(crate) struct Faults {
    /// What is opened is forgotten at once.
    pub(crate) forgets: AtomicBool,
    /// Nobody looks whether something has changed while a request was let in.
    pub(crate) looks_once: AtomicBool,
    /// Done between a request's admission and its entry among the open ones.
    pub(crate) meanwhile: Mutex<Option<Box<dyn FnOnce() + Send>>>,
}

impl Faults {
    pub(crate) fn forgets(&self) -> bool {
        self.forgets.load(Ordering::Relaxed)
    }

    pub(crate) fn looks_once(&self) -> bool {
        self.looks_once.load(Ordering::Relaxed)
    }

    pub(crate) fn meanwhile(&self) {
        let act = self.meanwhile.lock().unwrap().take();
        if let Some(act) = act {
            act();
        }
    }
}
