//! What the documents say, for the tests that hold them to it.

/// The reflexes that docs/policy.md gives to begin with.
pub fn reflexes() -> &'static str {
    const DOCS: &str = include_str!("../../../docs/policy.md");
    let block = DOCS.split("```toml reflexes\n").nth(1).unwrap();
    block.split("```").next().unwrap()
}
