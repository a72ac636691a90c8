//! A ledger read again from its files.

use std::fs::File;
use std::path::Path;

use meshguard_core::ledger::{Audit, Audited, Checkpoint, CheckpointError, Fault, FaultKind, Note};

use super::error::{VerifyError, Why};
use super::feed::Feed;
use super::key::{AwsLc, verifier_key};
use super::store::{CHECKPOINTS, frontier, list, segment_path};

/// Verifies the ledger in a directory, by its files and public key (Ed25519, 32 bytes) alone:
/// streaming, in constant memory, at the speed of SHA-256.
///
/// Says of every entry below [`signed`](Audited::signed) that it is what the holder of the key
/// signed, and of the others that their checksums hold. Of a ledger that is being written, the
/// last frame may be half there: [`FaultKind::Torn`].
///
/// # Errors
/// A file cannot be read, or the first fault with its place.
pub fn verify(dir: &Path, public_key: &[u8; 32]) -> Result<Audited, VerifyError> {
    scan(dir, public_key, |audit| audit)
}

/// As [`verify`], and that the ledger begins with what it was when it gave `earlier`, a signed
/// checkpoint that somebody kept elsewhere: nothing before it has changed, though the host
/// holds the key.
///
/// # Errors
/// As [`verify`]; and [`VerifyErrorKind::Earlier`](super::VerifyErrorKind::Earlier) where
/// `earlier` is not by this key.
pub fn verify_against(
    dir: &Path,
    public_key: &[u8; 32],
    earlier: &str,
) -> Result<Audited, VerifyError> {
    let earlier = checkpoint(public_key, earlier);
    let earlier = earlier.map_err(|error| VerifyError(Why::Earlier(error)))?;
    scan(dir, public_key, |audit| audit.against(earlier))
}

/// Reads a checkpoint by the ledger with this public key (Ed25519, 32 bytes), and verifies its
/// signature.
///
/// # Errors
/// It is none.
pub fn checkpoint(public_key: &[u8; 32], note: &str) -> Result<Checkpoint, CheckpointError> {
    Checkpoint::open(note.as_bytes(), &verifier_key(public_key), &AwsLc)
}

fn scan(
    dir: &Path,
    public_key: &[u8; 32],
    with: impl FnOnce(Audit<'static>) -> Audit<'static>,
) -> Result<Audited, VerifyError> {
    let gone = frontier::read(dir)?;
    let first = gone.size();
    let mut audit = with(Audit::resume(verifier_key(public_key), &AwsLc, gone));
    let mut records = Records::open(dir, first)?;
    records.feed(&mut audit)?;
    // One before that is still there was to go, when something came between.
    for first_seq in list(dir)?.into_iter().filter(|seq| *seq >= first) {
        scan_segment(dir, first_seq, &mut audit, &mut records)?;
    }
    uncut(audit.finish()?)
}

/// That nothing is missing but what the ledger says it dropped.
pub(super) fn uncut(audited: Audited) -> Result<Audited, VerifyError> {
    match audited.is_cut() {
        true => {
            let (first, told) = (audited.first, audited.told_first);
            Err(VerifyError(Why::Cut { first, told }))
        }
        false => Ok(audited),
    }
}

/// Feeds one segment to the audit.
pub(super) fn scan_segment(
    dir: &Path,
    first_seq: u64,
    audit: &mut Audit<'_>,
    records: &mut Records,
) -> Result<(), VerifyError> {
    let path = segment_path(dir, first_seq);
    let mut feed = Feed::new(File::open(&path).map_err(VerifyError::io(&path))?);
    audit.segment(first_seq)?;
    loop {
        records.feed(audit)?;
        let taken = audit.bytes(feed.bytes())?;
        feed.consume(taken);
        if !audit.wants_record() && !feed.fill().map_err(VerifyError::io(&path))? {
            return Ok(audit.end_segment(feed.bytes().len() as u64)?);
        }
    }
}

/// The file of checkpoints, while it is read.
pub(super) struct Records {
    path: std::path::PathBuf,
    feed: Option<Feed<File>>,
    /// Those of fewer entries, at the beginning, are of what is not kept.
    first: u64,
}

impl Records {
    /// A file that is not there holds none.
    pub(super) fn open(dir: &Path, first: u64) -> Result<Self, VerifyError> {
        let path = dir.join(CHECKPOINTS);
        let feed = match File::open(&path) {
            Ok(file) => Some(Feed::new(file)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
            Err(error) => return Err(VerifyError::io(&path)(error)),
        };
        Ok(Self { path, feed, first })
    }

    /// Gives the audit the checkpoints that it wants.
    pub(super) fn feed(&mut self, audit: &mut Audit<'_>) -> Result<(), VerifyError> {
        while audit.wants_record() {
            let Some(feed) = &mut self.feed else {
                audit.end_records();
                return Ok(());
            };
            match feed.record().map_err(VerifyError::io(&self.path))? {
                0 => audit.end_records(),
                len => {
                    let record = &feed.bytes()[..len];
                    if size(record).is_none_or(|size| size >= self.first) {
                        self.first = 0; // from here on, all count
                        audit.record(record)?;
                    }
                    feed.consume(len);
                }
            }
        }
        Ok(())
    }
}

/// The size that a checkpoint, or its record, says to have; that it does have it shows when it is
/// read.
pub(super) fn size(record: &[u8]) -> Option<u64> {
    let note = record.strip_suffix(b"\n").filter(|note| note.ends_with(b"\n"));
    let note = Note::parse(note.unwrap_or(record)).ok()?;
    Checkpoint::parse(note.text()).ok().map(|checkpoint| checkpoint.size)
}

/// Whether this is the end of the last segment as a crash leaves it: bytes that are no frame,
/// behind all that is signed. A whole frame that does not belong there is none of a crash's.
pub(super) fn is_torn(error: &VerifyError, audit: &Audit<'_>) -> Option<Fault> {
    let fault = *error.fault()?;
    let tail = matches!(fault.kind(), FaultKind::Torn { .. } | FaultKind::Frame(_));
    (tail && !audit.is_covered()).then_some(fault)
}
