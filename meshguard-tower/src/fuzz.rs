//! For the fuzz targets of this repository: the two sides of a session's handshake, whose bytes
//! are in the target's hands.

use std::sync::Arc;

use meshguard_core::delivery::{MESSAGE, Sid};
use meshguard_core::{Peer, Policy, SpiffeId, Timestamp};

use crate::clock::now;
use crate::dev::DevCa;
use crate::mesh::random;
use crate::session::{Opening, Sessions};
use crate::tls::{Credentials, TlsContext};

const CALLER: &SpiffeId = &SpiffeId::from_static("spiffe://fuzz.example/caller");
const CALLEE: &SpiffeId = &SpiffeId::from_static("spiffe://fuzz.example/callee");
const POLICY: &str = "mesh = \"fuzz.example\"\nversion = 1\n[[allow]]\nname = \"all\"\n";

/// One trust domain with a callee.
pub struct Callee {
    sessions: Sessions,
    own: TlsContext,
    caller: TlsContext,
    policy: Arc<Policy>,
    peer: Peer,
}

/// A caller's side of one handshake.
pub struct Caller(Opening);

impl Default for Callee {
    fn default() -> Self {
        Self::new()
    }
}

#[allow(clippy::expect_used)] // a target that cannot begin has nothing to tell
impl Callee {
    /// With an authority of its own.
    #[must_use]
    pub fn new() -> Self {
        let ca = DevCa::new("fuzz.example").expect("an authority");
        let context = |id: &SpiffeId| {
            let svid = ca.svid(id).expect("an SVID");
            let (cert, key) = (svid.cert_pem().as_bytes(), svid.key_pem().as_bytes());
            let bundle = ca.bundle_pem();
            let found = Credentials::from_pem(cert, key, bundle.as_bytes(), None);
            TlsContext::new(found.expect("credentials")).expect("a context")
        };
        let own = context(CALLEE);
        let sessions = sessions(&own);
        let peer = Peer::new(CALLER.clone(), [0; 32], Timestamp::from_unix_secs(u64::MAX / 2));
        let policy = Arc::new(POLICY.parse().expect("a policy"));
        Self { sessions, own, caller: context(CALLER), policy, peer }
    }

    /// The same callee that has seen no handshake yet: how many a caller may leave undone is bounded.
    #[must_use]
    pub fn fresh(&self) -> Self {
        let (own, caller) = (self.own.clone(), self.caller.clone());
        let (policy, peer) = (Arc::clone(&self.policy), self.peer.clone());
        Self { sessions: sessions(&self.own), own, caller, policy, peer }
    }

    /// Begins a handshake with this callee.
    #[must_use]
    pub fn caller(&self) -> Caller {
        let (own, context) = (Arc::from("caller"), &self.caller);
        let opening = Opening::new(context, CALLEE, own, [2; 32], MESSAGE, false, None);
        Caller(opening.expect("a handshake"))
    }

    /// Takes one body: the session's name, the answer, and whether the session is open. `None`
    /// where it was refused.
    pub fn take(&self, sid: Option<Sid>, body: &[u8]) -> Option<(Sid, Vec<u8>, bool)> {
        let fresh = || Sid::from_random(random());
        let step = self.sessions.handshake(sid, fresh, &self.peer, &self.policy, body, now());
        let step = step.ok()?;
        if let Some(session) = &step.opened {
            self.sessions.end(&session.sid);
        }
        Some((step.sid, step.answer, step.opened.is_some()))
    }
}

fn sessions(own: &TlsContext) -> Sessions {
    Sessions::new(own.clone(), Arc::from("callee"), [1; 32], MESSAGE, Arc::default(), None)
}

impl Caller {
    /// The next body; `None` where there is none to send.
    pub fn next(&mut self, sid: Option<&Sid>) -> Option<Vec<u8>> {
        self.0.next(sid).ok()
    }

    /// Takes an answer: whether the callee has told its settings. `None` where it was refused.
    pub fn take(&mut self, body: &[u8]) -> Option<bool> {
        self.0.take(body).ok().map(|settings| settings.is_some())
    }
}
