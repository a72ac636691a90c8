//! Every byte of every file flipped, as `verify` meets them on disk.

use std::fs;
use std::path::{Path, PathBuf};

use meshguard_core::ledger::{Entry, Operator, next_record};

use super::super::handle::Ledger;
use super::super::verify::verify;
use super::super::{Place, VerifyError};
use super::rig::with;

const ENTRIES: u64 = 300;

/// A ledger of some segments, each short.
fn written(dir: &Path) -> [u8; 32] {
    let ledger = Ledger::open_with(dir, with(None).segment_bytes(4000)).unwrap();
    for round in 0..3 {
        for n in 0..ENTRIES / 3 {
            let verb = if (n + round) % 2 == 0 { "lift" } else { "cut" };
            ledger.append(&Entry::Operator(Operator { verb, target: "a" }));
        }
        ledger.flush_blocking().unwrap();
    }
    ledger.close().unwrap();
    *ledger.public_key()
}

/// The segments, with the numbers in their names; and the checkpoints.
fn files(dir: &Path) -> Vec<(PathBuf, Option<u64>)> {
    let paths = fs::read_dir(dir).unwrap().map(|file| file.unwrap().path());
    paths
        .filter_map(|path| {
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            match name.strip_suffix(".seg") {
                Some(first) => Some((path, Some(first.parse().unwrap()))),
                None => (name == "checkpoints").then_some((path, None)),
            }
        })
        .collect()
}

/// Where the frame or the checkpoint begins in which this byte is.
fn begin(bytes: &[u8], first: Option<u64>, at: usize) -> usize {
    let mut begin = 0;
    loop {
        let rest = &bytes[begin..];
        let len = match first {
            Some(_) => 8 + u32::from_be_bytes(rest[..4].try_into().unwrap()) as usize,
            None => next_record(rest).unwrap(),
        };
        if at < begin + len {
            return begin;
        }
        begin += len;
    }
}

/// Calls `check` for each byte of each file, while that byte is flipped on disk.
fn each_flip(dir: &Path, mut check: impl FnMut(Option<u64>, usize, usize)) -> usize {
    let mut flips = 0;
    for (path, first) in files(dir) {
        let bytes = fs::read(&path).unwrap();
        let mut damaged = bytes.clone();
        for at in 0..bytes.len() {
            damaged[at] ^= 1 << (at % 8);
            fs::write(&path, &damaged).unwrap();
            check(first, at, begin(&bytes, first, at));
            damaged[at] = bytes[at];
            flips += 1;
        }
        fs::write(&path, &bytes).unwrap();
    }
    flips
}

fn placed(error: &VerifyError) -> (Place, u64) {
    let fault = error.fault().unwrap();
    (fault.place(), fault.offset())
}

#[test]
fn every_flipped_byte_of_every_file_is_found_and_placed() {
    let dir = tempfile::tempdir().unwrap();
    let key = written(dir.path());
    assert_eq!(verify(dir.path(), &key).unwrap().entries, ENTRIES);
    let flips = each_flip(dir.path(), |first, at, begin| {
        let error = verify(dir.path(), &key).unwrap_err();
        let place = first.map_or(Place::Checkpoints, Place::Segment);
        assert_eq!(placed(&error), (place, begin as u64), "{first:?}, byte {at}: {error}");
    });
    assert!(flips > 10_000, "{flips}");
    assert!(verify(dir.path(), &key).is_ok());
}
