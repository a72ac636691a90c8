//! A store that does what a test says, and entries.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};

use meshguard_core::ledger::{Entry, Operator, Tree};

use super::super::handle::{Ledger, Place};
use super::super::key::Key;
use super::super::open::OpenReport;
use super::super::options::LedgerOptions;
use super::super::store::{Memory, Store};
use super::super::writer::first_note;
use super::Defect;

/// An operator's act, told apart by its number.
pub(crate) fn append(ledger: &Ledger, number: u64) -> Option<u64> {
    let target = format!("{number:06}");
    ledger.append(&Entry::Operator(Operator { verb: "lift", target: &target }))
}

/// As many of them as there are numbers.
pub(crate) fn fill(ledger: &Ledger, numbers: std::ops::Range<u64>) {
    numbers.for_each(|number| _ = append(ledger, number));
}

/// The numbers of the operator's acts that the ledger has, in order.
pub(super) fn numbers(ledger: &Ledger) -> Vec<u64> {
    let entries = ledger.entries().unwrap().map(|entry| entry.unwrap());
    entries
        .filter_map(|entry| match entry.entry() {
            Entry::Operator(operator) => Some(operator.target.parse().unwrap()),
            _ => None,
        })
        .collect()
}

pub(crate) fn with(defect: Option<Defect>) -> LedgerOptions {
    LedgerOptions { defect, ..LedgerOptions::default() }
}

/// What a [`Script`] was asked to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Op {
    Write,
    Checkpoint(u64),
    Reopen,
    Release,
    Reserve,
    Dropped,
}

/// The disk under a [`Script`].
#[derive(Default)]
struct Disk {
    /// Each such operation fails, until it is mended.
    broken: Option<Op>,
    full: bool,
    /// Whether there is a reserve, and for how many operations what was released of it lasts.
    reserve: bool,
    room: u32,
}

impl Disk {
    fn op(&mut self, op: Op) -> io::Result<()> {
        let writes = matches!(op, Op::Write | Op::Checkpoint(_) | Op::Reserve);
        if self.broken.is_some_and(|broken| is_same(broken, op)) {
            return Err(io::Error::other("as the test wants it"));
        }
        if !writes || !self.full {
            return Ok(());
        }
        if self.room == 0 || op == Op::Reserve {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.room -= 1;
        Ok(())
    }
}

fn is_same(one: Op, other: Op) -> bool {
    std::mem::discriminant(&one) == std::mem::discriminant(&other)
}

/// A store in memory that tells what it is asked to do, waits where it is held, and fails where
/// it should.
pub(super) struct Script {
    memory: Memory,
    tell: Sender<Op>,
    hold: Arc<Mutex<Option<Receiver<()>>>>,
    fail: Arc<Mutex<Option<Op>>>,
    disk: Arc<Mutex<Disk>>,
}

/// The test's end of it.
pub(crate) struct Remote {
    pub(crate) ops: Receiver<Op>,
    hold: Arc<Mutex<Option<Receiver<()>>>>,
    fail: Arc<Mutex<Option<Op>>>,
    disk: Arc<Mutex<Disk>>,
}

impl Remote {
    /// Each such operation fails from now on.
    pub(crate) fn break_down(&self, op: Op) {
        self.disk.lock().unwrap().broken = Some(op);
    }

    /// The disk is full from now on, but for the reserve, if there is one: that lasts for a
    /// write and a checkpoint.
    pub(crate) fn fill_up(&self, reserve: bool) {
        let mut disk = self.disk.lock().unwrap();
        (disk.full, disk.reserve, disk.room) = (true, reserve, 0);
    }

    pub(crate) fn disk_has_reserve(&self) -> bool {
        self.disk.lock().unwrap().reserve
    }

    /// Nothing fails any more.
    pub(crate) fn mend(&self) {
        *self.disk.lock().unwrap() = Disk::default();
    }

    /// From now on each operation waits for a message; for none, once the sender is dropped.
    pub(crate) fn hold(&self) -> Sender<()> {
        let (release, held) = channel();
        *self.hold.lock().unwrap() = Some(held);
        release
    }

    /// The next operation panics.
    pub(super) fn poison(&self) {
        let fail = Arc::clone(&self.fail);
        let poisoned = std::thread::spawn(move || {
            let _held = fail.lock();
            panic!("as the test wants it");
        });
        assert!(poisoned.join().is_err());
    }

    /// The next such operation fails; those after it would succeed.
    pub(crate) fn fail(&self, op: Op) {
        *self.fail.lock().unwrap() = Some(op);
    }
}

impl Script {
    fn op(&self, op: Op) -> io::Result<()> {
        // A test that has seen enough listens no more.
        let _ = self.tell.send(op);
        if let Some(held) = &*self.hold.lock().unwrap() {
            let _ = held.recv();
        }
        let mut fail = self.fail.lock().unwrap();
        match fail.take_if(|of| is_same(*of, op)) {
            Some(_) => Err(io::Error::other("as the test wants it")),
            None => self.disk.lock().unwrap().op(op),
        }
    }
}

impl Store for Script {
    fn room(&self) -> (u64, u64) {
        self.memory.room()
    }

    fn begin(&mut self, tree: &Tree) -> io::Result<()> {
        self.memory.begin(tree)
    }

    fn write(&mut self, frames: &[u8]) -> io::Result<()> {
        self.op(Op::Write)?;
        self.memory.write(frames)
    }

    fn checkpoint(&mut self, size: u64, record: &str) -> io::Result<()> {
        self.op(Op::Checkpoint(size))?;
        self.memory.checkpoint(size, record)
    }

    fn reopen(&mut self) -> io::Result<()> {
        self.op(Op::Reopen)
    }

    fn release(&mut self) -> io::Result<bool> {
        self.op(Op::Release)?;
        let mut disk = self.disk.lock().unwrap();
        if disk.reserve {
            (disk.reserve, disk.room) = (false, 2);
        }
        Ok(disk.room > 0)
    }

    fn reserve(&mut self) -> io::Result<()> {
        self.op(Op::Reserve)?;
        self.disk.lock().unwrap().reserve = true;
        Ok(())
    }
}

impl Drop for Script {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let _ = self.op(Op::Dropped);
        }
    }
}

/// A ledger over a script.
pub(crate) fn scripted(options: LedgerOptions) -> (Ledger, Remote) {
    let key = Key::generate().unwrap();
    let note = first_note(&key);
    let memory = Memory::new(options.memory, &note);
    let (tell, ops) = channel();
    let (hold, fail, disk) = (Arc::default(), Arc::default(), Arc::default());
    let script = Script {
        memory: memory.clone(),
        tell,
        hold: Arc::clone(&hold),
        fail: Arc::clone(&fail),
        disk: Arc::clone(&disk),
    };
    let (place, report) = (Place::Memory(memory), OpenReport::default());
    let tree = Tree::new();
    let ledger = Ledger::start(options, key, Box::new(script), tree, place, report, &note);
    (ledger.unwrap(), Remote { ops, hold, fail, disk })
}

/// Copies a directory's files.
pub(super) fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for file in fs::read_dir(from).unwrap() {
        let path = file.unwrap().path();
        fs::copy(&path, to.join(path.file_name().unwrap())).unwrap();
    }
}

/// SplitMix64, from a seed that is printed.
pub(super) struct Rng(u64);

impl Rng {
    pub(super) fn seeded(test: &str) -> Self {
        let seed = std::env::var("MESHGUARD_SEED").ok().and_then(|s| s.parse().ok());
        let seed = seed.unwrap_or_else(|| crate::clock::wall().as_unix_nanos());
        println!("{test}: MESHGUARD_SEED={seed}");
        Self(seed)
    }

    pub(super) fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % n
    }
}
