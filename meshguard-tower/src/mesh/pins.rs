//! Peers that have spoken the delivery protocol: where it is preferred, that is never unlearnt.

use std::collections::BTreeSet;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use meshguard_core::SpiffeId;

/// Peers that are remembered, at most. Only those of the own trust domain are: another authority
/// can name as many as it likes.
pub(crate) const MAX_PINS: usize = 100_000;

/// The mode of the file.
#[cfg(unix)]
const MODE: u32 = 0o600;

/// The peers, and the file that remembers them: one SPIFFE ID a line.
#[derive(Default)]
pub(crate) struct Pins {
    known: Mutex<BTreeSet<SpiffeId>>,
    /// The own trust domain.
    domain: Box<str>,
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
        // Versions before made it as the umask says: it lists peers, which are nobody else's
        // business. Where it cannot be narrowed, it is still of use.
        #[cfg(unix)]
        let _ = fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(MODE));
        // The last line may be torn: what is not an ID is nobody's.
        let known = text.lines().filter_map(|line| line.parse().ok()).collect();
        Ok(Self { known: Mutex::new(known), domain: "".into(), file: Some(path.to_owned()) })
    }

    /// Remembers peers of `domain`, and forgets all others.
    pub(crate) fn of(mut self, domain: &str) -> Self {
        self.domain = domain.into();
        let known = self.known.get_mut().unwrap_or_else(PoisonError::into_inner);
        known.retain(|id| id.trust_domain() == domain);
        self
    }

    pub(crate) fn contains(&self, id: &SpiffeId) -> bool {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).contains(id)
    }

    /// Remembers a peer of the own trust domain, on disk before anywhere else.
    pub(crate) fn add(&self, id: &SpiffeId) {
        if id.trust_domain() != &*self.domain {
            return;
        }
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
    let mut open = OpenOptions::new();
    open.append(true).create(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut open, MODE);
    let mut file = open.open(path)?;
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
        let pins = Pins::load(&path).unwrap().of("a");
        assert!(!pins.contains(&id));
        pins.add(&id);
        pins.add(&id);
        assert!(Pins::load(&path).unwrap().of("a").contains(&id));
        assert_eq!(fs::read_to_string(path).unwrap(), "spiffe://a/b\n");
    }

    #[test]
    fn peers_of_other_trust_domains_take_no_place() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pins");
        fs::write(&path, "spiffe://partner/1\nspiffe://a/b\n").unwrap();
        let (own, foreign) = ("spiffe://a/c".parse().unwrap(), "spiffe://partner/2");
        let pins = Pins::load(&path).unwrap().of("a");
        pins.add(&foreign.parse().unwrap());
        pins.add(&own);
        let known = pins.known.lock().unwrap();
        let known: Vec<_> = known.iter().map(SpiffeId::as_str).collect();
        assert_eq!(known, ["spiffe://a/b", "spiffe://a/c"]);
        let text = fs::read_to_string(path).unwrap();
        assert!(text.ends_with("spiffe://a/c\n") && !text.contains(foreign));
    }

    #[cfg(unix)]
    #[test]
    fn the_file_is_its_owners_alone() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pins");
        let mode = || fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        Pins::load(&path).unwrap().of("a").add(&"spiffe://a/b".parse().unwrap());
        assert_eq!(mode(), 0o600);
        // As older versions made it.
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        Pins::load(&path).unwrap();
        assert_eq!(mode(), 0o600);
    }
}
