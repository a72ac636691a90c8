use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use meshguard_core::control::IncidentId;
use meshguard_core::delivery::{MAX_RECORD, MESSAGE};

use super::super::{
    HANDSHAKE_TIME, HANDSHAKES_AT_ONCE, MAX_PENDING, MAX_PENDING_PER_HOP, MAX_PENDING_PER_PEER,
};
use super::*;
use crate::clock::{Now, now};
use crate::control::Overlay;
use crate::dev::DevSvid;
use crate::observe::Edges;
use crate::rig::{CHECKOUT, ORDERS, Rig, credentials};
use crate::session::Opening;

fn sessions(rig: &Rig) -> Sessions {
    Sessions::new(rig.tls.clone(), "callee".into(), [1; 32], MESSAGE, Arc::default(), None)
}

/// An outer peer, or a principal.
fn peer(name: &str) -> Peer {
    let id: SpiffeId = format!("spiffe://shop.example/{name}").parse().unwrap();
    Peer::new(id, [0; 32], now().wall + Duration::from_secs(86_400))
}

fn opening(rig: &Rig) -> Opening {
    opening_of(rig, &rig.ca.svid(CHECKOUT).unwrap())
}

fn opening_of(rig: &Rig, svid: &DevSvid) -> Opening {
    let tls = TlsContext::new(credentials(&rig.ca, svid, None)).unwrap();
    Opening::new(&tls, ORDERS, "caller".into(), [2; 32], MESSAGE, false, None).unwrap()
}

/// Hands one body to the sessions; a new handshake gets the next sid.
struct Desk {
    rig: Rig,
    sessions: Sessions,
    policy: Policy,
    next: AtomicUsize,
}

const POLICY: &str = "mesh = \"shop.example\"\nversion = 1\nhops = [\"hop\"]\n\
    [peers]\nhop = \"spiffe://shop.example/hop\"\n[[allow]]\nname = \"all\"\n";

impl Desk {
    fn new(rig: Rig) -> Self {
        let (sessions, policy) = (sessions(&rig), POLICY.parse().unwrap());
        Self { rig, sessions, policy, next: AtomicUsize::new(0) }
    }

    fn post(
        &self,
        named: Option<Sid>,
        outer: &Peer,
        body: &[u8],
        at: Now,
    ) -> Result<Step, SessionRefusal> {
        let n = self.next.fetch_add(1, Ordering::Relaxed) as u128;
        let fresh = || Sid::from_random(n.to_be_bytes());
        let step = self.sessions.handshake(named, fresh, outer, &self.policy, body, at);
        step.map_err(|(e, _)| e)
    }

    /// The first body has been answered: the sid, and the second body.
    fn half_way(&self, svid: &DevSvid, outer: &str, at: Now) -> (Opening, Sid, Vec<u8>) {
        let mut opening = opening_of(&self.rig, svid);
        let first = self.post(None, &peer(outer), &opening.next(None).unwrap(), at).unwrap();
        opening.take(&first.answer).unwrap();
        let body = opening.next(Some(&first.sid)).unwrap();
        (opening, first.sid, body)
    }

    /// A whole handshake of `checkout` over a connection of `outer`.
    fn complete(&self, outer: &str, at: Now) -> Result<Step, SessionRefusal> {
        let svid = self.rig.ca.svid(CHECKOUT).unwrap();
        let (_, sid, body) = self.half_way(&svid, outer, at);
        self.post(Some(sid), &peer(outer), &body, at)
    }

    fn cut_off(&self, caller: &SpiffeId) {
        self.sessions.gate.put(Arc::new(Overlay::cutting_off(caller)));
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
    let (desk, outer, at) = (Desk::new(Rig::new()), peer("checkout"), now());
    let mut opening = opening(&desk.rig);
    let first = desk.post(None, &outer, &opening.next(None).unwrap(), at).unwrap();
    assert!(first.opened.is_none() && desk.sessions.len() == 0);
    assert!(opening.take(&first.answer).unwrap().is_none());
    let body = opening.next(Some(&first.sid)).unwrap();
    let second = desk.post(Some(first.sid), &outer, &body, at).unwrap();
    assert_eq!(*second.opened.unwrap().peer.id(), *CHECKOUT);
    assert!(opening.take(&second.answer).unwrap().is_some());
    assert_eq!(desk.sessions.len(), 1);
}

/// Begins a handshake and leaves it there.
fn begin(desk: &Desk, outer: &str, at: Now) -> Result<Step, SessionRefusal> {
    let (rig, outer) = (&desk.rig, peer(outer));
    desk.post(None, &outer, &opening(rig).next(None).unwrap(), at)
}

/// How many of these handshakes go on.
fn going_on(desk: &Desk, outer: &str, begun: &[Sid], at: Now) -> usize {
    let outer = peer(outer);
    let of = |sid: &&Sid| match desk.post(Some(**sid), &outer, &[], at) {
        Ok(_) => true,
        Err(SessionRefusal::Unknown) => false,
        Err(other) => panic!("{other}"),
    };
    begun.iter().filter(of).count()
}

#[test]
fn one_peer_that_leaves_handshakes_behind_hits_its_own_alone() {
    let (desk, at) = (Desk::new(Rig::new()), now());
    let other = [begin(&desk, "other", at).unwrap().sid];
    let fill = |at| -> Vec<_> {
        (0..MAX_PENDING_PER_PEER).map(|_| begin(&desk, "greedy", at).unwrap().sid).collect()
    };
    let greedy = fill(at);
    // A thousand instances that start at once are turned away for a while, and spend nothing.
    for _ in 0..4 * HANDSHAKES_AT_ONCE {
        assert!(matches!(begin(&desk, "greedy", at), Err(SessionRefusal::TooMany)));
    }
    // A second later those that are left behind give their places to the next ones.
    let second = Duration::from_secs(1);
    let later = Now { wall: at.wall + second, steady: at.steady + second, ..at };
    let next = fill(later);
    assert_eq!(going_on(&desk, "greedy", &greedy, later), 0);
    assert_eq!(going_on(&desk, "greedy", &next, later), MAX_PENDING_PER_PEER);
    assert_eq!(going_on(&desk, "other", &other, later), 1);
}

#[test]
fn where_all_places_are_taken_the_peer_that_has_most_gives_one() {
    let (desk, at) = (Desk::new(Rig::new()), now());
    let hop = "hop";
    let behind: Vec<_> =
        (0..MAX_PENDING_PER_HOP).map(|_| begin(&desk, hop, at).unwrap().sid).collect();
    let mut others = Vec::new();
    for i in 0..MAX_PENDING - MAX_PENDING_PER_HOP {
        let name = format!("p{}", i / 2);
        others.push((name.clone(), begin(&desk, &name, at).unwrap().sid));
    }
    let late: Vec<_> = (0..8).map(|i| (format!("late{i}"), i)).collect();
    for (name, _) in &late {
        others.push((name.clone(), begin(&desk, name, at).unwrap().sid));
    }
    for (name, sid) in others {
        assert_eq!(going_on(&desk, &name, &[sid], at), 1, "{name}");
    }
    assert_eq!(going_on(&desk, hop, &behind, at), MAX_PENDING_PER_HOP - late.len());
}

#[test]
fn handshakes_have_a_rate_by_peer_and_a_hop_that_of_many() {
    let (desk, at) = (Desk::new(Rig::new()), now());
    let many = 2 * HANDSHAKES_AT_ONCE as usize;
    // As many as may be under way, in each second.
    let second = |n: usize| Duration::from_secs((n / MAX_PENDING_PER_PEER) as u64);
    let in_turn = |n| Now { wall: at.wall + second(n), steady: at.steady + second(n), ..at };
    // Some come back during the test: far fewer than there are at once.
    let begun: Vec<_> = (0..many).map(|n| begin(&desk, "greedy", in_turn(n)).map(drop)).collect();
    let first = begun.iter().position(Result::is_err).unwrap();
    assert!(first >= HANDSHAKES_AT_ONCE as usize, "{first}");
    assert_eq!(begun[first], Err(SessionRefusal::TooMany));
    begin(&desk, "other", at).unwrap();
    let hop = "hop";
    assert!((0..many).all(|_| begin(&desk, hop, at).is_ok()));
}

#[test]
fn handshakes_through_a_hop_count_against_the_caller_once_it_is_known() {
    let (desk, at) = (Desk::new(Rig::new()), now());
    let svid = desk.rig.ca.svid(CHECKOUT).unwrap();
    // One may come back while the handshake ends.
    let refused = (0..50).any(|_| {
        let (_, sid, body) = desk.half_way(&svid, "hop", at);
        while desk.sessions.handshakes.count(CHECKOUT, 1).is_ok() {}
        let through = desk.post(Some(sid), &peer("hop"), &body, at);
        matches!(through, Err(SessionRefusal::TooMany))
    });
    assert!(refused);
}

#[test]
fn whom_policy_allows_nothing_or_the_loop_has_cut_off_opens_no_session() {
    let mut desk = Desk::new(Rig::new());
    desk.policy = Policy::deny_all();
    assert_eq!(refusal(desk.complete("checkout", now())), SessionRefusal::Denied);
    assert_eq!(desk.sessions.len(), 0);

    let desk = Desk::new(Rig::new());
    desk.complete("checkout", now()).unwrap();
    desk.cut_off(CHECKOUT);
    assert_eq!(
        refusal(desk.complete("checkout", now())),
        SessionRefusal::Quarantined(IncidentId(1))
    );
    assert_eq!(desk.sessions.len(), 1, "that one is for others to end");
}

/// Its chain was verified when it was not revoked yet, and those sessions that were there have
/// been looked through since.
#[test]
fn a_revocation_during_a_handshake_ends_it() {
    let desk = Desk::new(Rig::new());
    let svid = desk.rig.ca.svid(CHECKOUT).unwrap();
    let (_, sid, body) = desk.half_way(&svid, "checkout", now());
    desk.rig.revoke(&[&svid]);
    let step = desk.post(Some(sid), &peer("checkout"), &body, now());
    let revoked = SessionRefusal::Handshake(HandshakeErrorKind::Revoked);
    assert_eq!(refusal(step), revoked);
    assert_eq!(desk.sessions.len(), 0);
}

/// As if it came between the check of its caller and its own place among the others.
#[test]
fn what_ends_the_others_ends_a_session_that_is_just_being_opened() {
    let revoked = SessionRefusal::Handshake(HandshakeErrorKind::Revoked);
    for (revokes, why) in [(true, revoked), (false, SessionRefusal::Quarantined(IncidentId(1)))] {
        let desk = Desk::new(Rig::new());
        let (svid, generation) = (desk.rig.ca.svid(CHECKOUT).unwrap(), desk.rig.tls.generation());
        let (_, sid, body) = desk.half_way(&svid, "checkout", now());
        let step = desk.post(Some(sid), &peer("checkout"), &body, now()).unwrap();
        let session = step.opened.unwrap();
        assert_eq!(desk.sessions.check_again(&session, generation, now()), Ok(()));
        if revokes {
            desk.rig.revoke(&[&svid]);
        } else {
            desk.cut_off(CHECKOUT);
        }
        assert_eq!(desk.sessions.check_again(&session, generation, now()), Err(why));
        assert!(desk.sessions.len() == 0 && !session.is_open(now()));
    }
}

/// The second post of a handshake comes so long after its first.
fn second_after(wait: Duration) -> (Desk, Sid, Peer, Result<Step, SessionRefusal>) {
    let (desk, outer, at) = (Desk::new(Rig::new()), peer("checkout"), now());
    let mut opening = opening(&desk.rig);
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
    let (desk, at) = (Desk::new(Rig::new()), now());
    let mut opening = opening(&desk.rig);
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
        until: now().steady + LIFETIME,
        principal: Arc::new(super::super::principal::Principal::default()).place().unwrap(),
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
    sessions.insert(&other, at);
    let oldest = session(&greedy, 1);
    sessions.insert(&oldest, at);
    for n in 2..=MAX_SESSIONS_PER_PRINCIPAL as u128 {
        sessions.insert(&session(&greedy, n), at);
    }
    assert!(oldest.is_open(at) && sessions.live(&oldest.sid, at).is_ok());
    assert_eq!(sessions.len(), MAX_SESSIONS_PER_PRINCIPAL + 1);

    let one_more = session(&greedy, u128::MAX);
    sessions.insert(&one_more, at);
    assert!(!oldest.is_open(at));
    assert_eq!(sessions.live(&oldest.sid, at).err(), Some(NotLive::Evicted));
    assert!(sessions.live(&one_more.sid, at).is_ok() && sessions.live(&other.sid, at).is_ok());
    assert_eq!(sessions.len(), MAX_SESSIONS_PER_PRINCIPAL + 1);
}

#[test]
fn with_no_place_left_the_principal_with_most_sessions_loses_its_oldest() {
    let rig = Rig::new();
    let (sessions, at) = (sessions(&rig), now());
    let principals: Vec<_> = (0..16).map(|n| peer(&format!("p{n}"))).collect();
    // The last principal leaves one place to another, and has one less than the others.
    let all = (0..MAX_SESSIONS - 1).map(|n| (n, &principals[n / MAX_SESSIONS_PER_PRINCIPAL]));
    let all: Vec<_> = all.map(|(n, of)| session(of, n as u128)).collect();
    all.iter().for_each(|session| sessions.insert(session, at));
    let small = session(&peer("small"), u128::MAX);
    sessions.insert(&small, at);
    assert_eq!(sessions.len(), MAX_SESSIONS);

    let late = session(&peer("late"), u128::MAX - 1);
    sessions.insert(&late, at);
    assert!(sessions.live(&late.sid, at).is_ok() && sessions.live(&small.sid, at).is_ok());
    let lost: Vec<_> =
        (0..all.len()).filter(|n| sessions.live(&all[*n].sid, at).is_err()).collect();
    assert!(lost.len() == 1 && lost[0] % MAX_SESSIONS_PER_PRINCIPAL == 0, "{lost:?}");
    assert_ne!(lost[0] / MAX_SESSIONS_PER_PRINCIPAL, 15, "it has fewer than the others");
    assert_eq!(sessions.live(&all[lost[0]].sid, at).err(), Some(NotLive::Evicted));
    // Who has few keeps what it has, and gets another one.
    sessions.insert(&session(&peer("small"), u128::MAX - 2), at);
    assert!(sessions.live(&small.sid, at).is_ok());
    assert_eq!(sessions.len(), MAX_SESSIONS);
    // Sessions that have ended make room.
    sessions.insert(&session(&peer("late"), 0), at + 2 * LIFETIME);
    assert_eq!(sessions.len(), 1);
}

#[test]
fn of_principals_that_have_as_many_sessions_one_of_another_trust_domain_gives() {
    let rig = Rig::new();
    let (sessions, at) = (sessions(&rig), now());
    let own: Vec<_> = (0..100).map(|n| session(&peer(&format!("own{n}")), n)).collect();
    own.iter().for_each(|session| sessions.insert(session, at));
    for n in 100..MAX_SESSIONS as u128 + 100 {
        let id = format!("spiffe://partner.example/{n}").parse().unwrap();
        let foreign = Peer::new(id, [0; 32], at.wall + LIFETIME);
        sessions.insert(&session(&foreign, n), at);
    }
    assert_eq!(sessions.len(), MAX_SESSIONS);
    assert!(own.iter().all(|session| sessions.live(&session.sid, at).is_ok()));
}

#[test]
fn a_session_whose_time_is_over_stays_over_when_the_clock_is_set_back() {
    let rig = Rig::new();
    let (sessions, at) = (sessions(&rig), now());
    let id = SpiffeId::from_static("spiffe://shop.example/checkout");
    let ends = at.wall + Duration::from_secs(60);
    let session = session(&Peer::new(id, [0; 32], ends), 0);
    sessions.insert(&session, at);
    let wall = |wall| Now { wall, reached: wall, ..at };
    assert!(sessions.live(&session.sid, wall(ends - Duration::from_secs(1))).is_ok());
    assert_eq!(sessions.live(&session.sid, wall(ends)).err(), Some(NotLive::Expired));
    assert_eq!(sessions.live(&session.sid, at).err(), Some(NotLive::Expired), "it was seen to end");
}

#[test]
fn how_long_a_session_lasts_is_not_measured_by_the_wall_clock() {
    let rig = Rig::new();
    let (sessions, at) = (sessions(&rig), now());
    let session = session(&peer("checkout"), 0);
    sessions.insert(&session, at);
    let ahead = Now { wall: at.wall + 2 * LIFETIME, reached: at.reached + 2 * LIFETIME, ..at };
    assert!(sessions.live(&session.sid, ahead).is_ok());
    let back = Now { wall: at.wall - LIFETIME, steady: at.steady + 2 * LIFETIME, ..at };
    assert!(sessions.live(&session.sid, back).is_err());
}
