//! Credentials that are read again: each part that is good replaces its own, and no bad one does.
//!
//! A bundle that a partner has broken, or a revocation list that is no list, must not keep a
//! service from its next SVID: without it, it would soon be nobody.

use std::sync::{Arc, PoisonError};

use meshguard_core::Timestamp;

use super::federation::Federation;
use super::{Mesh, ReloadError};
use crate::clock::reached;
use crate::rejudge::Cause;
use crate::sink::{Direction, Edge};
use crate::tls::{
    CLOCK_SKEW, CredentialFiles, Credentials, CredentialsError, CredentialsFault, Group, Own, Part,
    Pem, Roots, Source, Texts, fault, federated_roots, one_text, own_texts, read_lists,
};

/// The files that credentials are read from: the own ones, and those of partners.
#[derive(Default)]
pub(super) struct Sources {
    pub(super) own: Option<CredentialFiles>,
    pub(super) federation: Federation,
    /// What was read and not taken is valid from then on; the files need not change for it.
    begins: Option<Timestamp>,
}

/// How files are read again.
#[derive(Clone, Copy)]
pub(super) enum Asked {
    /// Where a look finds anything new that is whole.
    Look,
    /// All of them, now.
    Now,
}

/// What became of reading credentials again.
struct Renewed {
    /// What to put in use, where any of it is new.
    credentials: Credentials,
    /// Whether any of it was read and is good.
    taken: bool,
    /// Why some of what was read is not in it.
    kept: Vec<CredentialsError>,
}

impl Sources {
    /// Reads files again, blocking, over what is in use; `None` where nothing was read. A look reads
    /// all files where what one of them had has become valid.
    fn renew(&mut self, asked: Asked, current: Credentials) -> Option<Renewed> {
        if self.begins.is_some_and(|at| at <= reached() + CLOCK_SKEW) || matches!(asked, Asked::Now)
        {
            self.begins = None;
            self.forget();
        }
        let mut groups = self.groups();
        let read: Vec<Option<Texts>> = match asked {
            Asked::Look => groups.iter_mut().map(|group| group.look()).collect(),
            Asked::Now => Group::all_now(&mut groups).into_iter().map(Some).collect(),
        };
        if read.iter().all(Option::is_none) {
            return None;
        }
        let mut renewed = Renewed { credentials: current, taken: false, kept: Vec::new() };
        for (group, texts) in groups.into_iter().zip(read) {
            match texts {
                Some(Ok(texts)) => renewed.take(group, texts, reached()),
                Some(Err(error)) => renewed.kept.push(error),
                None => {}
            }
        }
        let begins = |error: &CredentialsError| match error.fault() {
            CredentialsFault::NotYetValid(at) => Some(*at),
            _ => None,
        };
        self.begins = self.begins.into_iter().chain(renewed.kept.iter().filter_map(begins)).min();
        Some(renewed)
    }

    /// Has the next look read all files, whether they change or not.
    fn forget(&mut self) {
        self.groups().into_iter().for_each(Group::forget);
    }

    fn groups(&mut self) -> Vec<&mut Group> {
        let own = self.own.iter_mut().flat_map(CredentialFiles::groups);
        own.chain(self.federation.groups()).collect()
    }
}

impl Renewed {
    /// Takes what is good of a group's texts.
    fn take(&mut self, group: &Group, texts: Vec<Pem>, now: Timestamp) {
        let kept = self.kept.len();
        match group.part() {
            Part::Own => self.own(texts, now),
            Part::Lists => {
                let pem = one_text(texts, Source::Crls);
                match pem.and_then(|pem| read_lists(&pem, now)) {
                    Ok(lists) => (self.credentials.lists, self.taken) = (lists.into(), true),
                    Err(error) => self.kept.push(error),
                }
            }
            Part::Federated(domain) => {
                let pem = one_text(texts, Source::Federated);
                match pem.and_then(|pem| federated_roots(group.part(), &pem)) {
                    Ok(roots) => {
                        let all = Arc::make_mut(&mut self.credentials.federated);
                        all.insert(domain.clone(), Arc::new(roots));
                        self.taken = true;
                    }
                    Err(error) => self.kept.push(error),
                }
            }
        }
        let named: Vec<_> = self.kept.drain(kept..).map(|error| group.place(error)).collect();
        self.kept.extend(named);
    }

    fn own(&mut self, texts: Vec<Pem>, now: Timestamp) {
        let [svid, key, bundle] = own_texts(texts);
        let id = self.credentials.id().clone();
        let own = svid.and_then(|svid| read_own(&self.credentials, &svid, &key?, now));
        let roots =
            bundle.and_then(|pem| Roots::read(&pem, Source::Bundle, id.trust_domain(), now));
        match (own, roots) {
            (Ok(own), Ok(roots)) => self.both(own, Arc::new(roots), now),
            (Ok(own), Err(error)) => {
                self.kept.push(error);
                let roots = Arc::clone(&self.credentials.roots);
                self.first_that_holds([(own, roots)], now);
            }
            (Err(error), Ok(roots)) => {
                self.kept.push(error);
                let own = self.credentials.own.clone();
                self.first_that_holds([(own, Arc::new(roots))], now);
            }
            (Err(first), Err(second)) => self.kept.extend([first, second]),
        }
    }

    /// Both together; else the SVID under the old roots, else the new roots over the old SVID.
    fn both(&mut self, own: Own, roots: Arc<Roots>, now: Timestamp) {
        let old = self.credentials.clone();
        let choices =
            [(own.clone(), Arc::clone(&roots)), (own, Arc::clone(&old.roots)), (old.own, roots)];
        self.first_that_holds(choices, now);
    }

    /// Takes the first of these whose roots vouch for its SVID, and says why the first one was not
    /// taken.
    fn first_that_holds<const N: usize>(
        &mut self,
        choices: [(Own, Arc<Roots>); N],
        now: Timestamp,
    ) {
        let mut first = None;
        for (own, roots) in choices {
            let next = Credentials { own, roots, ..self.credentials.clone() };
            match next.examine(now) {
                Ok(()) => {
                    (self.credentials, self.taken) = (next, true);
                    break;
                }
                Err(error) => first = first.or(Some(error)),
            }
        }
        self.kept.extend(first);
    }
}

/// An SVID with its key that may take the place of that of `current`.
fn read_own(
    current: &Credentials,
    svid: &[u8],
    key: &[u8],
    now: Timestamp,
) -> Result<Own, CredentialsError> {
    let own = Own::read(svid, key)?;
    if own.id != *current.id() {
        let (current, new) = (current.id().clone(), own.id);
        return Err(fault(Source::Svid, CredentialsFault::OtherIdentity { current, new }));
    }
    own.in_time(now)?;
    Ok(own)
}

impl Mesh {
    /// When the SVID in use ends. Where it has, [`health`](Self::health) is
    /// [`Expired`](crate::probe::HealthState::Expired).
    #[must_use]
    pub fn svid_not_after(&self) -> Timestamp {
        self.0.tls.credentials().not_after()
    }

    /// Reads all files of credentials again, blocking.
    pub(super) fn reload_credentials(&self) -> Result<(), ReloadError> {
        let first = self.renew_credentials(Asked::Now).into_iter().next();
        first.map_or(Ok(()), |error| Err(ReloadError::Credentials(error)))
    }

    /// Reads files of credentials again, blocking; why some of them were not taken.
    pub(super) fn renew_credentials(&self, asked: Asked) -> Vec<CredentialsError> {
        // Held until what was read is in use, so that the last to be read are the last to be used.
        let mut sources = self.0.files.credentials.lock().unwrap_or_else(PoisonError::into_inner);
        let renewed = sources.renew(asked, self.0.tls.credentials());
        let Some(Renewed { credentials, taken, mut kept }) = renewed else { return Vec::new() };
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

/// What the mesh's own task remembers of the SVID in use.
#[derive(Default)]
pub(super) struct Term {
    /// It has ended, and this was told.
    told: Option<Timestamp>,
}

impl Term {
    /// Tells, once for each SVID, that it has ended.
    pub(super) fn look(&mut self, mesh: &Mesh) {
        let ended = mesh.0.health.ended(reached());
        if ended.is_some() && ended != self.told {
            mesh.svid_ended();
        }
        self.told = ended;
    }
}

#[cfg(test)]
mod tests;
