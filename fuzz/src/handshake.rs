//! A session's handshake with changed bodies, on either side.

use std::sync::OnceLock;

use meshguard_tower::fuzz::Callee;

/// The longest handshake has three requests; who goes on is refused.
const POSTS: usize = 4;
/// Bodies are not made longer than twice this.
const LONGEST: usize = 64 * 1024;
/// An alert that closes (RFC 8446 §6.1), and a change of cipher that means nothing (§5).
const RECORDS: [&[u8]; 2] = [&[21, 3, 3, 0, 2, 1, 0], &[20, 3, 3, 0, 1, 1]];

/// Both sides come to an end whatever bodies they are given. With none of them changed they open
/// a session, and with one of them cut short they do not.
///
/// The input is a list of changes, four bytes each: which body, what is done, and where.
pub fn handshake(data: &[u8]) {
    static CALLEE: OnceLock<Callee> = OnceLock::new();
    let callee = CALLEE.get_or_init(Callee::new).fresh();
    let (changes, _) = data.as_chunks::<4>();
    let (mut caller, mut sid, mut open, mut body) = (callee.caller(), None, (false, false), 0);
    let mut cut = false;
    let mut change = |bytes: &mut Vec<u8>| {
        let sent = bytes.clone();
        for [_, what, at, more] in changes.iter().filter(|c| usize::from(c[0]) == body) {
            changed(bytes, *what, usize::from(*at) << 4 | usize::from(*more & 15), *more);
        }
        cut |= bytes.len() < sent.len() && sent.starts_with(bytes);
        body += 1;
    };
    for _ in 0..POSTS {
        let Some(mut sent) = caller.next(sid.as_ref()) else { break };
        change(&mut sent);
        let Some((named, mut answer, opened)) = callee.take(sid, &sent) else { break };
        (sid, open.0) = (Some(named), open.0 || opened);
        change(&mut answer);
        let Some(settings) = caller.take(&answer) else { break };
        open.1 |= settings;
        if settings {
            break;
        }
    }
    if changes.is_empty() {
        assert_eq!(open, (true, true), "nothing was changed");
    }
    assert!(!cut || open != (true, true), "cut short, and open on both sides");
}

fn changed(bytes: &mut Vec<u8>, what: u8, at: usize, value: u8) {
    let at = at.min(bytes.len());
    let record = RECORDS[usize::from(value) % RECORDS.len()];
    match what % 6 {
        0 => bytes.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= value),
        1 => bytes.truncate(at),
        2 => bytes.insert(at, value),
        3 => bytes.extend_from_slice(record),
        4 => drop(bytes.splice(..0, record.iter().copied())),
        // More than is ever read of one.
        _ if bytes.len() < LONGEST => bytes.extend_from_within(..),
        _ => {}
    }
}
