//! What the book says of this crate is true.

mod covered;
mod errors;
mod numbers;

/// The rows of all tables of a page that stand below the heading `section` and above the next
/// one: the text of each cell.
fn rows<'a>(page: &'a str, section: &str) -> Vec<Vec<&'a str>> {
    let lines = page.lines().skip_while(|line| *line != section).skip(1);
    let lines = lines.take_while(|line| !line.starts_with('#'));
    let cells = |line: &'a str| Some(line.strip_prefix('|')?.strip_suffix('|')?.split('|'));
    let rows = lines.filter_map(cells).map(|cells| cells.map(str::trim).collect::<Vec<_>>());
    let is_rule = |row: &Vec<&str>| row.iter().all(|cell| cell.chars().all(|c| c == '-'));
    let rows: Vec<_> = rows.filter(|row| !is_rule(row)).collect();
    assert!(!rows.is_empty(), "no table below {section:?}");
    rows
}
