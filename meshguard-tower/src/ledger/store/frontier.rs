//! What is left of entries that are not kept: the tree over them.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use meshguard_core::ledger::{Tree, TreeHash};

use super::{replace, sync_dir};
use crate::ledger::error::{VerifyError, Why};

/// The file in a ledger's directory.
const FILE: &str = "frontier";
/// Its first line.
const HEAD: &str = "meshguard.ledger frontier 1";
/// Bytes of it, at most: 64 hashes in base64, and two lines above.
const LIMIT: u64 = 4096;

/// The tree over all entries before the first that is kept; empty where all are.
pub(in crate::ledger) fn read(dir: &Path) -> Result<Tree, VerifyError> {
    let path = dir.join(FILE);
    let mut text = String::new();
    let read = File::open(&path).and_then(|file| file.take(LIMIT).read_to_string(&mut text));
    match read {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Tree::new()),
        Err(error) if error.kind() == io::ErrorKind::InvalidData => text.clear(),
        Err(error) => return Err(VerifyError::io(&path)(error)),
        Ok(_) => {}
    }
    parse(&text).ok_or(VerifyError(Why::Frontier(path)))
}

fn parse(text: &str) -> Option<Tree> {
    let mut lines = text.strip_suffix('\n')?.split('\n');
    if lines.next()? != HEAD {
        return None;
    }
    let size = lines.next()?;
    let canonical = |n: &u64| n.to_string() == size;
    let size = size.parse().ok().filter(canonical)?;
    let hash = |line| STANDARD.decode(line).ok()?.try_into().ok();
    let frontier: Option<Vec<TreeHash>> = lines.map(hash).collect();
    Tree::resume(size, &frontier?)
}

/// Writes it down, durably. Whatever is kept from here on verifies to the signed root.
pub(in crate::ledger) fn write(dir: &Path, tree: &Tree) -> io::Result<()> {
    let mut text = format!("{HEAD}\n{}\n", tree.size());
    for hash in tree.frontier() {
        text.push_str(&STANDARD.encode(hash));
        text.push('\n');
    }
    replace(&dir.join(FILE), |file| file.write_all(text.as_bytes()))?;
    sync_dir(dir)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use meshguard_core::ledger::leaf_hash;

    use super::*;

    #[test]
    fn the_tree_over_what_is_gone_is_read_as_it_was_written() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(read(dir.path()).unwrap(), Tree::new());
        let mut tree = Tree::new();
        for n in 0..300_u16 {
            write(dir.path(), &tree).unwrap();
            assert_eq!(read(dir.path()).unwrap(), tree);
            tree.push(leaf_hash(&n.to_be_bytes()));
        }
    }

    #[test]
    fn what_is_no_frontier_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let mut tree = Tree::new();
        (0..5_u8).for_each(|n| tree.push(leaf_hash(&[n])));
        write(dir.path(), &tree).unwrap();
        let path = dir.path().join(FILE);
        let text = fs::read_to_string(&path).unwrap();
        let lines = text.split_inclusive('\n').collect::<Vec<_>>();
        let with = |at: usize, line: &str| {
            let mut lines = lines.clone();
            lines[at] = line;
            lines.concat()
        };
        let bad = [
            String::new(),
            text[..text.len() - 1].to_owned(),
            lines[..3].concat(),
            format!("{text}{}", lines[3]),
            with(0, "meshguard.ledger frontier 2\n"),
            with(1, "05\n"),
            with(1, "6x\n"),
            with(2, "AAAA\n"),
        ];
        for bad in bad {
            fs::write(&path, &bad).unwrap();
            assert!(read(dir.path()).is_err(), "{bad}");
        }
    }
}
