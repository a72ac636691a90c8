//! Receipts that come in a request of their own.

use meshguard_core::Timestamp;
use meshguard_core::delivery::{RECEIPT_LEN, Receipt, ReceiptStatus, Receiver, WINDOW, known};

const NOW: Timestamp = Timestamp::from_unix_secs(1_700_000_000);
const SENT: u64 = 4;

/// Receipts are taken whole or refused whole, and what became of the answers adds up.
pub fn receipts(data: &[u8]) {
    let (mut receiver, sent) = awaiting();
    let before = receiver.answers();
    let taken = receiver.receipts(data).is_ok();
    let answers = receiver.answers();
    assert!(answers.balances(), "{answers:?}");
    assert_eq!(answers.sent, SENT);
    if !taken {
        assert_eq!(answers, before, "refused, and something has changed");
    }
    let confirmed = (1..=SENT).filter(|seq| {
        let whole = [&seq.to_be_bytes()[..], &sent.to_bytes()].concat();
        data.chunks(8 + RECEIPT_LEN).any(|pair| pair[..] == whole[..])
    });
    assert!(answers.confirmed >= if taken { 0 } else { before.confirmed });
    assert!(!taken || answers.confirmed + answers.not_received >= confirmed.count() as u64);
}

/// A receiver with four answers that await receipts, and what those have to say.
fn awaiting() -> (Receiver, Receipt) {
    let mut receiver = Receiver::new(WINDOW);
    let receipt = Receipt::known(ReceiptStatus::Consumed, 0, 5, known::digest(b"hello", None));
    for seq in 1..=SENT {
        let claim = crate::seeds::claim(&mut receiver, seq, NOW);
        receiver.answered(claim, receipt, NOW);
    }
    (receiver, receipt)
}
