//! Callers and callees of another trust domain, each with the roots of its own.

use axum::http::StatusCode;
use meshguard_axum::tls::{Alpn, CredentialsFault};
use meshguard_axum::{BuildError, CallErrorKind, Mesh, MeshBuilder, Policy, SpiffeId};
use meshguard_testing::{DevCa, FaultHop, LeafSpec, SvidFiles, Transport, svid_files};

use crate::ends::hello;
use crate::rig::app::App;
use crate::rig::{self, CALLEE, CALLER, HOP, http};

const PARTNER: SpiffeId = SpiffeId::from_static("spiffe://partner.example/billing");

/// The caller of [`PARTNER`] may get what is known, and nothing else.
const POLICY: &str = "mesh = \"faults.example\"\nfederates = [\"partner.example\"]\nversion = 1\n\
     hops = [\"hop\"]\n[peers]\nhop = \"spiffe://faults.example/hop\"\n\
     billing = \"spiffe://partner.example/billing\"\n\
     [[allow]]\nname = \"ours\"\nhttp = [\"POST /take\"]\n\
     [[allow]]\nname = \"theirs\"\nfrom = [\"billing\"]\nhttp = [\"GET /known/{n}\"]\n";

/// Two trust domains.
struct World {
    ours: DevCa,
    theirs: DevCa,
}

impl World {
    fn new() -> Self {
        let ca = |domain| DevCa::new(domain).unwrap();
        Self { ours: ca("faults.example"), theirs: ca("partner.example") }
    }

    fn callee(&self, federated: bool) -> Mesh {
        let files = svid_files(&self.ours, &CALLEE).unwrap();
        built(&files, federated.then_some(&self.theirs))
    }

    fn partner(&self) -> Mesh {
        built(&svid_files(&self.theirs, &PARTNER).unwrap(), Some(&self.ours))
    }
}

fn built(files: &SvidFiles, other: Option<&DevCa>) -> Mesh {
    let mut builder = Mesh::builder().svid_files(&files.svid, &files.key, &files.bundle).unwrap();
    if let Some(ca) = other {
        builder = builder.federate(ca.trust_domain(), ca.bundle_pem()).unwrap();
    }
    builder.policy(POLICY.parse::<Policy>().unwrap()).build().unwrap()
}

#[tokio::test]
async fn a_federated_caller_with_its_own_root_is_admitted_as_policy_says() {
    let world = World::new();
    let (callee, caller, app) = (world.callee(true), world.partner(), App::default());
    let addr = rig::serve(&callee, &app).await;
    for alpn in [Alpn::H2, Alpn::Http11] {
        let channel = caller.channel(&format!("https://{addr}"), CALLEE).unwrap().protocols(alpn);
        assert_eq!(hello(&channel).await.unwrap(), StatusCode::OK);
        // A rule that names nobody is for peers of the mesh.
        let (status, _) = http::call(&channel, http::post("/take", "money")).await.answer();
        assert_eq!(status, StatusCode::FORBIDDEN);
    }
    assert_eq!(app.calls(), 2);
}

#[tokio::test]
async fn a_federated_caller_is_admitted_through_a_hop_of_the_callees_domain() {
    let world = World::new();
    let (callee, caller, app) = (world.callee(true), world.partner(), App::default());
    let addr = rig::serve(&callee, &app).await;
    let bundle_pem = format!("{}{}", world.ours.bundle_pem(), world.theirs.bundle_pem());
    let transport = Transport::Tls { svid: world.ours.svid(&HOP).unwrap(), bundle_pem };
    let hop = FaultHop::builder(addr).transport(transport).start().await.unwrap();
    let channel = rig::through(&caller, &hop, Alpn::H2);
    assert_eq!(hello(&channel).await.unwrap(), StatusCode::OK);
    let (status, _) = http::call(&channel, http::post("/take", "money")).await.answer();
    assert_eq!(status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn a_domain_that_the_policy_names_gets_in_by_roots_alone() {
    let world = World::new();
    let (callee, caller, app) = (world.callee(false), world.partner(), App::default());
    let addr = rig::serve(&callee, &app).await;
    let channel = caller.channel(&format!("https://{addr}"), CALLEE).unwrap();
    let error = hello(&channel).await.unwrap_err();
    assert!(matches!(error.kind(), CallErrorKind::HandshakeRefused(_)), "{error}");
    assert_eq!(callee.handshakes().completed(), 0);
}

/// The other side, a stranger that shows a certificate of the partner's authority for a workload
/// of ours, is in the listener's own tests.
#[tokio::test]
async fn a_partners_root_makes_nobody_of_our_domain() {
    let world = World::new();
    let (callee, app) = (world.callee(true), App::default());
    let addr = rig::serve(&callee, &app).await;
    let files = svid_files(&world.ours, &CALLER).unwrap();
    let caller = built(&files, Some(&world.theirs));
    let bundle_pem = format!("{}{}", world.ours.bundle_pem(), world.theirs.bundle_pem());
    for (authority, taken) in [(&world.theirs, false), (&world.ours, true)] {
        let svid = authority.issue(&LeafSpec::of(&HOP)).unwrap();
        let transport = Transport::Tls { svid, bundle_pem: bundle_pem.clone() };
        let hop = FaultHop::builder(addr).transport(transport).start().await.unwrap();
        let got = http::call(&rig::through(&caller, &hop, Alpn::H2), http::post("/take", "")).await;
        if taken {
            assert_eq!(got.answer().0, StatusCode::OK);
            continue;
        }
        let error = got.failed();
        assert_eq!(*error.kind(), CallErrorKind::Connect, "{error}");
        assert!(format!("{error:?}").contains("UnknownIssuer"), "{error:?}");
        assert_eq!((callee.handshakes().completed(), app.calls()), (0, 0));
    }
}

#[test]
fn the_own_domain_has_one_bundle_and_a_partner_too() {
    let world = World::new();
    let files = svid_files(&world.ours, &CALLEE).unwrap();
    let builder = || Mesh::builder().svid_files(&files.svid, &files.key, &files.bundle).unwrap();
    let fault = |result: Result<_, BuildError>| match result {
        Err(BuildError::Credentials(error)) => format!("{:?}", error.fault()),
        Err(error) => panic!("{error}"),
        Ok(()) => "taken".to_owned(),
    };
    let (ours, theirs) = (world.ours.bundle_pem(), world.theirs.bundle_pem());
    let own = builder().federate("faults.example", ours).and_then(MeshBuilder::build);
    assert_eq!(fault(own.map(drop)), format!("{:?}", CredentialsFault::OwnDomain));
    let twice = builder()
        .federate("partner.example", theirs)
        .and_then(|b| b.federate("partner.example", theirs));
    assert_eq!(fault(twice.map(drop)), format!("{:?}", CredentialsFault::SecondBundle));
    // The partner's roots, under another name than their own.
    let wrong = builder().federate("else.example", theirs);
    assert!(fault(wrong.map(drop)).starts_with("ForeignRoot(0"));
    let unnamed = builder().federate("Partner", theirs);
    assert!(fault(unnamed.map(drop)).starts_with("BadDomain("));
    let empty = builder().federate("partner.example", "");
    assert_eq!(fault(empty.map(drop)), "Empty");
}
