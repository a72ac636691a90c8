//! The `meshguard` command.

fn main() {}
