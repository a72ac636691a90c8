//! Credentials that are read again: each part that is good replaces its own, and no bad one does.
//!
//! A bundle that a partner has broken, or a revocation list that is no list, must not keep a
//! service from its next SVID: without it, it would soon be nobody.

use std::sync::Arc;

use meshguard_core::Timestamp;

use super::reload::{CredentialFiles, Files};
use super::{Mesh, ReloadError};
use crate::rejudge::Cause;
use crate::sink::{Direction, Edge};
use crate::tls::{
    CLOCK_SKEW, Credentials, CredentialsError, CredentialsFault, Own, Roots, Source, fault, now,
    read, read_lists,
};

/// What became of reading credentials again.
struct Renewed {
    /// What to put in use, where any of it is new.
    credentials: Credentials,
    /// Whether any of it was read and is good.
    taken: bool,
    /// Why some of what was read is not in it.
    kept: Vec<CredentialsError>,
}

impl Files {
    /// Reads the files of credentials again, over what is in use.
    fn renew(&self, current: &Credentials) -> Renewed {
        let mut renewed = Renewed { credentials: current.clone(), taken: false, kept: Vec::new() };
        if let Some(files) = &self.credentials {
            files.renew(&mut renewed);
        }
        let (federated, kept) = self.federation.renew(&current.federated);
        if let Some(federated) = federated {
            renewed.credentials.federated = Arc::new(federated);
            renewed.taken = true;
        }
        renewed.kept.extend(kept);
        renewed
    }
}

impl CredentialFiles {
    fn renew(&self, renewed: &mut Renewed) {
        let now = now();
        if let Some(path) = &self.crls {
            let lists = read(path, Source::Crls).and_then(|pem| read_lists(&pem, now));
            match lists {
                Ok(lists) => {
                    renewed.credentials.lists = lists.into();
                    renewed.taken = true;
                }
                Err(error) => renewed.kept.push(error.at(Some(path))),
            }
        }
        let id = renewed.credentials.id().clone();
        let own = self.own(&renewed.credentials, now).map_err(|error| self.place(error));
        let roots = read(&self.bundle, Source::Bundle)
            .and_then(|pem| Roots::read(&pem, Source::Bundle, id.trust_domain(), now))
            .map_err(|error| self.place(error));
        match (own, roots) {
            (Ok(own), Ok(roots)) => self.both(renewed, own, Arc::new(roots), now),
            (Ok(own), Err(error)) => {
                renewed.kept.push(error);
                let roots = Arc::clone(&renewed.credentials.roots);
                self.first_that_holds(renewed, [(own, roots)], now);
            }
            (Err(error), Ok(roots)) => {
                renewed.kept.push(error);
                let own = renewed.credentials.own.clone();
                self.first_that_holds(renewed, [(own, Arc::new(roots))], now);
            }
            (Err(first), Err(second)) => renewed.kept.extend([first, second]),
        }
    }

    /// Both together; else the SVID under the old roots, else the new roots over the old SVID.
    fn both(&self, renewed: &mut Renewed, own: Own, roots: Arc<Roots>, now: Timestamp) {
        let old = renewed.credentials.clone();
        let choices =
            [(own.clone(), Arc::clone(&roots)), (own, Arc::clone(&old.roots)), (old.own, roots)];
        self.first_that_holds(renewed, choices, now);
    }

    /// Takes the first of these whose roots vouch for its SVID, and says why the first one was not
    /// taken.
    fn first_that_holds<const N: usize>(
        &self,
        renewed: &mut Renewed,
        choices: [(Own, Arc<Roots>); N],
        now: Timestamp,
    ) {
        let mut first = None;
        for (own, roots) in choices {
            let next = Credentials { own, roots, ..renewed.credentials.clone() };
            match next.examine(now) {
                Ok(()) => {
                    renewed.credentials = next;
                    renewed.taken = true;
                    break;
                }
                Err(error) => first = first.or(Some(error)),
            }
        }
        renewed.kept.extend(first.map(|error| self.place(error)));
    }

    fn own(&self, current: &Credentials, now: Timestamp) -> Result<Own, CredentialsError> {
        let own = Own::read(&read(&self.svid, Source::Svid)?, &read(&self.key, Source::Key)?)?;
        if own.id != *current.id() {
            let (current, new) = (current.id().clone(), own.id);
            return Err(fault(Source::Svid, CredentialsFault::OtherIdentity { current, new }));
        }
        own.in_time(now)?;
        Ok(own)
    }

    /// Names the file that an error speaks of.
    fn place(&self, error: CredentialsError) -> CredentialsError {
        let path = match error.input() {
            Source::Svid => &self.svid,
            Source::Key => &self.key,
            Source::Crls => return error.at(self.crls.as_deref()),
            _ => &self.bundle,
        };
        error.at(Some(path))
    }
}

impl Mesh {
    /// When the SVID in use ends. Where it has, [`health`](Self::health) is
    /// [`Expired`](crate::probe::HealthState::Expired).
    #[must_use]
    pub fn svid_not_after(&self) -> Timestamp {
        self.0.tls.credentials().not_after()
    }

    pub(super) fn reload_credentials(&self) -> Result<(), ReloadError> {
        let first = self.renew_credentials().into_iter().next();
        first.map_or(Ok(()), |error| Err(ReloadError::Credentials(error)))
    }

    /// Reads the files of credentials again; why some of them were not taken.
    fn renew_credentials(&self) -> Vec<CredentialsError> {
        let files = &self.0.files;
        if files.credentials.is_none() && !files.federation.has_files() {
            return Vec::new();
        }
        let Renewed { credentials, taken, mut kept } = files.renew(&self.0.tls.credentials());
        if taken {
            kept.extend(self.put_credentials(credentials).err());
        }
        let edge = Edge { from: None, to: self.id(), via: None };
        for error in &kept {
            tracing::warn!(target: "meshguard::identity", "kept the old ones: {error}");
            self.found(Direction::Inbound, edge, "credentials-refused", error);
        }
        kept
    }

    fn put_credentials(&self, credentials: Credentials) -> Result<(), CredentialsError> {
        let change = self.change(Cause::Credentials);
        self.expect_sweep(&change);
        let not_after = credentials.not_after();
        self.0.tls.replace(credentials).inspect_err(|_| change.void())?;
        self.0.health.holds_until(not_after);
        self.sweep_for(&change);
        tracing::info!(target: "meshguard::identity", "credentials replaced");
        Ok(())
    }

    fn svid_ended(&self) {
        let detail = "this service's own certificate has expired: nobody accepts it";
        tracing::error!(target: "meshguard::identity", "{detail}");
        let edge = Edge { from: None, to: self.id(), via: None };
        self.found(Direction::Inbound, edge, "svid-expired", &detail);
    }
}

/// What those who watch the files remember of the credentials.
#[derive(Default)]
pub(super) struct Term {
    /// What was not taken is valid from then on; the files need not change for it.
    begins: Option<Timestamp>,
    /// The SVID in use has ended, and this was told.
    told: Option<Timestamp>,
}

impl Term {
    pub(super) fn is_due(&self, now: Timestamp) -> bool {
        self.begins.is_some_and(|at| at <= now + CLOCK_SKEW)
    }

    /// Reads the files again.
    pub(super) fn reload(&mut self, mesh: &Mesh) {
        let begins = |error: &CredentialsError| match error.fault() {
            CredentialsFault::NotYetValid(at) => Some(*at),
            _ => None,
        };
        self.begins = mesh.renew_credentials().iter().filter_map(begins).min();
    }

    /// Tells, once for each SVID, that it has ended.
    pub(super) fn look(&mut self, mesh: &Mesh) {
        let ended = mesh.0.health.ended(now());
        if ended.is_some() && ended != self.told {
            mesh.svid_ended();
        }
        self.told = ended;
    }
}
