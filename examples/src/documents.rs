//! The code blocks of the README and of the book: as documentation of this module they are compiled
//! and run with the other doc tests.

#[doc = include_str!("../../README.md")]
struct Readme;
#[doc = include_str!("../../docs/operations.md")]
struct Operations;
#[doc = include_str!("../../CHANGELOG.md")]
struct Changelog;
#[doc = include_str!("../../docs/ten-minutes.md")]
struct TenMinutes;
#[doc = include_str!("../../docs/testing.md")]
struct Testing;
#[doc = include_str!("../../docs/tokens.md")]
struct Tokens;
