//! A callee whose authority revokes.

use std::net::SocketAddr;
use std::time::Duration;

use meshguard_axum::tls::Alpn;
use meshguard_axum::{Channel, Mesh, Policy};
use meshguard_testing::{DevCa, DevSvid, SvidFiles, svid_files, write_svid_files};

use super::app::App;
use super::tell::Told;
use super::{CALLEE, policy, serve};

/// A callee whose authority may revoke.
pub struct Revoking {
    pub ca: DevCa,
    files: SvidFiles,
    pub mesh: Mesh,
    pub told: Told,
    pub app: App,
    pub addr: SocketAddr,
}

impl Revoking {
    /// `more` is what its policy says beyond [`policy`].
    pub async fn new(more: &str) -> Self {
        let ca = DevCa::new(CALLEE.trust_domain()).unwrap();
        let mut files = svid_files(&ca, &CALLEE).unwrap();
        files.write_crl(&ca, &[]).unwrap();
        let (told, app) = (Told::default(), App::default());
        let policy: Policy = policy(more).parse().unwrap();
        let mesh = Mesh::builder()
            .svid_files(&files.svid, &files.key, &files.bundle)
            .unwrap()
            .crl_file(files.crl.as_ref().unwrap())
            .unwrap()
            .policy(policy)
            .sink(told.clone())
            // Only when the test says so.
            .reload_every(Duration::from_secs(3600))
            .build()
            .unwrap();
        let addr = serve(&mesh, &app).await;
        Self { ca, files, mesh, told, app, addr }
    }

    /// A caller that trusts this callee's authority, which has signed its own certificate too.
    pub fn caller(&self, svid: &DevSvid, more: &str) -> Mesh {
        self.caller_of(&self.ca, svid, more)
    }

    /// As [`caller`](Self::caller), whose own certificate another authority of the trust domain
    /// has signed.
    pub fn caller_of(&self, ca: &DevCa, svid: &DevSvid, more: &str) -> Mesh {
        let files = write_svid_files(&self.ca, svid).unwrap();
        let bundle = format!("{}{}", self.ca.bundle_pem(), ca.bundle_pem());
        std::fs::write(&files.bundle, bundle).unwrap();
        let policy: Policy = policy(more).parse().unwrap();
        let builder = Mesh::builder().svid_files(&files.svid, &files.key, &files.bundle);
        builder.unwrap().policy(policy).build().unwrap()
    }

    pub fn channel(&self, caller: &Mesh, alpn: Alpn) -> Channel {
        caller.channel(&format!("https://{}", self.addr), CALLEE).unwrap().protocols(alpn)
    }

    /// This list holds from now on, and no other.
    pub fn revoke_by(&self, list: &str) {
        std::fs::write(self.files.crl.as_ref().unwrap(), list).unwrap();
        self.mesh.reload().unwrap();
    }

    /// These are revoked from now on, and no others.
    pub fn revoke(&mut self, svids: &[&DevSvid]) {
        self.files.write_crl(&self.ca, svids).unwrap();
        self.mesh.reload().unwrap();
    }
}
