//! The generated gRPC code that is checked in is what its `.proto` makes today.

#![allow(clippy::print_stderr, clippy::unwrap_used)]

use std::path::Path;
use std::process::Command;

#[test]
fn the_generated_code_is_current() {
    if Command::new("protoc").arg("--version").output().is_err() {
        assert!(std::env::var_os("CI").is_none(), "CI must have protoc on its PATH");
        eprintln!("SKIPPED: no protoc on the PATH, so nobody knows whether src/gen is current");
        return;
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let fresh = tempfile::tempdir().unwrap();
    tonic_prost_build::configure()
        .build_transport(false)
        .out_dir(fresh.path())
        .compile_protos(&[root.join("proto/interop.proto")], &[root.join("proto")])
        .unwrap();
    let kept = root.join("src/gen/interop.v1.rs");
    let fresh = std::fs::read_to_string(fresh.path().join("interop.v1.rs")).unwrap();
    if std::env::var_os("UPDATE_GENERATED").is_some() {
        std::fs::write(&kept, &fresh).unwrap();
    }
    assert!(
        std::fs::read_to_string(&kept).unwrap_or_default() == fresh,
        "meshguard-testing/src/gen/interop.v1.rs is stale: \
         UPDATE_GENERATED=1 cargo test -p meshguard-testing --test generated"
    );
}
