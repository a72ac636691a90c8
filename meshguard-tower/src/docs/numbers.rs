//! The numbers in docs/operations.md are those of the constants.

use std::time::Duration;

use meshguard_core::control::{MAX_ACTIONS, MAX_CLOSED, MAX_OPEN};
use meshguard_core::delivery::{
    FLUSH, GRACE, MAX_AWAITING, MAX_KNOWN, MAX_OWED, MAX_SEALED_BYTES, MAX_SEALED_RECORDS, RECORD,
    WINDOW,
};
use meshguard_core::policy::{Content, MAX_DOCUMENT};

use super::rows;
use crate::body::HOLD_TIME;
use crate::files;
use crate::limits::*;
use crate::{
    channel, control, decision, inbound, ledger, listener, mesh, observe, pool, probe, quota,
    rejudge, serve, session, shadow,
};

const PAGE: &str = include_str!("../../../docs/operations.md");
const UNITS: [&str; 7] = ["ms", "s", "KiB", "MiB", "GiB", "hour", "minutes"];

/// What a row says, cell by cell: words that hold digits, with the unit behind them.
fn numbers(row: &[&str]) -> Vec<String> {
    let text = row.join(" | ");
    let words: Vec<&str> = text.split([' ', ';', '(', ')', ':']).collect();
    let mut found = Vec::new();
    for (i, word) in words.iter().enumerate() {
        let word = word.trim_end_matches([',', '.']);
        if !word.starts_with(|c: char| c.is_ascii_digit()) {
            continue; // none, or a part of a name, as in HTTP/2
        }
        let next = words.get(i + 1).map(|next| next.trim_end_matches([',', '.']));
        found.push(match next.filter(|next| UNITS.contains(next)) {
            Some(unit) => format!("{word} {unit}"),
            None => word.to_owned(),
        });
    }
    found
}

fn count(n: impl TryInto<u64>) -> String {
    let digits = n.try_into().ok().unwrap().to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn time(time: Duration) -> String {
    match time.as_millis() {
        ms if ms < 1_000 => format!("{ms} ms"),
        3_600_000 => "1 hour".to_owned(),
        ms => format!("{} s", ms / 1_000),
    }
}

fn bytes(n: impl TryInto<u64>) -> String {
    match n.try_into().ok().unwrap() {
        n if n >= 1 << 30 => format!("{} GiB", n >> 30),
        n if n >= 1 << 20 => format!("{} MiB", n >> 20),
        n if n >= 1 << 10 => format!("{} KiB", n >> 10),
        n => n.to_string(),
    }
}

/// A status, or another number of somebody else's.
fn word(n: &str) -> String {
    n.to_owned()
}

/// Below `section` stand exactly these rows with numbers in them, in this order: how each
/// begins, and its numbers.
fn says(section: &str, want: &[(&str, &[String])]) {
    let rows = rows(PAGE, section);
    let with_numbers = rows.iter().skip(1).filter(|row| !numbers(row).is_empty());
    let found: Vec<_> = with_numbers.map(|row| (row[0], numbers(row))).collect();
    for (row, numbers) in want {
        let stands = found.iter().find(|(name, _)| name == row);
        let (_, stands) = stands.unwrap_or_else(|| panic!("{section:?} has no row {row:?}"));
        assert_eq!(stands, numbers, "docs/operations.md, {section:?}, {row:?}");
    }
    let untested = found.iter().filter(|(name, _)| want.iter().all(|(row, _)| row != name));
    let untested: Vec<_> = untested.collect();
    assert!(
        untested.is_empty(),
        "{section:?}: numbers that nothing is compared with: {untested:?}"
    );
}

#[test]
fn a_listeners_limits_are_as_documented() {
    says(
        "### A listener",
        &[
            (
                "connections whose first byte has not come",
                &[count(MAX_SILENT), time(listener::SHORT_PATIENCE)],
            ),
            ("handshakes under way", &[count(MAX_PENDING_HANDSHAKES)]),
            (
                "handshakes from an address on which the loop has put something into force, and behind which a peer is known",
                &[
                    count(listener::RESERVED),
                    time(listener::RESERVED_FOR),
                    time(listener::FAILED_FOR),
                ],
            ),
            (
                "connections",
                &[count(MAX_CONNECTIONS), count(HOP_PERCENT), time(listener::MAKE_ROOM)],
            ),
            (
                "connections of a peer that policy allows nothing",
                &[
                    count(listener::TURNS_AT_ONCE),
                    count(listener::TURNS_PER_SECOND),
                    word("403"),
                    time(serve::TURNED_AWAY),
                    word("403"),
                ],
            ),
            (
                "streams whose bytes have waited a second for their peer's window",
                &[count(MAX_STALLED_PER_PEER), count(serve::STALLED_OF_HOP), count(MAX_STALLED)],
            ),
            (
                "time of such a stream, where half of its peer's share or half of all are taken",
                &[time(STALL_TIMEOUT)],
            ),
            ("bytes of a head", &[bytes(MAX_HEAD), word("431")]),
            ("fields of an HTTP/1.1 head", &[count(MAX_FIELDS), word("100"), word("431")]),
            ("streams of an HTTP/2 connection", &[count(MAX_CONCURRENT_STREAMS)]),
        ],
    );
}

#[test]
fn what_peers_can_take_of_memory_is_as_documented() {
    let about = |n: &str| word(n); // measured, and no constant
    let send = |streams: usize| bytes(streams * SEND_BUFFER);
    says(
        "### What peers can take of memory",
        &[
            ("connections whose first byte has not come", &[about("2"), count(MAX_SILENT)]),
            ("handshakes under way", &[about("20"), count(MAX_PENDING_HANDSHAKES)]),
            (
                "connections, their buffers included",
                &[about("100"), about("1 MiB"), count(MAX_CONNECTIONS)],
            ),
            (
                "the ends of answers for which a connection has no window",
                &[bytes(serve::PIECE), count(MAX_CONCURRENT_STREAMS), count(MAX_CONNECTIONS)],
            ),
            (
                "answers that wait for a window",
                &[
                    send(MAX_STALLED_PER_PEER),
                    send(MAX_STALLED_PER_PEER * serve::STALLED_OF_HOP),
                    send(MAX_STALLED),
                ],
            ),
            (
                "session handshakes under way",
                &[
                    count(session::MAX_PENDING_PER_PEER),
                    about("40"),
                    count(session::MAX_PENDING_PER_HOP),
                    count(session::MAX_PENDING),
                ],
            ),
            (
                "sessions, the ended ones in which something runs included",
                &[
                    count(session::MAX_LIVE_PER_PRINCIPAL),
                    about("16"),
                    count(session::MAX_SESSIONS),
                ],
            ),
            ("answers whose receipt is awaited", &[count(MAX_OWED), about("64")]),
            ("bodies that are held until whole", &[bytes(mesh::HELD), bytes(mesh::HELD)]),
            (
                "records that have begun",
                &[bytes(session::MAX_GATHERED), bytes(session::MAX_GATHERED)],
            ),
        ],
    );
}

#[test]
#[allow(clippy::too_many_lines)] // a row each
fn the_limits_of_sessions_and_bodies_are_as_documented() {
    let content = bytes(Content::MAX_BYTES);
    says(
        "### Sessions and bodies",
        &[
            (
                "session handshakes under way",
                &[
                    count(session::MAX_PENDING),
                    count(session::MAX_PENDING_PER_PEER),
                    count(session::MAX_PENDING_PER_HOP),
                ],
            ),
            (
                "session handshakes that begin",
                &[
                    count(session::HANDSHAKES_AT_ONCE),
                    count(session::HANDSHAKES_PER_SECOND),
                    count(session::HOP_WEIGHT),
                    word("429"),
                    time(session::HANDSHAKE_TIME),
                ],
            ),
            (
                "a session of a caller whom policy allows nothing, or whom the loop has cut off",
                &[word("403"), time(channel::DENIED_FOR)],
            ),
            (
                "bodies of session handshakes that are being read",
                &[
                    count(session::MAX_PENDING_PER_PEER),
                    count(session::MAX_PENDING_PER_HOP),
                    word("429"),
                ],
            ),
            ("a body of a session's handshake", &[bytes(session::MAX_HANDSHAKE), word("413")]),
            (
                "sessions",
                &[count(session::MAX_SESSIONS), count(session::MAX_SESSIONS_PER_PRINCIPAL)],
            ),
            (
                "sessions that have ended, and in which something still runs",
                &[count(session::MAX_LIVE_PER_PRINCIPAL), word("429")],
            ),
            ("exchanges under way in a session", &[count(WINDOW)]),
            (
                "answers whose receipt is awaited",
                &[count(MAX_AWAITING), count(MAX_OWED), word("409")],
            ),
            (
                "a body that is held until whole",
                &[bytes(MAX_KNOWN), bytes(mesh::HELD), bytes(mesh::HELD_STEP), word("503")],
            ),
            ("records that have begun and are not whole", &[bytes(session::MAX_GATHERED)]),
            ("a record; a gRPC message", &[bytes(RECORD), bytes(mesh::MESSAGE_LIMIT)]),
            ("one body under `seal`", &[bytes(MAX_SEALED_BYTES), word("2³²")]),
            ("a body that a rule's `content` looks at", &[content, word("413"), word("503")]),
            ("callers that a rule's `limit` counts", &[count(quota::MAX_CALLERS), word("429")]),
            ("refusals that can be explained", &[count(decision::KEPT), count(decision::MAX_TEXT)]),
            ("refusals with ledger entries of their own", &[count(ledger::REFUSALS)]),
            (
                "callers, and kinds of each, whose refusals are counted apart",
                &[count(ledger::MAX_CALLERS), count(ledger::MAX_KINDS)],
            ),
            ("remembered peers (`prefer`), of the own trust domain", &[count(mesh::MAX_PINS)]),
            ("probes at once", &[count(probe::MAX_PROBES), count(probe::MAX_SILENT_PROBES)]),
        ],
    );
    assert_eq!(MAX_SEALED_RECORDS, 1 << 32);
}

#[test]
fn a_channels_limits_are_as_documented() {
    let limits = pool::PoolLimits::default();
    says(
        "### A channel",
        &[
            (
                "HTTP/1.1 connections",
                &[count(limits.max_h1), count(limits.max_idle_h1), count(limits.max_dials)],
            ),
            ("HTTP/2 connections", &[word("1")]),
            ("sessions", &[count(channel::MAX_SESSIONS), word("1")]),
            (
                "answers that wait to be read, of an HTTP/2 connection",
                &[bytes(pool::H2_STREAM_WINDOW), bytes(pool::H2_CONNECTION_WINDOW)],
            ),
            ("bytes of an answer's head", &[bytes(pool::MAX_HEAD)]),
        ],
    );
}

#[test]
fn deadlines_are_as_documented() {
    let limits = pool::PoolLimits::default();
    let shutdown = time(mesh::SHUTDOWN_TIME);
    says(
        "### Deadlines",
        &[
            ("a connection's handshake", &[time(HANDSHAKE_TIMEOUT)]),
            ("a request's head", &[time(HEAD_TIMEOUT)]),
            ("a silent connection", &[time(IDLE_TIMEOUT)]),
            ("HTTP/2 PING", &[time(KEEP_ALIVE_INTERVAL), time(KEEP_ALIVE_TIMEOUT)]),
            ("a session's handshake", &[time(session::HANDSHAKE_TIME)]),
            (
                "a session",
                &[time(session::LIFETIME), format!("{} minutes", session::MARGIN.as_secs() / 60)],
            ),
            ("a body that is held until whole", &[time(HOLD_TIME), word("408")]),
            ("a request with a deadline (`by`)", &[time(GRACE), word("409")]),
            (
                "a channel's connection",
                &[time(limits.connect_timeout), time(limits.handshake_timeout)],
            ),
            ("a channel's HTTP/1.1 connection", &[time(limits.idle)]),
            (
                "what an application dropped of a request",
                &[time(inbound::DRAIN_TIME), bytes(inbound::DRAIN_BYTES)],
            ),
            (
                "a receipt of a request, where the answer may have no body",
                &[time(inbound::SETTLE_TIME)],
            ),
            (
                "an answer that its caller dropped unread",
                &[time(channel::READ_ON), bytes(MAX_KNOWN)],
            ),
            (
                "asking a callee whether it knows the session",
                &[time(channel::PROBE_TIME), time(channel::PROVEN_FOR)],
            ),
            (
                "a session whose proofs do not cover what policy reads by now",
                &[time(session::RETIRING)],
            ),
            ("opening a session through a hop", &[time(channel::OPEN_AT_MOST)]),
            ("receipts that find no request to ride on", &[time(FLUSH)]),
            ("an answer's receipt", &[time(control::RECEIPT_DUE)]),
            ("`mesh.shutdown()`", &[shutdown.clone(), shutdown]),
            ("a probe", &[time(probe::PROBE_TIMEOUT)]),
        ],
    );
    assert_eq!(limits.h2_keep_alive_interval, KEEP_ALIVE_INTERVAL);
    assert_eq!(limits.h2_keep_alive_timeout, KEEP_ALIVE_TIMEOUT);
    assert!(limits.idle < HEAD_TIMEOUT, "no request meets a closing connection");
}

#[test]
fn the_loops_bounds_are_as_documented() {
    says(
        "## The loop",
        &[
            ("`cadence(Cadence)`", &[word("1 s"), word("50"), word("50"), word("10 s")]),
            ("`baseline(Settings)`", &[count(baseline().warm_up)]),
            ("`[[reflex]]`, `[governor]`, `[trust]`", &[word("30")]),
            (
                "edges that are measured",
                &[count(observe::MAX_EDGES), count(observe::MAX_INSTANCES)],
            ),
            ("peers remembered behind an address", &[count(observe::MAX_PEERS)]),
            (
                "incidents open; over; actions of one",
                &[count(MAX_OPEN), count(MAX_CLOSED), count(MAX_ACTIONS)],
            ),
            ("an answer's receipt is overdue after", &[time(control::RECEIPT_DUE)]),
        ],
    );
    let cadence = meshguard_core::control::Cadence::default();
    assert_eq!((time(cadence.busy), time(cadence.quiet)), (word("1 s"), word("10 s")));
    assert_eq!(cadence.calls, 50);
    let on = &meshguard_core::reflex::Plan::default().reflexes[0].on;
    assert_eq!(on.one_in, Some(Duration::from_secs(30 * 86_400)));
}

#[test]
fn the_text_has_the_same_numbers() {
    let page = PAGE.split_whitespace().collect::<Vec<_>>().join(" ");
    let (turn, linger) = (time(rejudge::TURN), time(rejudge::LINGER));
    let (due, flush, end) = (time(control::RECEIPT_DUE), time(FLUSH), time(mesh::SHUTDOWN_TIME));
    for said in [
        format!("(default {}) is how many requests", count(rejudge::ENDED_PER_TURN)),
        format!("end in each turn of {turn}, so"),
        format!("and cut after {linger}."),
        format!("are those that are open and the last {} that are over", count(MAX_CLOSED)),
        format!("whose receipt has not come in {due} is *overdue*"),
        format!("an answer of which no receipt has come in {due}"),
        format!("they go out within {flush}, so"),
        format!("It takes {end} at most for calls under way"),
        format!("after the caller's deadline by {}", time(GRACE)),
        format!("at most once in {} seconds for each rule", shadow::TELL_EVERY.as_secs()),
    ] {
        assert!(page.contains(&said), "docs/operations.md does not say: {said}");
    }
    assert_eq!(mesh::RELOAD_EVERY, Duration::from_secs(1));
    assert!(page.contains("Files are looked at every second (`reload_every`)"));
}

#[test]
fn when_a_file_is_read_is_as_documented() {
    let page = PAGE.split_whitespace().collect::<Vec<_>>().join(" ");
    for said in [
        format!("else after a second look {} later", time(files::PAUSE)),
        format!("after up to {} such looks; then the start fails", files::PATIENCE),
        format!("that has changed at {} looks in a row", files::RESTLESS),
    ] {
        assert!(page.contains(&said), "docs/operations.md does not say: {said}");
    }
    assert_eq!(files::QUIET, Duration::from_secs(1));
    assert!(page.contains("at once where it has not changed for a second"));
    assert_eq!(files::MIN_EVERY, Duration::from_millis(20));
    assert_eq!((MAX_DOCUMENT, crate::tls::MAX_PEM), (16 << 20, 64 << 20));
    assert!(
        page.contains("A policy has at most 16 MiB, a JWK Set 1 MiB, a file of credentials 64 MiB")
    );
}

fn baseline() -> meshguard_core::baseline::Settings {
    meshguard_core::baseline::Settings::default()
}
