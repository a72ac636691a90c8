//! Credentials, and keys of tokens, that are written while a service follows their files.

use std::path::Path;

use meshguard_core::SpiffeId;

use super::*;
use crate::dev::{DevCa, DevSvid};
use crate::files::fake::Fake;
use crate::{Tokens, TokensError};

const ORDERS: &SpiffeId = &SpiffeId::from_static("spiffe://shop.example/orders");
const SVID: &str = "/svid.pem";
const KEY: &str = "/svid.key";
const BUNDLE: &str = "/bundle.pem";
const CRLS: &str = "/crl.pem";
const PARTNER: &str = "/partner.pem";

/// A service whose files the test writes.
struct Rotating {
    disk: Fake,
    ca: DevCa,
    partner: DevCa,
    mesh: Mesh,
}

impl Rotating {
    fn new() -> Self {
        let (disk, ca) = (Fake::default(), DevCa::new("shop.example").unwrap());
        let partner = DevCa::new("partner.example").unwrap();
        let svid = ca.svid(ORDERS).unwrap();
        disk.write(SVID, svid.cert_pem());
        disk.write(KEY, svid.key_pem());
        disk.write(BUNDLE, ca.bundle_pem());
        disk.write(CRLS, &ca.crl_pem(&[]).unwrap());
        disk.write(PARTNER, partner.bundle_pem());
        disk.later();
        let [svid, key, bundle, crls, path] = [SVID, KEY, BUNDLE, CRLS, PARTNER].map(Path::new);
        let files = CredentialFiles::new(disk.disk(), svid, key, bundle);
        let builder = Mesh::builder().credential_files(files).unwrap().crl_file(crls).unwrap();
        let builder = builder.federate_file_on(disk.disk(), "partner.example", path).unwrap();
        let mesh = builder.build().unwrap();
        Self { disk, ca, partner, mesh }
    }

    fn svid(&self) -> DevSvid {
        self.ca.svid(ORDERS).unwrap()
    }

    /// Looks once: what was not taken, and how many generations there were by then.
    fn look(&self) -> (Vec<String>, u64) {
        let kept = self.mesh.renew_credentials(Asked::Look);
        (kept.iter().map(ToString::to_string).collect(), self.mesh.0.tls.generation())
    }

    fn uses(&self, svid: &DevSvid) -> bool {
        let own = self.mesh.0.tls.credentials().own;
        let leaf = Own::read(svid.cert_pem().as_bytes(), svid.key_pem().as_bytes()).unwrap();
        own.chain() == leaf.chain()
    }
}

fn nothing(generation: u64) -> (Vec<String>, u64) {
    (Vec::new(), generation)
}

#[test]
fn an_svid_and_a_key_of_two_generations_are_not_read_together() {
    let rotating = Rotating::new();
    let next = rotating.svid();
    rotating.disk.rename(KEY, next.key_pem());
    assert_eq!(rotating.look(), nothing(1));
    rotating.disk.rename(SVID, next.cert_pem());
    assert_eq!(rotating.look(), nothing(1));
    assert_eq!(rotating.look(), nothing(2));
    assert!(rotating.uses(&next));
    // In the other order, and the second file while the first is read.
    let next = rotating.svid();
    rotating.disk.rename(SVID, next.cert_pem());
    assert_eq!(rotating.look(), nothing(2));
    let key = next.key_pem().to_owned();
    rotating.disk.at_read(move |disk| disk.rename(KEY, &key));
    assert_eq!(rotating.look(), nothing(2), "the old key was read with the new SVID, perhaps");
    assert_eq!(rotating.look(), nothing(2));
    assert_eq!(rotating.look(), nothing(3));
    assert!(rotating.uses(&next));
}

#[test]
fn a_rotation_that_stops_half_way_keeps_the_old_pair_and_is_taken_when_it_ends() {
    let rotating = Rotating::new();
    let (first, next) = (rotating.svid(), rotating.svid());
    rotating.disk.rename(SVID, first.cert_pem());
    rotating.disk.rename(KEY, first.key_pem());
    assert_eq!((rotating.look(), rotating.look()), (nothing(1), nothing(2)));
    rotating.disk.rename(SVID, next.cert_pem());
    assert_eq!(rotating.look(), nothing(2));
    let (kept, _) = rotating.look();
    assert!(kept[0].contains(KEY) && kept[0].contains("another certificate"), "{kept:?}");
    assert!(kept.len() == 1 && rotating.uses(&first));
    assert_eq!(rotating.look().0.len(), 0, "told once");
    rotating.disk.rename(KEY, next.key_pem());
    assert!(rotating.look().0.is_empty() && rotating.look().0.is_empty() && rotating.uses(&next));
}

/// Each is a file of several items, and a beginning of it is one of fewer.
#[test]
fn no_beginning_of_an_svid_a_bundle_or_revocation_lists_is_read() {
    let rotating = Rotating::new();
    let bundle = format!("{0}{0}", rotating.ca.bundle_pem());
    let lists = format!("{0}{0}", rotating.ca.crl_pem(&[&rotating.svid()]).unwrap());
    let partner = format!("{0}{0}", rotating.partner.bundle_pem());
    let next = rotating.svid();
    let svid = format!("{}{}", next.cert_pem(), rotating.ca.bundle_pem());
    rotating.disk.rename(KEY, next.key_pem());
    for (file, text) in [(SVID, &svid), (BUNDLE, &bundle), (CRLS, &lists), (PARTNER, &partner)] {
        let before = rotating.mesh.0.tls.generation();
        for end in 0..=text.len() {
            rotating.disk.write(file, &text[..end]);
            let (kept, generation) = rotating.look();
            let unsettled = |said: &String| said.contains(file) && said.contains("being written");
            assert!(kept.iter().all(unsettled), "{end} bytes: {kept:?}");
            assert_eq!(generation, before, "{end} bytes of {file}");
        }
        assert_eq!(rotating.look(), nothing(before + 1), "{file}");
    }
    assert_eq!(rotating.mesh.0.tls.credentials().own.chain().len(), 2);
}

#[test]
fn a_partners_file_that_is_never_still_keeps_no_svid_from_its_rotation() {
    let rotating = Rotating::new();
    let next = rotating.svid();
    rotating.disk.rename(SVID, next.cert_pem());
    rotating.disk.rename(KEY, next.key_pem());
    for looks in 0..2 {
        rotating.disk.write(PARTNER, &rotating.partner.bundle_pem()[..looks]);
        rotating.disk.write(CRLS, &"x".repeat(looks));
        assert!(rotating.look().0.is_empty());
    }
    assert!(rotating.uses(&next));
}

#[test]
fn a_reload_in_the_midst_of_a_rotation_says_which_file_is_being_written() {
    let rotating = Rotating::new();
    let next = rotating.svid();
    rotating.disk.rename(SVID, next.cert_pem());
    let key = next.key_pem().to_owned();
    rotating.disk.at_wait(move |disk| disk.rename(KEY, &key));
    let refused = rotating.mesh.reload().unwrap_err();
    let ReloadError::Credentials(error) = &*refused else { panic!("{refused}") };
    assert!(matches!(error.fault(), CredentialsFault::Unsettled), "{error}");
    assert_eq!((error.input(), error.path()), (Source::Key, Some(Path::new(KEY))));
    rotating.mesh.reload().unwrap();
    assert!(rotating.uses(&next));
}

/// The files need not change for it.
#[test]
fn what_was_to_begin_is_read_again_when_it_has() {
    let rotating = Rotating::new();
    assert_eq!(rotating.look(), nothing(1));
    let at = |at| rotating.mesh.0.files.credentials.lock().unwrap().begins = Some(at);
    at(reached() + CLOCK_SKEW + std::time::Duration::from_secs(3600));
    assert_eq!(rotating.look(), nothing(1));
    at(reached());
    assert_eq!(rotating.look(), nothing(2));
    assert_eq!(rotating.look(), nothing(2), "once");
}

#[test]
fn no_beginning_of_a_key_set_is_read() {
    const KEYS: &str = "/jwks.json";
    let set = |kid: &str| {
        let key = "{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"alg\":\"EdDSA\",\"kid\":\"";
        let x = "\",\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}";
        format!("{{\"keys\":[{key}{kid}{x}]}}")
    };
    let disk = Fake::default();
    disk.write(KEYS, &set("one"));
    disk.later();
    let tokens = Tokens::from_file(disk.disk(), Path::new(KEYS)).unwrap();
    let tokens = tokens.issuer("https://i").audience("https://a");
    let mesh = Mesh::dev(ORDERS.clone()).unwrap().tokens(tokens).build().unwrap();
    let verifier = mesh.0.tokens.as_ref().unwrap();
    let text = set("two");
    for end in 0..=text.len() {
        disk.write(KEYS, &text[..end]);
        let read = verifier.look(|| ());
        assert!(matches!(read, None | Some(Err(TokensError::Unsettled(_)))), "{end}: {read:?}");
    }
    assert!(matches!(verifier.look(|| ()), Some(Ok(()))));
    disk.write(KEYS, "{");
    disk.at_wait(move |disk| disk.write(KEYS, &set("three")));
    let refused = mesh.reload().unwrap_err();
    assert!(matches!(&*refused, ReloadError::Tokens(TokensError::Unsettled(_))), "{refused}");
    mesh.reload().unwrap();
}
