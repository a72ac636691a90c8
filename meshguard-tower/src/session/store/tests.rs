use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use meshguard_core::delivery::{MAX_RECORD, MESSAGE};

use super::*;
use crate::observe::Edges;
use crate::rig::{CHECKOUT, ORDERS, Rig, credentials};
use crate::session::Opening;
use crate::tls::now;

fn sessions(rig: &Rig) -> Sessions {
    Sessions::new(rig.tls.clone(), "callee".into(), [1; 32], MESSAGE, Arc::default(), None)
}

/// An outer peer, or a principal.
fn peer(name: &str) -> Peer {
    let id: SpiffeId = format!("spiffe://shop.example/{name}").parse().unwrap();
    Peer::new(id, [0; 32], now() + Duration::from_secs(86_400))
}

fn opening(rig: &Rig) -> Opening {
    let svid = rig.ca.svid(CHECKOUT).unwrap();
    let tls = TlsContext::new(credentials(&rig.ca, &svid, None)).unwrap();
    Opening::new(&tls, ORDERS, "caller".into(), [2; 32], MESSAGE, false, None).unwrap()
}

/// Hands one body to the sessions; a new handshake gets the next sid.
struct Desk {
    sessions: Sessions,
    next: AtomicUsize,
}

impl Desk {
    fn new(rig: &Rig) -> Self {
        Self { sessions: sessions(rig), next: AtomicUsize::new(0) }
    }

    fn post(
        &self,
        named: Option<Sid>,
        outer: &Peer,
        body: &[u8],
        at: Timestamp,
    ) -> Result<Step, SessionRefusal> {
        let n = self.next.fetch_add(1, Ordering::Relaxed) as u128;
        let fresh = || Sid::from_random(n.to_be_bytes());
        let policy = Policy::deny_all();
        self.sessions.handshake(named, fresh, outer, &policy, body, at).map_err(|(e, _)| e)
    }
}

fn refusal(step: Result<Step, SessionRefusal>) -> SessionRefusal {
    match step {
        Err(refusal) => refusal,
        Ok(_) => panic!("it was not refused"),
    }
}

#[test]
fn a_handshake_of_two_posts_opens_a_session() {
    let rig = Rig::new();
    let (desk, outer, at) = (Desk::new(&rig), peer("checkout"), now());
    let mut opening = opening(&rig);
    let first = desk.post(None, &outer, &opening.next(None).unwrap(), at).unwrap();
    assert!(first.opened.is_none() && desk.sessions.len() == 0);
    assert!(opening.take(&first.answer).unwrap().is_none());
    let body = opening.next(Some(&first.sid)).unwrap();
    let second = desk.post(Some(first.sid), &outer, &body, at).unwrap();
    assert_eq!(*second.opened.unwrap().peer.id(), *CHECKOUT);
    assert!(opening.take(&second.answer).unwrap().is_some());
    assert_eq!(desk.sessions.len(), 1);
}

#[test]
fn one_peer_begins_so_many_handshakes_and_not_one_more() {
    let rig = Rig::new();
    let (desk, at) = (Desk::new(&rig), now());
    let hello = opening(&rig).next(None).unwrap();
    for _ in 0..MAX_PENDING_PER_PEER {
        desk.post(None, &peer("greedy"), &hello, at).unwrap();
    }
    let beyond = refusal(desk.post(None, &peer("greedy"), &hello, at));
    assert_eq!(beyond, SessionRefusal::TooMany);
    desk.post(None, &peer("other"), &hello, at).unwrap();
}

#[test]
fn all_peers_begin_so_many_handshakes_and_not_one_more() {
    let rig = Rig::new();
    let (desk, at) = (Desk::new(&rig), now());
    let hello = opening(&rig).next(None).unwrap();
    for i in 0..MAX_PENDING {
        let outer = peer(&format!("p{}", i / MAX_PENDING_PER_PEER));
        desk.post(None, &outer, &hello, at).unwrap();
    }
    let beyond = refusal(desk.post(None, &peer("late"), &hello, at));
    assert_eq!(beyond, SessionRefusal::TooMany);
    // Handshakes that take too long make room.
    desk.post(None, &peer("late"), &hello, at + HANDSHAKE_TIME).unwrap();
}

/// The second post of a handshake comes so long after its first.
fn second_after(wait: Duration) -> (Desk, Sid, Peer, Result<Step, SessionRefusal>) {
    let rig = Rig::new();
    let (desk, outer, at) = (Desk::new(&rig), peer("checkout"), now());
    let mut opening = opening(&rig);
    let first = desk.post(None, &outer, &opening.next(None).unwrap(), at).unwrap();
    opening.take(&first.answer).unwrap();
    let body = opening.next(Some(&first.sid)).unwrap();
    let second = desk.post(Some(first.sid), &outer, &body, at + wait);
    (desk, first.sid, outer, second)
}

#[test]
fn a_handshake_that_takes_too_long_is_forgotten() {
    let just = HANDSHAKE_TIME - Duration::from_millis(1);
    second_after(just).3.unwrap();
    let (desk, sid, outer, late) = second_after(HANDSHAKE_TIME);
    assert_eq!(refusal(late), SessionRefusal::Handshake(HandshakeErrorKind::Timeout));
    assert_eq!(refusal(desk.post(Some(sid), &outer, &[], now())), SessionRefusal::Unknown);
    assert_eq!(desk.sessions.len(), 0);
}

#[test]
fn a_handshake_belongs_to_the_peer_that_began_it() {
    let rig = Rig::new();
    let (desk, at) = (Desk::new(&rig), now());
    let mut opening = opening(&rig);
    let first = desk.post(None, &peer("checkout"), &opening.next(None).unwrap(), at).unwrap();
    opening.take(&first.answer).unwrap();
    let body = opening.next(Some(&first.sid)).unwrap();
    let other = refusal(desk.post(Some(first.sid), &peer("other"), &body, at));
    assert_eq!(other, SessionRefusal::OtherPeer);
}

/// A session of a principal, as if its handshake had been made.
fn session(of: &Peer, number: u128) -> Arc<ServerSession> {
    Arc::new(ServerSession {
        sid: Sid::from_random(number.to_be_bytes()),
        keys: SessionKeys::derive(Suite::Mac, &mut [7; 32]),
        peer: of.clone(),
        chain: Vec::new(),
        cover: Cover::default(),
        covered: Vec::new(),
        answer_cover: Cover::default(),
        record: MAX_RECORD,
        message: MESSAGE,
        batch: true,
        expires: now() + LIFETIME,
        held: Arc::default(),
        ended: AtomicBool::new(false),
        retires: OnceLock::new(),
        withdrawn: OnceLock::new(),
        caller: Edges::default().get(&EdgeKey::Caller(of.id().clone())),
        hop: None,
        carriers: Arc::new(Carriers::new()),
        ledger: None,
        closed: Arc::default(),
        receiver: Mutex::new(Receiver::new(1)),
    })
}

#[test]
fn a_principal_at_its_share_loses_its_own_oldest_session_only() {
    let rig = Rig::new();
    let (sessions, at) = (sessions(&rig), now());
    let (other, greedy) = (session(&peer("other"), 0), peer("greedy"));
    sessions.insert(&other, at).unwrap();
    let oldest = session(&greedy, 1);
    sessions.insert(&oldest, at).unwrap();
    for n in 2..=MAX_SESSIONS_PER_PRINCIPAL as u128 {
        sessions.insert(&session(&greedy, n), at).unwrap();
    }
    assert!(oldest.is_open(at) && sessions.live(&oldest.sid, at).is_ok());
    assert_eq!(sessions.len(), MAX_SESSIONS_PER_PRINCIPAL + 1);

    let one_more = session(&greedy, u128::MAX);
    sessions.insert(&one_more, at).unwrap();
    assert!(!oldest.is_open(at));
    assert_eq!(sessions.live(&oldest.sid, at).err(), Some(NotLive::Evicted));
    assert!(sessions.live(&one_more.sid, at).is_ok() && sessions.live(&other.sid, at).is_ok());
    assert_eq!(sessions.len(), MAX_SESSIONS_PER_PRINCIPAL + 1);
}

#[test]
fn there_are_so_many_sessions_and_not_one_more() {
    let rig = Rig::new();
    let (sessions, at) = (sessions(&rig), now());
    let principals: Vec<_> = (0..16).map(|n| peer(&format!("p{n}"))).collect();
    // The last principal leaves one place to another.
    let all = (0..MAX_SESSIONS - 1).map(|n| (n, &principals[n / MAX_SESSIONS_PER_PRINCIPAL]));
    for (n, of) in all {
        sessions.insert(&session(of, n as u128), at).unwrap();
    }
    let last = session(&peer("small"), u128::MAX);
    sessions.insert(&last, at).unwrap();
    assert_eq!(sessions.len(), MAX_SESSIONS);

    let beyond = sessions.insert(&session(&peer("late"), u128::MAX - 1), at);
    assert_eq!(beyond.unwrap_err(), SessionRefusal::TooMany);
    // Who has a place may change it for another.
    let next = session(&peer("small"), u128::MAX - 2);
    sessions.insert(&next, at).unwrap();
    assert!(sessions.live(&last.sid, at).is_err() && sessions.live(&next.sid, at).is_ok());
    assert_eq!(sessions.len(), MAX_SESSIONS);
    // Sessions that have ended make room.
    sessions.insert(&session(&peer("late"), 0), at + 2 * LIFETIME).unwrap();
    assert_eq!(sessions.len(), 1);
}
