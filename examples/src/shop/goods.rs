//! What the shop deals in: every body follows from its order's name, so both ends know it whole.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::rng::{Rng, hash};
use crate::proto::{Event, Line};

/// Bytes of a line in an upload.
const LINE: usize = 16;
/// Bytes of one piece of an upload.
pub(super) const PIECE: usize = 4 * LINE;
/// Events that each order has.
const EVENTS: u32 = 8;

/// The body of `PUT /orders/{order}`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Order {
    pub(super) order: String,
    pub(super) cents: u64,
    pub(super) note: String,
}

fn rng(order: &str) -> Rng {
    Rng::new(hash(&[order.as_bytes()]), 0)
}

/// An order, with a note of 256 to 2,047 letters.
pub(super) fn order(name: &str) -> Order {
    let mut rng = rng(name);
    let cents = rng.range(100_000, 1_000_000);
    let length = rng.range(256, 2048);
    let note = (0..length).map(|_| char::from(b'a' + rng.range(0, 26) as u8)).collect();
    Order { order: name.to_owned(), cents, note }
}

/// 16 to 47 lines of an order.
pub(super) fn lines(order: &str) -> Vec<Line> {
    let mut rng = rng(order);
    let count = rng.range(16, 48) as u32;
    let line = |number| Line { order: order.to_owned(), number, cents: rng.range(100, 100_000) };
    (1..=count).map(line).collect()
}

/// Lines as text, [`LINE`] bytes each.
pub(super) fn lines_text(lines: &[Line]) -> Bytes {
    lines.iter().map(|l| format!("{:04},{:010}\n", l.number, l.cents)).collect::<String>().into()
}

/// `None` for a text that is not lines.
pub(super) fn parse_lines(order: &str, text: &[u8]) -> Option<Vec<Line>> {
    let line = |piece: &[u8]| {
        let (number, cents) =
            std::str::from_utf8(piece).ok()?.strip_suffix('\n')?.split_once(',')?;
        let (number, cents) = (number.parse().ok()?, cents.parse().ok()?);
        Some(Line { order: order.to_owned(), number, cents })
    };
    text.chunks(LINE).map(line).collect()
}

/// An invoice of 4 to 16 KB.
pub(super) fn invoice(order: &str) -> Bytes {
    let mut rng = rng(order);
    let rows = rng.range(100, 400);
    let row = |n| format!("{order} row {n:03}: {:016x} cents\n", rng.next());
    (0..rows).map(row).collect::<String>().into()
}

/// The events of an order's payment.
pub(super) fn events(order: &str) -> Vec<Event> {
    let mut rng = rng(order);
    let event = |number| Event { order: order.to_owned(), number, stamp: rng.next() | 1 };
    (1..=EVENTS).map(event).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_survive_their_text_and_half_a_line_is_none() {
        let lines = lines("h2-000001");
        let text = lines_text(&lines);
        assert_eq!(text.len(), lines.len() * LINE);
        assert_eq!(parse_lines("h2-000001", &text).unwrap(), lines);
        assert!(parse_lines("h2-000001", &text[..LINE + 3]).is_none());
    }

    #[test]
    fn goods_follow_from_the_orders_name() {
        assert_eq!(invoice("h1-000001"), invoice("h1-000001"));
        assert_ne!(invoice("h1-000001"), invoice("h1-000002"));
        assert!(invoice("h1-000001").len() >= 4000 && order("h1-000001").note.len() >= 256);
        assert_eq!(events("h1-000001").len(), EVENTS as usize);
    }
}
