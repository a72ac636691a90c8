//! Keys that are replaced, and tokens whose time is over: what they let in is judged again.

use meshguard_core::Timestamp;

use super::{Mesh, ReloadError};
use crate::clock::reached;
use crate::rejudge::{Cause, Whom};

impl Mesh {
    /// Reads the keys of tokens again, blocking, where they come from a file.
    pub(super) fn reload_tokens(&self) -> Result<(), ReloadError> {
        let Some(tokens) = self.0.tokens.as_ref().filter(|tokens| tokens.has_file()) else {
            return Ok(());
        };
        let change = tokens.reload(|| self.change(Cause::Token)).map_err(ReloadError::Tokens)?;
        self.rejudge(change, Whom::All);
        Ok(())
    }

    /// Looks whether the file of keys has changed, blocking.
    pub(super) fn look_at_tokens(&self) {
        let Some(tokens) = &self.0.tokens else { return };
        // What a look says is logged; here nobody asks.
        if let Some(Ok(change)) = tokens.look(|| self.change(Cause::Token)) {
            self.rejudge(change, Whom::All);
        }
    }

    /// Looks which tokens have ended.
    pub(super) fn follow_tokens(&self) {
        let Some(tokens) = &self.0.tokens else { return };
        let now = reached();
        if tokens.take_ending(now) {
            self.end_with_tokens(now);
        }
    }

    /// Judges the open requests again whose tokens have ended, and finds out which ends next.
    fn end_with_tokens(&self, now: Timestamp) {
        let (mut cursor, mut found, mut ended) = (Default::default(), Vec::new(), Vec::new());
        loop {
            let more = self.0.rejudge.streams.next(&mut cursor, &mut found);
            for exchange in found.drain(..) {
                match exchange.token_until() {
                    Some(until) if until <= now => ended.push(exchange),
                    Some(until) => self.expect_token(until),
                    None => {}
                }
            }
            if !more {
                break;
            }
        }
        if ended.is_empty() {
            return;
        }
        let change = self.change(Cause::Token);
        for exchange in ended {
            exchange.end_if_denied(self, &change);
        }
    }

    /// A request is open whose token ends then.
    pub(crate) fn expect_token(&self, until: Timestamp) {
        if let Some(tokens) = &self.0.tokens {
            tokens.expect_ending(until);
        }
    }
}
