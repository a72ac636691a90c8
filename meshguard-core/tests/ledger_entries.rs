//! Entries as bytes: one encoding, and nothing else is read.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout)]

#[path = "support/entries.rs"]
mod entries;
mod support;

use entries::{Texts, any, entry, stamp};
use meshguard_core::delivery::Counts;
use meshguard_core::ledger::{
    Entry, EntryBuf, EntryErrorKind, GapCause, KINDS, MAX_TEXT, MIN_ENTRY, Operator, Stamp, Stop,
    VERSION,
};
use support::Rng;

fn encoded(stamp: &Stamp, entry: &Entry<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    entry.encode(stamp, &mut out);
    out
}

#[test]
fn what_is_encoded_is_decoded_alike() {
    let mut rng = Rng::seeded("what_is_encoded_is_decoded_alike");
    for round in 0..400 {
        let texts = Texts::random(&mut rng);
        for kind in 1..=KINDS {
            let (stamp, entry) = (stamp(&mut rng), entry(&mut rng, &texts, kind));
            assert_eq!(usize::from(entry.number()), kind);
            let bytes = encoded(&stamp, &entry);
            assert!(bytes.len() >= MIN_ENTRY);
            assert_eq!(Entry::decode(&bytes), Ok((stamp, entry)), "round {round}");
            let owned = EntryBuf::new(bytes.clone().into()).unwrap();
            assert_eq!((owned.get(), owned.bytes()), ((stamp, entry), &bytes[..]));
        }
    }
}

#[test]
fn an_entry_cut_or_longer_is_refused_and_the_place_named() {
    let mut rng = Rng::seeded("an_entry_cut_or_longer_is_refused_and_the_place_named");
    for _ in 0..60 {
        let texts = Texts::random(&mut rng);
        let mut bytes = encoded(&stamp(&mut rng), &any(&mut rng, &texts));
        for len in 0..bytes.len() {
            let error = Entry::decode(&bytes[..len]).unwrap_err();
            assert_eq!(error.kind(), EntryErrorKind::Short);
            assert!(error.at() <= len);
        }
        bytes.push(0);
        let error = Entry::decode(&bytes).unwrap_err();
        assert_eq!((error.kind(), error.at()), (EntryErrorKind::Trailing, bytes.len() - 1));
    }
}

#[test]
fn bytes_that_are_read_are_those_that_would_be_written() {
    let mut rng = Rng::seeded("bytes_that_are_read_are_those_that_would_be_written");
    let (mut read, mut refused) = (0, 0);
    for _ in 0..4000 {
        let texts = Texts::random(&mut rng);
        let mut bytes = encoded(&stamp(&mut rng), &any(&mut rng, &texts));
        for _ in 0..=rng.below(3) {
            let at = rng.below(bytes.len());
            bytes[at] = rng.next() as u8;
        }
        match Entry::decode(&bytes) {
            Ok((stamp, entry)) => {
                // What the first version wrote is written as the second's, whose Stop is longer.
                // What is escaped today was not before.
                let again = encoded(&stamp, &entry);
                assert_eq!(again[0], bytes[0].max(2));
                let longer = bytes[0] == 1 && matches!(entry, Entry::Stop(_));
                let raw = Entry::decode(&again) != Ok((stamp, entry));
                assert!(longer || raw || again[1..] == bytes[1..]);
                read += 1;
            }
            Err(error) => {
                assert!(error.at() <= bytes.len());
                refused += 1;
            }
        }
    }
    assert!(read > 100 && refused > 100, "{read} read, {refused} refused");
}

#[test]
fn random_bytes_never_panic() {
    let mut rng = Rng::seeded("random_bytes_never_panic");
    for _ in 0..20_000 {
        let len = rng.below(200);
        let mut bytes = rng.bytes(len);
        if len > 2 {
            // Else hardly any would get beyond the first two bytes.
            let kind = 1 + rng.below(KINDS) as u8;
            (bytes[0], bytes[1]) = (if kind > 12 { VERSION } else { 2 }, kind);
        }
        if let Ok((stamp, entry)) = Entry::decode(&bytes) {
            let again = encoded(&stamp, &entry);
            let (stamp, entry) = Entry::decode(&again).unwrap();
            assert_eq!(encoded(&stamp, &entry), again);
        }
    }
}

#[test]
fn each_fault_has_its_name() {
    let operator = Entry::Operator(Operator { verb: "lift", target: "é" });
    let bytes = encoded(&Stamp::default(), &operator);
    let fault = |at: usize, byte: u8| {
        let mut bytes = bytes.clone();
        bytes[at] = byte;
        let error = Entry::decode(&bytes).unwrap_err();
        (error.at(), error.kind())
    };
    assert_eq!(fault(0, 4), (0, EntryErrorKind::Version(4)));
    // A kind that version 2 has is not written as version 3.
    assert_eq!(fault(0, 3), (0, EntryErrorKind::Version(3)));
    assert_eq!(fault(0, 0), (0, EntryErrorKind::Version(0)));
    assert_eq!(fault(1, 0), (1, EntryErrorKind::Kind(0)));
    assert_eq!(fault(1, 17), (1, EntryErrorKind::Kind(17)));
    assert_eq!(fault(26, 0x20), (26, EntryErrorKind::TextLength));
    assert_eq!(fault(34, 0xff), (32, EntryErrorKind::Utf8));
    let gap = [&[1, 11][..], &[0; 24], &[9, 0, 0, 0, 0]].concat();
    assert_eq!(Entry::decode(&gap).unwrap_err().kind(), EntryErrorKind::Tag(9));
    let option = [&[1, 11][..], &[0; 24], &[1, 2, 0, 0, 0]].concat();
    let error = Entry::decode(&option).unwrap_err();
    assert_eq!((error.at(), error.kind()), (27, EntryErrorKind::Tag(2)));
}

#[test]
fn a_text_that_is_too_long_is_cut_visibly() {
    let long = "é".repeat(MAX_TEXT);
    let bytes = encoded(&Stamp::default(), &Entry::Operator(Operator { verb: &long, target: "" }));
    let Entry::Operator(read) = Entry::decode(&bytes).unwrap().1 else { panic!("another kind") };
    assert!(read.verb.ends_with('…') && read.verb.len() <= MAX_TEXT);
    assert!(read.verb.len() > MAX_TEXT - 4);
    let fits = "é".repeat(MAX_TEXT / 2);
    let bytes = encoded(&Stamp::default(), &Entry::Operator(Operator { verb: &fits, target: "" }));
    let Entry::Operator(read) = Entry::decode(&bytes).unwrap().1 else { panic!("another kind") };
    assert_eq!(read.verb, fits);
}

#[test]
fn a_stop_of_the_version_before_is_read_and_had_no_early_answers() {
    let sent = Counts { begun: 3, delivered: 3, ..Counts::default() };
    let stop = Entry::Stop(Stop { sent, accepted: 2, settled: 1 });
    let mut bytes = encoded(&Stamp::default(), &stop);
    bytes[0] = 1;
    let early = bytes.len() - 3 * 8;
    bytes.drain(early..early + 8);
    assert_eq!(Entry::decode(&bytes), Ok((Stamp::default(), stop)));
}

#[test]
fn only_what_an_older_reader_cannot_know_is_of_the_new_version() {
    let mut rng = Rng::seeded("only_what_an_older_reader_cannot_know_is_of_the_new_version");
    let texts = Texts::random(&mut rng);
    for kind in 1..=KINDS {
        let entry = entry(&mut rng, &texts, kind);
        let new = match entry {
            Entry::Gap(gap) => {
                matches!(gap.cause, GapCause::WriteFailed | GapCause::Unsigned)
            }
            _ => kind > 12,
        };
        let mut bytes = encoded(&Stamp::default(), &entry);
        assert_eq!((bytes[0], entry.version()), (2 + u8::from(new), bytes[0]));
        // And no entry is of another version than its own: there is one way to write it.
        bytes[0] = if new { 2 } else { 3 };
        let version = EntryErrorKind::Version(bytes[0]);
        assert_eq!(Entry::decode(&bytes).unwrap_err().kind(), version);
    }
}

#[test]
fn what_would_end_a_line_or_hide_is_escaped_in_every_text_of_an_entry() {
    let foreign = "a\nb\u{1b}[2J\u{202e}\u{2028}\u{9b}c";
    let shown = r"a\nb\u{1b}[2J\u{202e}\u{2028}\u{9b}c";
    let operator = Entry::Operator(Operator { verb: foreign, target: foreign });
    let bytes = encoded(&Stamp::default(), &operator);
    let read = Entry::decode(&bytes).unwrap().1;
    assert_eq!(read, Entry::Operator(Operator { verb: shown, target: shown }));
    // What is escaped already is not escaped again.
    assert_eq!(encoded(&Stamp::default(), &read), bytes);
}

#[test]
fn an_escaped_text_that_is_too_long_is_cut_between_escapes() {
    for len in MAX_TEXT / 6 - 2..MAX_TEXT / 6 + 2 {
        for pad in ["", "a", "ab", "abc", "é"] {
            let long = format!("{pad}{}", "\u{1b}".repeat(len));
            let operator = Entry::Operator(Operator { verb: &long, target: "" });
            let bytes = encoded(&Stamp::default(), &operator);
            let Entry::Operator(read) = Entry::decode(&bytes).unwrap().1 else { panic!("kind") };
            let whole = long.replace('\u{1b}', r"\u{1b}");
            let cut = whole.len() > MAX_TEXT;
            assert_eq!(read.verb.ends_with('…'), cut);
            assert!(read.verb.len() <= MAX_TEXT && read.verb.len() + 9 > MAX_TEXT.min(whole.len()));
            let kept = read.verb.trim_end_matches('…');
            assert!(whole.starts_with(kept) && (kept.len() - pad.len()) % 6 == 0, "{kept}");
        }
    }
}

#[test]
fn a_text_of_an_older_ledger_is_read_as_it_is() {
    let operator = Entry::Operator(Operator { verb: "a.b", target: "" });
    let mut bytes = encoded(&Stamp::default(), &operator);
    let at = bytes.iter().position(|b| *b == b'.').unwrap();
    bytes[at] = b'\n';
    let raw = Entry::Operator(Operator { verb: "a\nb", target: "" });
    assert_eq!(Entry::decode(&bytes), Ok((Stamp::default(), raw)));
}

#[test]
fn books_that_do_not_balance_show() {
    let mut stop = Stop { sent: Default::default(), accepted: 0, settled: 0 };
    assert!(stop.balances());
    stop.sent.begun = 7;
    assert!(!stop.balances());
    (stop.sent.delivered, stop.sent.indeterminate, stop.sent.open) = (4, 2, 1);
    assert!(stop.balances());
    // Numbers whose sum would wrap around into balance.
    (stop.sent.begun, stop.sent.delivered, stop.sent.failed) = (2, u64::MAX, 0);
    assert!(!stop.balances());
}
