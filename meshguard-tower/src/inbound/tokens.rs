//! A request's token, where policy asks for what it says.

use http::StatusCode;
use http::request::Parts;
use meshguard_core::policy::Unmet;
use meshguard_core::{Policy, Reason, Timestamp};

use super::denied::{Challenge, Denied};
use super::exchange::Exchange;
use super::facts::{Facts, Token};
use crate::auth::{Presented, Refusal, Request};
use crate::clock::Now;
use crate::mesh::Mesh;

/// What the request's token says, once it holds. `None`: there is none, nobody asks for it, or
/// this service does not say how to verify one.
pub(super) fn check(
    exchange: &Exchange,
    policy: &Policy,
    parts: &Parts,
    authority: &str,
    now: Now,
) -> Result<Option<Token>, Denied> {
    let asked = policy.reads_claims() || policy.reads_proofs();
    let Some(tokens) = exchange.mesh.0.tokens.as_ref().filter(|_| asked) else { return Ok(None) };
    let direct = exchange.via.is_none();
    let request = Request {
        method: parts.method.as_str(),
        authority,
        path: parts.uri.path(),
        headers: &parts.headers,
        certificate: direct.then(|| exchange.connection.peer().fingerprint()),
        now,
    };
    let presented = tokens.check(&request).map_err(denied)?;
    Ok(presented.map(|presented| {
        let Presented { claims, proofs, until, key, proof, nonce } = presented;
        Token { claims, proofs, until, key, proof, nonce }
    }))
}

/// Uses up the proof of a request that policy lets in: one that is refused takes no place of those
/// that are remembered.
pub(super) fn claim(exchange: &Exchange, facts: &Facts, now: Timestamp) -> Result<(), Denied> {
    let proof = facts.verified().and_then(|token| token.proof.as_ref());
    let (Some(tokens), Some(proof)) = (&exchange.mesh.0.tokens, proof) else { return Ok(()) };
    tokens.claim(proof, exchange.principal.id(), now).map_err(denied)
}

/// A request without a token is told that one could help.
pub(super) fn wanted(mesh: &Mesh, facts: &Facts, reason: &Reason<'_>) -> Option<Denied> {
    let tokens = mesh.0.tokens.as_ref().filter(|_| facts.verified().is_none())?;
    let Reason::Unmet { condition: Unmet::Proof { .. } | Unmet::ClaimUnknown { .. }, .. } = reason
    else {
        return None;
    };
    let challenge = Challenge { authenticate: tokens.challenge(), nonce: None };
    let denied = Denied::new(StatusCode::UNAUTHORIZED, "a token is needed", "denied");
    Some(denied.because(reason).challenging(challenge))
}

fn denied(refusal: Refusal) -> Denied {
    let Refusal { fault, status, challenge, nonce } = refusal;
    let challenge = Challenge { authenticate: challenge, nonce };
    Denied::new(status, "the token is not accepted", "token").because(&fault).challenging(challenge)
}

impl Exchange {
    /// When the token ends that let it in.
    pub(crate) fn token_until(&self) -> Option<Timestamp> {
        Some(self.facts.get()?.verified()?.until)
    }

    /// The nonce to hand out with the answer.
    pub(super) fn nonce(&self) -> Option<&http::HeaderValue> {
        self.facts.get()?.verified()?.nonce.as_ref()
    }
}
