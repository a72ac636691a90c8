//! Services that run, and follow files.

use std::fs;
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::timeout;

use super::*;
use crate::PolicyStatus;
use crate::Tokens;
use crate::tls::CredentialFiles;

const OFTEN: Duration = Duration::from_millis(20);
const SOON: Duration = Duration::from_secs(20);

async fn until(status: &mut watch::Receiver<PolicyStatus>, is: impl Fn(&PolicyStatus) -> bool) {
    timeout(SOON, status.wait_for(|now| is(now))).await.unwrap().unwrap();
}

fn is_digest(status: &PolicyStatus) -> bool {
    status.refused.as_ref().is_some_and(|error| match &**error {
        ReloadError::Policy(_, error) => error.kind() == PolicyErrorKind::DigestDiffers,
        _ => false,
    })
}

/// A writer without any care, and a service that looks all the time, on a real disk: the document's
/// digest holds whatever the two do when.
#[tokio::test]
async fn a_running_service_takes_no_beginning_of_a_document_and_takes_the_whole() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("policy.toml");
    fs::write(&path, announce(CLOSED)).unwrap();
    let mesh = builder().policy_file(&path).unwrap().reload_every(OFTEN).build().unwrap();
    let _listener = mesh.listen("127.0.0.1:0").await.unwrap();
    let text = announce(NEXT);
    let mut status = mesh.policy_status();
    for end in 0..text.len() {
        fs::write(&path, &text[..end]).unwrap();
        if end == text.len() - 1 {
            until(&mut status, is_digest).await;
        }
        tokio::task::yield_now().await;
        assert!(mesh.policy().version() == 1 && !allows_admin(&mesh.policy()), "{end} bytes");
    }
    fs::write(&path, &text).unwrap();
    until(&mut status, |status| status.version == 2 && status.refused.is_none()).await;
    assert!(!allows_admin(&mesh.policy()));
}

/// As a kubelet mounts a ConfigMap.
#[cfg(unix)]
#[tokio::test]
async fn a_running_service_takes_a_volume_that_is_swapped() {
    use std::os::unix::fs::symlink;
    let dir = tempfile::tempdir().unwrap();
    let put = |name: &str, text: &str| {
        fs::create_dir(dir.path().join(name)).unwrap();
        fs::write(dir.path().join(name).join("policy.toml"), text).unwrap();
        symlink(name, dir.path().join("..data_tmp")).unwrap();
        fs::rename(dir.path().join("..data_tmp"), dir.path().join("..data")).unwrap();
    };
    put("..2026_1", CLOSED);
    let path = dir.path().join("policy.toml");
    symlink("..data/policy.toml", &path).unwrap();
    let mesh = builder().policy_file(&path).unwrap().reload_every(OFTEN).build().unwrap();
    let _listener = mesh.listen("127.0.0.1:0").await.unwrap();
    put("..2026_2", NEXT);
    until(&mut mesh.policy_status(), |status| status.version == 2).await;
}

const FILES: [&str; 6] =
    ["/svid.pem", "/svid.key", "/bundle.pem", "/crl.pem", "/partner.pem", "/jwks.json"];
const KEYS: &str = "{\"keys\":[{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"alg\":\"EdDSA\",\
                    \"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}]}";

/// A file system may hang, and a file may be large.
#[tokio::test(start_paused = true)]
async fn all_files_are_read_outside_of_the_runtimes_threads() {
    let (disk, ca) = (Fake::default(), DevCa::new("shop.example").unwrap());
    let partner = DevCa::new("partner.example").unwrap();
    let svid = ca.svid(ORDERS).unwrap();
    let lists = ca.crl_pem(&[]).unwrap();
    let texts =
        [svid.cert_pem(), svid.key_pem(), ca.bundle_pem(), &lists, partner.bundle_pem(), KEYS];
    let put = || FILES.iter().zip(texts).for_each(|(path, text)| disk.rename(path, text));
    put();
    let [svid, key, bundle, crls, partner, jwks] = FILES.map(Path::new);
    disk.write(POLICY, CLOSED);
    disk.later();
    let files = CredentialFiles::new(disk.disk(), svid, key, bundle);
    let builder = Mesh::builder().credential_files(files).unwrap().crl_file(crls).unwrap();
    let builder = builder.federate_file_on(disk.disk(), "partner.example", partner).unwrap();
    let tokens = Tokens::from_file(disk.disk(), jwks).unwrap();
    let builder = builder.tokens(tokens.issuer("https://i").audience("https://a"));
    let builder = builder.policy_file_on(disk.disk(), Path::new(POLICY)).unwrap();
    let mesh = builder.build().unwrap();
    let _listener = mesh.listen("127.0.0.1:0").await.unwrap();
    let (tell, read) = channel();
    for _ in 0..=FILES.len() {
        let tell = tell.clone();
        disk.at_read(move |_| tell.send(thread::current().id()).unwrap());
    }
    drop(tell);
    put();
    disk.rename(POLICY, NEXT);
    until(&mut mesh.policy_status(), |status| status.version == 2).await;
    // The other task that looks has its turn, too.
    tokio::time::sleep(Duration::from_secs(3)).await;
    let threads: Vec<_> = read.iter().collect();
    assert_eq!(threads.len(), FILES.len() + 1, "each was read once");
    assert!(!threads.contains(&thread::current().id()));
}

/// What a look has read is not lost with the future that asked for it.
#[tokio::test(start_paused = true)]
async fn a_future_that_is_dropped_in_the_midst_of_a_look_loses_no_policy() {
    use crate::source::{PolicyFile, PolicySource as _};
    let disk = Fake::default();
    disk.write(POLICY, NEXT);
    disk.later();
    let (begun, reading) = channel();
    let (go, wait) = channel::<()>();
    disk.at_read(move |_| {
        begun.send(()).unwrap();
        wait.recv().unwrap();
    });
    let mut source = PolicyFile::of(Reader::new(disk.disk(), POLICY.into()));
    // Polled until the look has begun, and dropped.
    let mut next = source.next();
    loop {
        tokio::select! {
            biased;
            news = &mut next => panic!("nobody has read it yet: {news:?}"),
            () = tokio::task::yield_now() => {}
        }
        if reading.try_recv().is_ok() {
            break;
        }
    }
    drop(next);
    go.send(()).unwrap();
    let Some(News::Policy(policy)) = source.next().await else { panic!("it is lost") };
    assert_eq!(policy.version(), 2);
}
