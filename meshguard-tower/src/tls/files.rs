//! The files of a workload's credentials: which are read together, and what of them an error names.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use meshguard_core::identity::TrustDomain;
use zeroize::Zeroizing;

use super::credentials::Credentials;
use super::fault::{CredentialsError, CredentialsFault, Source, fault};
use super::revocation::{self, RevocationList};
use super::roots::Roots;
use crate::clock::reached;
use crate::files::{Disk, Text, Unsettled, Watched};

/// A file of credentials has at most so many bytes: revocation lists are the largest of them.
pub(crate) const MAX_PEM: u64 = 64 * 1024 * 1024;

/// A file's text, which is wiped when it is dropped, or why there is none.
pub(crate) type Pem = Result<Zeroizing<Vec<u8>>, CredentialsError>;

/// The texts of a group, in the order of its files; an error where one of them is being written, so
/// that none was read.
pub(crate) type Texts = Result<Vec<Pem>, CredentialsError>;

/// What a group of files is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// The SVID, its key, and the own trust domain's bundle: those of one rotation come together.
    Own,
    /// The revocation lists.
    Lists,
    /// The bundle of a federated trust domain.
    Federated(TrustDomain),
}

/// Files that are read together, when all of them are still.
#[derive(Debug)]
pub(crate) struct Group {
    part: Part,
    watched: Watched,
}

/// A workload's own files: its SVID, key and bundle, and revocation lists.
#[derive(Debug)]
pub(crate) struct CredentialFiles {
    own: Group,
    lists: Option<Group>,
}

impl Part {
    /// Of each file.
    fn sources(&self) -> &'static [Source] {
        match self {
            Self::Own => &[Source::Svid, Source::Key, Source::Bundle],
            Self::Lists => &[Source::Crls],
            Self::Federated(_) => &[Source::Federated],
        }
    }
}

impl Group {
    fn new(disk: Arc<dyn Disk>, part: Part, paths: &[&Path]) -> Self {
        let paths = paths.iter().map(|path| path.to_path_buf()).collect();
        Self { part, watched: Watched::new(disk, paths, MAX_PEM) }
    }

    pub(crate) fn federated(disk: Arc<dyn Disk>, domain: TrustDomain, path: &Path) -> Self {
        Self::new(disk, Part::Federated(domain), &[path])
    }

    pub(crate) fn part(&self) -> &Part {
        &self.part
    }

    /// Reads them for the first time, and waits, blocking, while they are being written.
    pub(crate) fn first(&mut self) -> Texts {
        let read = self.watched.first();
        self.named(read)
    }

    /// Looks once, blocking; `None` where there is nothing new.
    pub(crate) fn look(&mut self) -> Option<Texts> {
        let news = self.watched.look().news()?;
        Some(self.named(news))
    }

    /// Reads all groups now, blocking; waits once, where any file has changed of which nobody knows
    /// yet that it is whole.
    pub(crate) fn all_now(groups: &mut [&mut Self]) -> Vec<Texts> {
        let mut watched: Vec<_> = groups.iter_mut().map(|group| &mut group.watched).collect();
        let read = Watched::all_now(&mut watched);
        groups.iter().zip(read).map(|(group, read)| group.named(read)).collect()
    }

    /// Has the next look read them, whether they change or not.
    pub(crate) fn forget(&mut self) {
        self.watched.forget();
    }

    /// Names the file, and the trust domain, that an error speaks of.
    pub(crate) fn place(&self, error: CredentialsError) -> CredentialsError {
        let at = self.part.sources().iter().position(|source| *source == error.input());
        let error = match &self.part {
            Part::Federated(domain) => error.of(domain.as_str()),
            Part::Own | Part::Lists => error,
        };
        // Of the SVID under the bundle: the SVID's.
        error.at(Some(self.path(at.unwrap_or(0))))
    }

    fn named(&self, read: Result<Vec<Text>, Unsettled>) -> Texts {
        let sources = self.part.sources();
        let source = |at: usize| sources.get(at).copied().unwrap_or(Source::Svid);
        let texts = read.map_err(|Unsettled(path)| {
            let at = self.watched.paths().iter().position(|known| *known == path);
            self.place(fault(source(at.unwrap_or(0)), CredentialsFault::Unsettled))
        })?;
        let named = |(at, text): (usize, Text)| {
            text.map_err(|e| self.place(fault(source(at), CredentialsFault::Unreadable(e))))
        };
        Ok(texts.into_iter().enumerate().map(named).collect())
    }

    fn path(&self, at: usize) -> &Path {
        self.watched.paths().get(at).map_or(Path::new(""), PathBuf::as_path)
    }
}

impl CredentialFiles {
    pub(crate) fn new(disk: Arc<dyn Disk>, svid: &Path, key: &Path, bundle: &Path) -> Self {
        Self { own: Group::new(disk, Part::Own, &[svid, key, bundle]), lists: None }
    }

    /// With revocation lists, in the place of those given before.
    pub(crate) fn with_lists(mut self, path: &Path) -> Self {
        self.lists = Some(Group::new(self.own.watched.disk(), Part::Lists, &[path]));
        self
    }

    /// Reads the SVID, the key and the bundle for the first time, as [`Group::first`].
    pub(crate) fn first(&mut self) -> Result<Credentials, CredentialsError> {
        let [svid, key, bundle] = own(self.own.first()?);
        Credentials::from_pem(&svid?, &key?, &bundle?, None).map_err(|error| self.own.place(error))
    }

    /// Reads the revocation lists for the first time, as [`Group::first`]; none without a file.
    pub(crate) fn first_lists(&mut self) -> Result<Vec<RevocationList>, CredentialsError> {
        let Some(group) = &mut self.lists else { return Ok(Vec::new()) };
        let pem = one(group.first()?, Source::Crls);
        pem.and_then(|pem| revocation::read(&pem, reached())).map_err(|error| group.place(error))
    }

    /// The lists before what is vouched for.
    pub(crate) fn groups(&mut self) -> impl Iterator<Item = &mut Group> {
        self.lists.iter_mut().chain([&mut self.own])
    }
}

/// Reads a federated bundle for the first time, as [`Group::first`].
pub(crate) fn first_roots(group: &mut Group) -> Result<Roots, CredentialsError> {
    let pem = one(group.first()?, Source::Federated);
    pem.and_then(|pem| federated_roots(group.part(), &pem)).map_err(|error| group.place(error))
}

/// The roots in a federated bundle's text.
pub(crate) fn federated_roots(part: &Part, pem: &[u8]) -> Result<Roots, CredentialsError> {
    let Part::Federated(domain) = part else {
        return Err(fault(Source::Federated, CredentialsFault::Empty));
    };
    Roots::read(pem, Source::Federated, domain.as_str(), reached())
}

/// The texts of [`Part::Own`]: SVID, key, bundle.
pub(crate) fn own(texts: Vec<Pem>) -> [Pem; 3] {
    let mut texts = texts.into_iter();
    [Source::Svid, Source::Key, Source::Bundle].map(|source| next(&mut texts, source))
}

/// The text of a group of one file.
pub(crate) fn one(texts: Vec<Pem>, source: Source) -> Pem {
    next(&mut texts.into_iter(), source)
}

/// INVARIANT of `Watched`: there is a text for each path.
fn next(texts: &mut impl Iterator<Item = Pem>, source: Source) -> Pem {
    texts.next().unwrap_or_else(|| Err(fault(source, CredentialsFault::Empty)))
}
