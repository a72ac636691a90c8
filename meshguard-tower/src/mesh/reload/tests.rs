//! Policy files that are written while a service follows them.

use std::path::Path;
use std::sync::{Arc, Mutex};

use meshguard_core::ledger::{Entry, Rewritten};
use meshguard_core::policy::{PolicyErrorKind, announce, istio};
use meshguard_core::{Access, Policy, SpiffeId};

use super::ReloadError;
use crate::dev::DevCa;
use crate::files::fake::Fake;
use crate::ledger::Ledger;
use crate::mesh::{BuildError, Mesh, MeshBuilder};
use crate::sink::{Call, Finding, Sink};
use crate::source::{News, Reader};

mod live;

pub(super) const ORDERS: &SpiffeId = &SpiffeId::from_static("spiffe://shop.example/orders");
const POLICY: &str = "/policy.toml";

/// Of the version 1: nothing is allowed.
const CLOSED: &str = "mesh = \"shop.example\"\nversion = 1\n";
/// The whole denies what some of its beginnings allow.
const NEXT: &str = "mesh = \"shop.example\"\nversion = 2\n[[allow]]\nname = \"all\"\n\
                    [[deny]]\nname = \"never-admin\"\nhttp = [\"* /admin/{**}\"]\n\
                    [[deny]]\nname = \"no-keys\"\nhttp = [\"* /keys/{**}\"]\n\
                    [[deny]]\nname = \"no-hidden-files\"\n\
                    http = [\"* /.git/{**}\", \"* /.well-known/{**}\"]\n";

fn builder() -> MeshBuilder {
    Mesh::dev(ORDERS.clone()).unwrap()
}

/// A service whose policy file has had this text for a minute.
fn follows(disk: &Fake, text: &str) -> Mesh {
    follows_by(builder(), disk, text)
}

fn follows_by(builder: MeshBuilder, disk: &Fake, text: &str) -> Mesh {
    disk.write(POLICY, text);
    disk.later();
    builder.policy_file_on(disk.disk(), Path::new(POLICY)).unwrap().build().unwrap()
}

/// One look, as the task that follows the source takes it: the version in force, or why it was
/// refused; `None` where there was nothing to say.
fn look(mesh: &Mesh) -> Option<Result<u64, Arc<ReloadError>>> {
    let reader: &Reader = mesh.0.files.policy.as_ref().unwrap();
    let (reading, news) = reader.look()?;
    let outcome = match news {
        News::Policy(policy) => mesh.offer(&reader.name(), Ok(*policy)),
        News::Failed(error) => mesh.offer(&reader.name(), Err(error)),
        News::Fresh => return None,
    };
    reader.told(reading, &outcome);
    Some(outcome)
}

fn allows_admin(policy: &Policy) -> bool {
    policy.decide(&Access::http("GET", "/admin/keys").by(ORDERS).to(ORDERS)).is_allowed()
}

/// The beginnings of a text that are documents, and allow what the whole denies.
fn beginnings_that_allow(text: &str) -> usize {
    let read = (0..text.len()).filter_map(|end| text[..end].parse::<Policy>().ok());
    read.filter(allows_admin).count()
}

#[test]
fn no_beginning_of_a_policy_decides_while_it_is_written_in_place() {
    assert!(beginnings_that_allow(NEXT) > 0, "there is something to protect from");
    assert!(NEXT.len() >= 230 && !allows_admin(&NEXT.parse().unwrap()));
    let disk = Fake::default();
    let mesh = follows(&disk, CLOSED);
    for end in 0..=NEXT.len() {
        disk.write(POLICY, &NEXT[..end]);
        if let Some(told) = look(&mesh) {
            let refused = told.unwrap_err();
            assert!(matches!(&*refused, ReloadError::Unsettled(_)), "{end} bytes: {refused}");
        }
        assert!(!allows_admin(&mesh.policy()), "after {end} bytes");
        assert_eq!(mesh.policy().version(), 1);
    }
    assert_eq!(look(&mesh).unwrap().unwrap(), 2, "an editor has saved it in place");
    assert!(!allows_admin(&mesh.policy()));
}

#[test]
fn no_beginning_of_a_policy_is_reloaded_while_it_is_written_in_place() {
    let disk = Fake::default();
    let mesh = follows(&disk, CLOSED);
    for end in 0..NEXT.len() {
        disk.write(POLICY, &NEXT[..end]);
        disk.at_wait(move |disk| disk.write(POLICY, &NEXT[..=end]));
        let refused = mesh.reload().unwrap_err();
        assert!(matches!(&*refused, ReloadError::Unsettled(path) if path == Path::new(POLICY)));
        assert!(!allows_admin(&mesh.policy()) && mesh.policy().version() == 1, "{end} bytes");
    }
    mesh.reload().unwrap();
    assert!(mesh.policy().version() == 2 && !allows_admin(&mesh.policy()));
    assert!(mesh.policy_status().borrow().refused.is_none());
}

#[test]
fn no_beginning_of_a_policy_is_taken_that_was_overwritten_as_it_was_read() {
    let disk = Fake::default();
    let mesh = follows(&disk, CLOSED);
    for end in 0..NEXT.len() {
        disk.write(POLICY, &NEXT[..end]);
        disk.later(); // a writer that has paused for long
        disk.at_read(move |disk| disk.write(POLICY, &NEXT[..=end]));
        assert!(matches!(&*mesh.reload().unwrap_err(), ReloadError::Unsettled(_)));
        assert_eq!(mesh.policy().version(), 1, "{end} bytes");
    }
}

#[test]
fn a_start_takes_no_beginning_of_a_policy() {
    let disk = Fake::default();
    disk.write(POLICY, &NEXT[..NEXT.len() / 2]);
    for end in [NEXT.len() - 5, NEXT.len()] {
        disk.at_wait(move |disk| disk.write(POLICY, &NEXT[..end]));
    }
    let mesh = builder().policy_file_on(disk.disk(), Path::new(POLICY)).unwrap().build().unwrap();
    assert!(mesh.policy().version() == 2 && !allows_admin(&mesh.policy()));
}

#[test]
fn a_start_from_a_file_that_is_never_still_fails_by_name() {
    let disk = Fake::default();
    disk.write(POLICY, NEXT);
    for _ in 0..crate::files::PATIENCE {
        disk.at_wait(|disk| disk.write(POLICY, NEXT));
    }
    let refused = builder().policy_file_on(disk.disk(), Path::new(POLICY)).err().unwrap();
    let said = refused.to_string();
    assert!(matches!(refused, BuildError::Policy(ReloadError::Unsettled(_))), "{said}");
    assert!(said.contains(POLICY) && disk.waits() == 0, "{said}");
}

#[test]
fn a_writer_that_pauses_is_told_from_one_that_is_done_by_the_digest() {
    let text = announce(NEXT);
    let disk = Fake::default();
    let mesh = follows(&disk, CLOSED);
    for end in 0..text.len() {
        disk.write(POLICY, &text[..end]);
        assert!(look(&mesh).is_none());
        let refused = look(&mesh).unwrap().unwrap_err();
        assert!(matches!(&*refused, ReloadError::Policy(..)), "{refused}");
        assert!(mesh.reload().is_err());
        assert_eq!(mesh.policy().version(), 1, "after {end} bytes");
    }
    disk.write(POLICY, &text);
    assert!(look(&mesh).is_none());
    assert_eq!(look(&mesh).unwrap().unwrap(), 2);
    // The control: without it nothing tells the two apart.
    let half = &NEXT[..NEXT.find("[[deny]]").unwrap()];
    let mesh = follows(&disk, CLOSED);
    disk.write(POLICY, half);
    let taken = (look(&mesh).is_none(), look(&mesh).unwrap().is_ok());
    assert!(taken == (true, true) && allows_admin(&mesh.policy()));
}

#[test]
fn half_a_document_is_told_as_one_whose_digest_differs() {
    let disk = Fake::default();
    let mesh = follows(&disk, CLOSED);
    let text = announce(NEXT);
    disk.rename(POLICY, &text[..text.len() - 1]);
    let refused = mesh.reload().unwrap_err();
    let ReloadError::Policy(path, error) = &*refused else { panic!("{refused}") };
    assert_eq!((path.as_path(), error.kind()), (Path::new(POLICY), PolicyErrorKind::DigestDiffers));
}

fn version(n: u64) -> String {
    CLOSED.replace("version = 1", &format!("version = {n}"))
}

#[test]
fn a_source_that_has_announced_a_digest_goes_on_announcing() {
    let disk = Fake::default();
    let mesh = follows(&disk, &announce(CLOSED));
    disk.rename(POLICY, &version(2));
    let refused = mesh.reload().unwrap_err();
    assert!(matches!(&*refused, ReloadError::Unannounced(name) if name == POLICY), "{refused}");
    disk.rename(POLICY, &version(3));
    assert!(look(&mesh).is_none());
    assert!(matches!(&*look(&mesh).unwrap().unwrap_err(), ReloadError::Unannounced(_)));
    assert_eq!(mesh.policy().version(), 1);
    disk.rename(POLICY, &announce(&version(4)));
    mesh.reload().unwrap();
    assert_eq!(mesh.policy().version(), 4);
    // One that never has may begin to, and need not.
    let mesh = follows(&disk, CLOSED);
    disk.rename(POLICY, &version(2));
    mesh.reload().unwrap();
    disk.rename(POLICY, &announce(&version(2)));
    mesh.reload().unwrap();
    assert!(mesh.policy().announces_digest());
    disk.rename(POLICY, &version(3));
    assert!(mesh.reload().is_err());
    // A service that starts anew takes it.
    assert_eq!(follows(&disk, &version(3)).policy().version(), 3);
}

#[test]
fn a_volume_with_another_policy_is_taken_at_the_next_look() {
    let disk = Fake::default();
    disk.swap("..1", &[(POLICY, CLOSED)]);
    disk.later();
    let mesh = builder().policy_file_on(disk.disk(), Path::new(POLICY)).unwrap().build().unwrap();
    disk.swap("..2", &[(POLICY, NEXT)]);
    assert_eq!(look(&mesh).unwrap().unwrap(), 2);
}

/// Two that read a file at a time: what is in force in the end is what is in the file.
#[test]
fn a_reload_between_a_look_and_its_offer_does_not_leave_the_older_policy_in_force() {
    let same = |rule: &str| format!("{CLOSED}[[allow]]\nname = \"{rule}\"\n");
    let disk = Fake::default();
    let mesh = follows(&disk, CLOSED);
    let reader = mesh.0.files.policy.clone().unwrap();
    disk.write(POLICY, &same("older"));
    assert!(reader.look().is_none());
    let Some((reading, News::Policy(older))) = reader.look() else { panic!("it is still") };
    disk.write(POLICY, &same("newer"));
    mesh.reload().unwrap();
    let outcome = mesh.offer(POLICY, Ok(*older));
    reader.told(reading, &outcome);
    assert_eq!((0..3).find_map(|_| look(&mesh)).unwrap().unwrap(), 1);
    assert_eq!(mesh.policy().rules().collect::<Vec<_>>(), ["newer"]);
}

#[derive(Clone, Default)]
struct Told(Arc<Mutex<Vec<(String, String)>>>);

impl Sink for Told {
    fn call(&self, _: &Call<'_>) {}

    fn finding(&self, finding: &Finding<'_>) {
        let told = (finding.name.to_owned(), finding.detail.to_string());
        self.0.lock().unwrap().push(told);
    }
}

fn digest(text: &str) -> [u8; 32] {
    *text.parse::<Policy>().unwrap().digest().unwrap()
}

#[test]
fn another_text_of_the_same_version_is_taken_and_told_with_both_digests() {
    let (disk, told, ledger) = (Fake::default(), Told::default(), Ledger::memory().unwrap());
    let mesh = follows_by(builder().sink(told.clone()).ledger(ledger.clone()), &disk, CLOSED);
    // The same text once more is nothing new.
    disk.rename(POLICY, CLOSED);
    mesh.reload().unwrap();
    assert_eq!(told.0.lock().unwrap().len(), 0);
    let rewritten = NEXT.replace("version = 2", "version = 1");
    disk.rename(POLICY, &rewritten);
    mesh.reload().unwrap();
    assert_eq!(mesh.policy().rules().count(), 4, "it is taken");
    // A newer one is what a version is for.
    disk.rename(POLICY, NEXT);
    mesh.reload().unwrap();
    let told = told.0.lock().unwrap().clone();
    let [(name, detail)] = &told[..] else { panic!("{told:?}") };
    assert_eq!(name, "policy-rewritten");
    let (before, after) = (digest(CLOSED), digest(&rewritten));
    let hex = super::super::builder::hex;
    assert!([before, after].iter().all(|digest| detail.contains(&hex(digest))), "{detail}");
    ledger.flush_blocking().unwrap();
    let entries: Vec<_> = ledger.entries().unwrap().map(Result::unwrap).collect();
    let written: Vec<_> = entries
        .iter()
        .filter_map(|entry| match entry.entry() {
            Entry::Rewritten(rewritten) => Some(rewritten),
            _ => None,
        })
        .collect();
    assert_eq!(written, [Rewritten { version: 1, before, after }]);
}

#[test]
fn a_policy_of_another_mesh_does_not_start_and_does_not_take_a_place() {
    let other = CLOSED.replace("shop.example", "bank.example");
    let refused = builder().policy(other.parse().unwrap()).build().unwrap_err();
    let said = refused.to_string();
    assert!(matches!(refused, BuildError::Policy(ReloadError::OtherMesh { .. })), "{said}");
    assert!(said.contains("bank.example") && said.contains(ORDERS.as_str()), "{said}");
    let disk = Fake::default();
    let mesh = follows(&disk, CLOSED);
    let newer = other.replace("version = 1", "version = 2");
    disk.rename(POLICY, &newer);
    let refused = mesh.reload().unwrap_err();
    assert!(matches!(&*refused, ReloadError::OtherMesh { .. }), "{refused}");
    mesh.set_policy(newer.parse().unwrap());
    assert_eq!((mesh.policy().version(), mesh.policy_status().borrow().loads), (1, 3));
    // Of a mesh that federates with the service's own, of one whose roots it was given, and none.
    let federated = format!("federates = [\"shop.example\"]\n{other}");
    assert!(builder().policy(federated.parse().unwrap()).build().is_ok());
    let bank = DevCa::new("bank.example").unwrap();
    let partner = builder().federate("bank.example", bank.bundle_pem()).unwrap();
    assert!(partner.policy(other.parse().unwrap()).build().is_ok());
    assert!(builder().build().is_ok());
}

/// Upstream denies nobody for its trust domain, and the import's default is `cluster.local`.
#[test]
fn an_imported_policy_is_not_refused_for_its_trust_domain() {
    let text = "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\n\
                metadata: { name: all, namespace: shop }\nspec: { rules: [{}] }\n";
    let imported = istio::import(text, &istio::Workload::new("shop")).unwrap().policy;
    assert_ne!(imported.trust_domain().unwrap().as_str(), ORDERS.trust_domain());
    assert!(builder().policy(imported).build().is_ok());
}
