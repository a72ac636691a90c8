//! SECURITY.md names tests that there are.

use std::fs;
use std::path::{Path, PathBuf};

fn sources(dir: &Path, all: &mut Vec<PathBuf>) {
    if dir.is_file() {
        return all.push(dir.to_owned());
    }
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => sources(&path, all),
            false => all.push(path),
        }
    }
}

/// The names in backticks, and the folder in brackets behind them.
fn shown(page: &str) -> Vec<(String, String)> {
    let rows = page.lines().filter(|line| line.starts_with("| ") && line.contains('['));
    let mut all = Vec::new();
    for row in rows {
        let Some(cell) = row.trim_end_matches(" |").rsplit(" | ").next() else { continue };
        for part in cell.split(']').filter(|part| part.contains('[')) {
            let (names, folder) = part.rsplit_once('[').unwrap();
            let names = names.split('`').skip(1).step_by(2).map(str::to_owned);
            all.extend(names.map(|name| (name, folder.to_owned())));
        }
    }
    all
}

#[test]
fn each_threat_has_the_test_that_is_named() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let page = fs::read_to_string(root.join("SECURITY.md")).unwrap();
    let table = page.split("## Who may try what").nth(1).unwrap().split("\n## ").next().unwrap();
    let shown = shown(table);
    assert!(shown.len() > 20, "{shown:?}");
    for (name, folder) in shown {
        let mut files = Vec::new();
        sources(&root.join(format!("meshguard-{folder}")), &mut files);
        let needle = format!("fn {name}(");
        let found =
            files.iter().any(|file| fs::read_to_string(file).is_ok_and(|t| t.contains(&needle)));
        assert!(found, "no test {name} in meshguard-{folder}");
    }
}
