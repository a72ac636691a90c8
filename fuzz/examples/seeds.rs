//! Writes the seeds of every target into a folder, for a fuzzer to begin with.

use std::path::PathBuf;
use std::{env, fs, io};

use meshguard_fuzz::{TARGETS, seeds};

fn main() -> io::Result<()> {
    let into = PathBuf::from(env::args_os().nth(1).expect("usage: seeds FOLDER"));
    for (name, _) in TARGETS {
        let folder = into.join(name);
        fs::create_dir_all(&folder)?;
        for (n, seed) in seeds::of(name).iter().enumerate() {
            fs::write(folder.join(format!("seed-{n}")), seed)?;
        }
    }
    Ok(())
}
