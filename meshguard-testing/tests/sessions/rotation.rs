//! Credentials that are replaced: a good part takes its own place, a bad one nobody's.

use std::time::{Duration, SystemTime};

use axum::http::StatusCode;
use meshguard_axum::probe::probes;
use meshguard_axum::{Mesh, Policy, ReloadError};
use meshguard_testing::{DevCa, DevSvid, KeyUse, LeafSpec, SvidFiles, write_svid_files};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::ends::hello;
use crate::rig::app::App;
use crate::rig::tell::Told;
use crate::rig::{self, CALLEE, CALLER};

/// A callee whose files the test replaces.
struct Rotating {
    files: SvidFiles,
    mesh: Mesh,
    told: Told,
    caller: Mesh,
    addr: std::net::SocketAddr,
}

impl Rotating {
    /// With `svid`, and a partner's bundle in a file.
    async fn new(ca: DevCa, svid: &DevSvid) -> Self {
        let mut files = write_svid_files(&ca, svid).unwrap();
        files.write_crl(&ca, &[]).unwrap();
        let partner = DevCa::new("partner.example").unwrap();
        std::fs::write(files.dir.path().join("partner.pem"), partner.bundle_pem()).unwrap();
        let policy: Policy = rig::policy("").parse().unwrap();
        let told = Told::default();
        let builder = Mesh::builder().svid_files(&files.svid, &files.key, &files.bundle).unwrap();
        let builder = builder.crl_file(files.crl.as_ref().unwrap()).unwrap();
        let partner = files.dir.path().join("partner.pem");
        let builder = builder.federate_file("partner.example", partner).unwrap();
        // Only when the test says so.
        let builder = builder.reload_every(Duration::from_secs(3600)).sink(told.clone());
        let mesh = builder.policy(policy).build().unwrap();
        let addr = rig::serve(&mesh, &App::default()).await;
        let of_caller = meshguard_testing::svid_files(&ca, &CALLER).unwrap();
        let builder =
            Mesh::builder().svid_files(&of_caller.svid, &of_caller.key, &of_caller.bundle);
        let policy: Policy = rig::policy("").parse().unwrap();
        let caller = builder.unwrap().policy(policy).build().unwrap();
        Self { files, mesh, told, caller, addr }
    }

    /// What a call over a connection of its own gets.
    async fn call(&self) -> StatusCode {
        let channel = self.caller.channel(&format!("https://{}", self.addr), CALLEE).unwrap();
        hello(&channel).await.unwrap()
    }

    /// What was told of what was not taken. The mesh's own first look may tell it, too.
    fn told_of(&self) -> Vec<String> {
        let told = self.told.named("credentials-refused").into_iter();
        let mut details: Vec<_> = told.map(|found| found.detail).collect();
        details.dedup();
        details
    }

    /// What a reload says that it did not take: the input and the fault.
    fn refused(&self) -> String {
        match self.mesh.reload().map_err(|error| match &*error {
            ReloadError::Credentials(e) => format!("{:?}: {:?}", e.input(), e.fault()),
            other => panic!("{other}"),
        }) {
            Ok(()) => "taken".to_owned(),
            Err(text) => text,
        }
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.files.dir.path().join(name), text).unwrap();
    }
}

#[tokio::test]
async fn an_svid_of_no_use_never_replaces_a_good_one() {
    let ca = DevCa::new(CALLEE.trust_domain()).unwrap();
    let first = ca.svid(&CALLEE).unwrap();
    let rotating = Rotating::new(ca.clone(), &first).await;
    let spec = |change: fn(&mut LeafSpec)| {
        let mut spec = LeafSpec::of(&CALLEE);
        change(&mut spec);
        ca.issue(&spec).unwrap()
    };
    let stranger = DevCa::new(CALLEE.trust_domain()).unwrap();
    let cases = [
        (ca.issue(&LeafSpec::expired(&CALLEE)).unwrap(), "Svid: Expired("),
        (ca.issue(&LeafSpec::not_yet_valid(&CALLEE)).unwrap(), "Svid: NotYetValid("),
        (stranger.svid(&CALLEE).unwrap(), "Svid: NotVouchedFor(UnknownIssuer)"),
        (ca.svid(&CALLER).unwrap(), "Svid: OtherIdentity"),
        (spec(|s| s.authority = true), "Svid: Authority"),
        (spec(|s| s.key_usages = vec![KeyUse::KeyAgreement]), "Svid: NoDigitalSignature"),
        (spec(|s| s.client_auth = false), "Svid: ExtendedKeyUsage"),
    ];
    for (bad, expected) in cases {
        rotating.files.rotate(&bad).unwrap();
        let got = rotating.refused();
        assert!(got.starts_with(expected), "{got}, not {expected}");
        assert_eq!(rotating.call().await, StatusCode::OK, "{expected}");
    }
    assert_eq!(rotating.told_of().len(), 7);
    rotating.files.rotate(&ca.svid(&CALLEE).unwrap()).unwrap();
    assert_eq!(rotating.refused(), "taken");
    assert_eq!(rotating.call().await, StatusCode::OK);
}

/// Nobody is to lose its identity for a file that somebody else has broken.
#[tokio::test]
async fn a_bad_bundle_or_list_keeps_no_svid_from_its_rotation() {
    for (name, text, expected) in [
        ("bundle.pem", "", "Bundle: Empty"),
        ("partner.pem", "nothing", "Federated: Empty"),
        ("crl.pem", "nothing", "Crls: Empty"),
    ] {
        let ca = DevCa::new(CALLEE.trust_domain()).unwrap();
        let mut spec = LeafSpec::of(&CALLEE);
        spec.not_after = SystemTime::now() + Duration::from_secs(3600);
        let rotating = Rotating::new(ca.clone(), &ca.issue(&spec).unwrap()).await;
        rotating.write(name, text);
        rotating.files.rotate(&ca.svid(&CALLEE).unwrap()).unwrap();
        let before = rotating.mesh.svid_not_after();
        assert_eq!(rotating.refused(), expected);
        assert!(rotating.mesh.svid_not_after() > before, "{name}");
        assert_eq!(rotating.call().await, StatusCode::OK);
        assert_eq!(rotating.told_of().len(), 1);
    }
}

/// The roots are replaced first, in the wrong way round: the SVID waits for its bundle.
#[tokio::test]
async fn a_bundle_that_does_not_vouch_for_the_svid_waits_for_one_that_it_does() {
    let ca = DevCa::new(CALLEE.trust_domain()).unwrap();
    let rotating = Rotating::new(ca.clone(), &ca.svid(&CALLEE).unwrap()).await;
    let next = DevCa::new(CALLEE.trust_domain()).unwrap();
    rotating.write("bundle.pem", next.bundle_pem());
    assert_eq!(rotating.refused(), "Svid: NotVouchedFor(UnknownIssuer)");
    assert_eq!(rotating.call().await, StatusCode::OK);
    rotating.files.rotate(&next.svid(&CALLEE).unwrap()).unwrap();
    rotating.write("bundle.pem", &format!("{}{}", next.bundle_pem(), ca.bundle_pem()));
    assert_eq!(rotating.refused(), "taken");
}

async fn ready(addr: std::net::SocketAddr) -> bool {
    let mut tcp = TcpStream::connect(addr).await.unwrap();
    tcp.write_all(b"GET /readyz HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    tcp.read_to_string(&mut answer).await.unwrap();
    answer.starts_with("HTTP/1.1 200 ")
}

#[tokio::test]
async fn a_service_whose_svid_has_ended_is_not_ready_until_it_has_another() {
    let ca = DevCa::new(CALLEE.trust_domain()).unwrap();
    let mut spec = LeafSpec::of(&CALLEE);
    spec.not_after = SystemTime::now() + Duration::from_secs(5);
    let rotating = Rotating::new(ca.clone(), &ca.issue(&spec).unwrap()).await;
    let port = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = port.local_addr().unwrap();
    tokio::spawn(probes(port, rotating.mesh.health().clone()));
    rig::soon(async {
        while ready(addr).await || SystemTime::now() < spec.not_after {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    rotating.files.rotate(&ca.svid(&CALLEE).unwrap()).unwrap();
    assert_eq!(rotating.refused(), "taken");
    assert!(ready(addr).await);
}
