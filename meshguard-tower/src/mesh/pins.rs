//! Peers that have spoken the delivery protocol: where it is preferred, that is never unlearnt.

use std::collections::BTreeSet;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use meshguard_core::SpiffeId;

/// So many peers are remembered; only authenticated ones of the own trust domain come here.
pub(crate) const MAX_PINS: usize = 100_000;

/// The peers, and the file that remembers them: one SPIFFE ID a line.
#[derive(Default)]
pub(crate) struct Pins {
    known: Mutex<BTreeSet<SpiffeId>>,
    file: Option<PathBuf>,
}

impl Pins {
    /// Reads what was remembered. A file that does not exist yet remembers nobody.
    pub(crate) fn load(path: &Path) -> io::Result<Self> {
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(e) if e.kind() == io::ErrorKind::NotFound => String::new(),
            Err(e) => return Err(e),
        };
        // The last line may be torn: what is not an ID is nobody's.
        let known = text.lines().filter_map(|line| line.parse().ok()).collect();
        Ok(Self { known: Mutex::new(known), file: Some(path.to_owned()) })
    }

    pub(crate) fn contains(&self, id: &SpiffeId) -> bool {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).contains(id)
    }

    /// Remembers a peer, on disk before anywhere else.
    pub(crate) fn add(&self, id: &SpiffeId) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.contains(id) {
            return;
        }
        if known.len() >= MAX_PINS {
            tracing::error!(target: "meshguard::pins", "no room to remember {id}");
            return;
        }
        if let Some(path) = &self.file
            && let Err(error) = append(path, id)
        {
            tracing::error!(target: "meshguard::pins", "cannot remember {id}: {error}");
        }
        known.insert(id.clone());
    }
}

fn append(path: &Path, id: &SpiffeId) -> io::Result<()> {
    let mut file = OpenOptions::new().append(true).create(true).open(path)?;
    file.write_all(format!("{id}\n").as_bytes())?;
    file.sync_data()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_remembered_is_there_after_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pins");
        let id = SpiffeId::from_static("spiffe://a/b");
        let pins = Pins::load(&path).unwrap();
        assert!(!pins.contains(&id));
        pins.add(&id);
        pins.add(&id);
        assert!(Pins::load(&path).unwrap().contains(&id));
        assert_eq!(fs::read_to_string(path).unwrap(), "spiffe://a/b\n");
    }
}
