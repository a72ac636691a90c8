//! `[[delivery]]`.

use super::Reader;
use super::fields::Fields;
use crate::policy::error::Fault;
use crate::policy::model::{DeliveryMode, DeliveryRule, EdgeRule, TranscriptHash};

impl<'d> Reader<'d> {
    pub(super) fn deliveries(&self, top: &Fields<'d>) -> Result<Vec<EdgeRule>, Fault> {
        top.tables("delivery")?.iter().map(|fields| self.delivery(fields)).collect()
    }

    fn delivery(&self, fields: &Fields<'d>) -> Result<EdgeRule, Fault> {
        fields.known(&["from", "to", "mode", "seal", "transcript"])?;
        let mut rule = DeliveryRule::default();
        if let Some(mode) = fields.word("mode", DeliveryMode::WORDS)? {
            rule.mode = mode;
        }
        rule.seal = fields.bool("seal")?.map(|seal| seal.value);
        if let Some(hash) = fields.word("transcript", TranscriptHash::WORDS)? {
            rule.transcript = hash;
        }
        let from = self.peers.limit(fields, "from")?;
        Ok(EdgeRule { from, to: self.peers.limit(fields, "to")?, rule })
    }
}
