//! What the documents show is what there is. Their Rust is compiled with the doc tests.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::fs;
use std::path::{Path, PathBuf};

use meshguard_core::Policy;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Every document of the repository's first level and of the book.
fn documents() -> Vec<PathBuf> {
    let folders = ["", "docs", "docs/notes"];
    let files = folders.iter().flat_map(|f| fs::read_dir(root().join(f)).unwrap());
    let paths = files.map(|file| file.unwrap().path());
    let found: Vec<_> = paths.filter(|p| p.extension().is_some_and(|e| e == "md")).collect();
    assert!(found.len() >= 12, "{found:?}");
    found
}

fn toml_blocks(text: &str) -> impl Iterator<Item = &str> {
    text.split("```toml\n").skip(1).map(|rest| rest.split("```").next().unwrap_or(rest))
}

/// A whole policy, or one of which the block is a part that needs no other.
fn policy(block: &str) -> Option<String> {
    let text = block.trim_start();
    if text.starts_with("mesh") {
        Some(block.to_owned())
    } else {
        let part = ["[[reflex]]", "[governor]", "[trust]"].iter().any(|p| text.starts_with(p));
        part.then(|| format!("mesh = \"shop.example\"\nversion = 1\n{block}"))
    }
}

#[test]
fn the_policies_that_the_documents_show_are_accepted() {
    let mut policies = 0;
    for path in documents() {
        let text = fs::read_to_string(&path).unwrap();
        for block in toml_blocks(&text).filter_map(policy) {
            let read = block.parse::<Policy>();
            assert!(read.is_ok(), "{}: {}", path.display(), read.unwrap_err());
            policies += 1;
        }
    }
    assert!(policies >= 5, "{policies}");
}

#[test]
fn the_readme_shows_the_examples_policy() {
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    let policy = fs::read_to_string(root().join("examples/policy.toml")).unwrap();
    assert!(toml_blocks(&readme).any(|block| block == policy));
}

#[test]
fn links_lead_to_files() {
    let mut links = 0;
    for path in documents() {
        let text = fs::read_to_string(&path).unwrap();
        for rest in text.split("](").skip(1) {
            let target = rest.split([')', '#']).next().unwrap_or(rest);
            if target.is_empty() || target.starts_with("http") {
                continue;
            }
            let file = path.parent().unwrap().join(target);
            assert!(file.exists(), "{} -> {target}", path.display());
            links += 1;
        }
    }
    assert!(links >= 20, "{links}");
}
