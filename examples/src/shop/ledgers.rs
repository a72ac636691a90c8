//! The ledgers of the services: verified from their files and public keys alone, and compared
//! with the books.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use meshguard_axum::Mesh;
use meshguard_axum::core::delivery::{Outcome, Sid};
use meshguard_axum::ledger::{self, Entry, Ledger, VerifyError};
use serde::Serialize;

use super::member::Member;

/// One service's ledger.
#[derive(Clone, Debug, Default, Serialize)]
#[non_exhaustive]
pub struct LedgerRow {
    /// Whose.
    pub service: &'static str,
    /// Entries of all kinds.
    pub entries: u64,
    /// Bytes of entries.
    pub bytes: u64,
    /// Checkpoints.
    pub checkpoints: u64,
    /// Entries that the last checkpoint covers.
    pub signed: u64,
    /// Calls made, each with how it ended.
    pub sent: u64,
    /// Requests accepted, each with how it ended.
    pub received: u64,
    /// Of the calls made, those that were delivered to a service whose ledger has them, too, with
    /// the same digest.
    pub agreed: u64,
    /// Those that it has not, or with another one.
    pub disputed: u64,
    /// Steps of the loop: incidents, actions, effects.
    pub steps: u64,
    /// Entries that were lost, by its own word.
    pub lost: u64,
    /// The Ed25519 public key, in hexadecimal digits.
    pub public_key: String,
    /// Why it is not what it should be.
    pub problem: Option<String>,
}

/// A request in two ledgers: its session and number, and the digest of what was received.
type Request = (Sid, u64, Option<[u8; 32]>);

/// What the ledgers say of each other.
#[derive(Default)]
struct Testimony {
    /// By callee.
    received: HashMap<String, HashSet<Request>>,
    /// Caller and callee.
    delivered: Vec<(&'static str, String, Request)>,
}

/// Closes every ledger and reads it from its files.
pub(super) fn audit(members: &[Member]) -> Vec<LedgerRow> {
    let (mut rows, mut testimony) = (Vec::new(), Testimony::default());
    for Member { name, mesh, ledger: dir } in members {
        let (Some(ledger), Some(dir)) = (mesh.ledger(), dir) else { continue };
        // Nothing is appended behind its back any more.
        let flushed = ledger.close().err().map(|error| error.to_string());
        let mut row = match read(name, dir, mesh, ledger, &mut testimony) {
            Ok(row) => row,
            Err(error) => LedgerRow { problem: Some(error.to_string()), ..LedgerRow::default() },
        };
        row.service = name;
        let wrong = row.problem.take().or(flushed);
        row.problem = wrong.or_else(|| compare(&row, mesh));
        rows.push(row);
    }
    confront(&mut rows, &testimony);
    rows
}

fn read(
    name: &'static str,
    dir: &Path,
    mesh: &Mesh,
    ledger: &Ledger,
    testimony: &mut Testimony,
) -> Result<LedgerRow, VerifyError> {
    let own = testimony.received.entry(mesh.id().to_string()).or_default();
    let verified = ledger::verify(dir, ledger.public_key())?;
    let mut row = LedgerRow {
        entries: verified.entries,
        bytes: verified.bytes,
        checkpoints: verified.checkpoints,
        signed: verified.signed,
        lost: verified.lost,
        public_key: ledger.public_key().iter().map(|byte| format!("{byte:02x}")).collect(),
        ..LedgerRow::default()
    };
    for entry in ledger::read(dir)? {
        match entry?.entry() {
            // What was before is another run's.
            Entry::Start(_) => {
                (row.sent, row.received, row.steps) = (0, 0, 0);
                testimony.delivered.retain(|(caller, ..)| *caller != name);
            }
            Entry::Sent(sent) => {
                row.sent += 1;
                let exchange = sent.exchange.filter(|_| sent.outcome == Outcome::Delivered);
                let delivered =
                    exchange.map(|e| (name, sent.to.to_owned(), (e.sid, e.seq, sent.digest)));
                testimony.delivered.extend(delivered);
            }
            // What had no proof is in nobody's books.
            Entry::Received(received) => {
                row.received += u64::from(received.exchange.is_some());
                own.extend(received.exchange.map(|e| (e.sid, e.seq, received.digest)));
            }
            // What was refused too often to be written down one by one.
            Entry::Refusals(refusals) => row.received += refusals.accepted,
            Entry::Incident(_) | Entry::Action(_) | Entry::Effect(_) => row.steps += 1,
            _ => {}
        }
    }
    Ok(row)
}

/// What a caller has a receipt for, its callee has in its own ledger, if it keeps one.
fn confront(rows: &mut [LedgerRow], testimony: &Testimony) {
    for (caller, callee, request) in &testimony.delivered {
        let Some(received) = testimony.received.get(callee) else { continue };
        let Some(row) = rows.iter_mut().find(|row| row.service == *caller) else { continue };
        if received.contains(request) {
            row.agreed += 1;
        } else {
            row.disputed += 1;
        }
    }
    for row in rows.iter_mut().filter(|row| row.disputed > 0 && row.problem.is_none()) {
        let disputed = row.disputed;
        row.problem = Some(format!("{disputed} deliveries are not in the callee's ledger"));
    }
}

/// Whether a ledger says what the books say.
fn compare(row: &LedgerRow, mesh: &Mesh) -> Option<String> {
    let (begun, accepted) = (mesh.counts().begun, mesh.accepted().accepted);
    if row.sent != begun {
        return Some(format!("{} calls are written down, and {begun} were made", row.sent));
    }
    if row.received != accepted {
        let received = row.received;
        return Some(format!("{received} requests are written down, {accepted} were accepted"));
    }
    if row.signed != row.entries {
        return Some(format!("{} of {} entries are signed", row.signed, row.entries));
    }
    (row.lost > 0).then(|| format!("{} entries are lost", row.lost))
}
