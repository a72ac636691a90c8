//! How often does the server's thread allocate for a request? A number that repeats on any
//! machine, however busy it is.

#![allow(missing_docs, clippy::unwrap_used)] // a bench that cannot run panics

use std::io::Write as _;
use std::sync::mpsc;

use meshguard_benches::{Caller, LOADS, Load, Server, Variant};

/// Allocations, and bytes of them, of a server's life with so many requests.
fn life(variant: Variant, load: Load, requests: usize) -> (u64, u64) {
    let (tell, told) = mpsc::channel();
    let around = move |serve: &mut dyn FnMut()| {
        let seen = allocation_counter::measure(serve);
        tell.send((seen.count_total, seen.bytes_total)).unwrap();
    };
    let server = Server::start_within(variant, around).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let caller = Caller::connect(variant, &server).await.unwrap();
        load.run(caller, requests).await.unwrap();
    });
    drop(runtime);
    drop(server);
    told.recv().unwrap()
}

fn main() {
    // `cargo test --benches` builds and runs this too, and measures nothing.
    if !std::env::args().any(|arg| arg == "--bench") {
        return;
    }
    let mut out = std::io::stdout();
    write!(out, "Allocations per request (KiB allocated)\n\n| load |").unwrap();
    Variant::ALL.iter().for_each(|v| write!(out, " {v} |").unwrap());
    write!(out, "\n|---|{}", "---|".repeat(Variant::ALL.len())).unwrap();
    for load in LOADS.iter().filter(|load| load.at_once == 1) {
        write!(out, "\n| {} |", load.name).unwrap();
        for variant in Variant::ALL {
            // What a server's start and end allocate is in both lives.
            let count = 4 * load.round;
            let (few, many) = (life(variant, *load, count), life(variant, *load, 2 * count));
            let each = |few: u64, many: u64| (many as f64 - few as f64) / count as f64;
            let (count, bytes) = (each(few.0, many.0), each(few.1, many.1));
            write!(out, " {count:.1} ({:.1}) |", bytes / 1024.0).unwrap();
        }
    }
    writeln!(out).unwrap();
}
