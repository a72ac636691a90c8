//! See `meshguard_fuzz::receipts`. Without cargo-fuzz it runs the files that it is given.
#![cfg_attr(fuzzing, no_main)]

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|data: &[u8]| meshguard_fuzz::receipts(data));

#[cfg(not(fuzzing))]
fn main() -> std::io::Result<()> {
    meshguard_fuzz::replay(meshguard_fuzz::receipts)
}
