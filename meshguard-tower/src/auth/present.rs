//! What a request presents: a token, and what shows that it is its caller's.

use http::{HeaderMap, HeaderValue, StatusCode, header};
use meshguard_core::dpop::{self, Algorithm, Checked, Expected, Proof, ProofError, Thumbprint};
use meshguard_core::{Proofs, Timestamp};

use super::error::{Fault, TokenError};
use super::signatures::AwsLc;
use super::verifier::Verifier;
use super::verify::Bound;
use crate::clock::Now;

/// A request, as far as a token is held against it.
pub(crate) struct Request<'a> {
    pub(crate) method: &'a str,
    pub(crate) authority: &'a str,
    /// Raw, without the query.
    pub(crate) path: &'a str,
    pub(crate) headers: &'a HeaderMap,
    /// SHA-256 of the caller's certificate, where the caller itself holds the connection.
    pub(crate) certificate: Option<&'a [u8; 32]>,
    pub(crate) now: Now,
}

/// A token that holds for its request.
pub(crate) struct Presented {
    pub(crate) claims: std::sync::Arc<serde_json::Value>,
    pub(crate) proofs: Proofs,
    pub(crate) until: Timestamp,
    /// The issuer's key.
    pub(crate) key: Thumbprint,
    /// The proof that was presented with it: good once, so it is still to be
    /// [claimed](Verifier::claim).
    pub(crate) proof: Option<Checked>,
    /// The next nonce, where the proof has one that is good for not much longer.
    pub(crate) nonce: Option<HeaderValue>,
}

/// Why a request is refused for its token, and what its caller is told.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) fault: Fault,
    pub(crate) status: StatusCode,
    /// `WWW-Authenticate`.
    pub(crate) challenge: Option<HeaderValue>,
    /// `DPoP-Nonce`.
    pub(crate) nonce: Option<HeaderValue>,
}

/// How a token is presented.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scheme {
    Bearer,
    Dpop,
}

impl Verifier {
    /// Holds a request's token against it. `None`: it presents none.
    pub(crate) fn check(&self, request: &Request<'_>) -> Result<Option<Presented>, Refusal> {
        match authorization(request.headers) {
            Err(fault) => Err(self.refusal(fault, Scheme::Bearer, request.now.steady)),
            Ok(None) => Ok(None),
            Ok(Some((scheme, token))) => {
                let presented = self.present(request, scheme, token);
                presented.map(Some).map_err(|fault| self.refusal(fault, scheme, request.now.steady))
            }
        }
    }

    fn present(
        &self,
        request: &Request<'_>,
        scheme: Scheme,
        text: &str,
    ) -> Result<Presented, Fault> {
        let token = self.token(text, request.now.reached)?;
        let certificate = match (&token.bound, request.certificate) {
            (Bound { certificate: None, .. }, _) => false,
            (Bound { certificate: Some(_), .. }, None) => return Err(TokenError::NotDirect.into()),
            (Bound { certificate: Some(bound), .. }, Some(has)) if bound == has => true,
            _ => return Err(TokenError::Certificate.into()),
        };
        let (proof, nonce) = match (scheme, &token.bound.key) {
            (Scheme::Bearer, Some(_)) => return Err(TokenError::AsBearer.into()),
            (Scheme::Dpop, None) => return Err(TokenError::NotBound.into()),
            (Scheme::Bearer, None) => (None, None),
            (Scheme::Dpop, Some(key)) => {
                let (proof, nonce) = self.proof(request, text, key)?;
                (Some(proof), nonce)
            }
        };
        let proofs = Proofs { dpop: scheme == Scheme::Dpop, certificate };
        Ok(Presented {
            claims: token.claims.clone(),
            proofs,
            until: token.until,
            key: token.key,
            proof,
            nonce,
        })
    }

    /// Checks the proof (RFC 9449 §4.3); with the next nonce, where it is time.
    fn proof(
        &self,
        request: &Request<'_>,
        text: &str,
        key: &Thumbprint,
    ) -> Result<(Checked, Option<HeaderValue>), ProofError> {
        let proof = Proof::parse(dpop::field(request.headers)?, &self.rules.proof_algorithms)?;
        // Copied out: a signature is not checked under a lock.
        let (good, next) = match self.nonces(request.now.steady) {
            None => (Vec::new(), None),
            Some(nonces) => {
                let good = nonces.good().into_iter().map(ToOwned::to_owned).collect();
                (good, Some(nonces.current().to_owned()))
            }
        };
        let good: Vec<&str> = good.iter().map(String::as_str).collect();
        let expected = Expected {
            method: request.method,
            authority: request.authority,
            path: request.path,
            token: Some(dpop::Token { text, key }),
            nonces: &good,
            leeway: self.rules.proof_leeway,
            now: request.now.wall,
        };
        let checked = proof.check(&expected, &AwsLc)?;
        let next = next.filter(|next| proof.nonce() != Some(next));
        Ok((checked, next.and_then(|next| HeaderValue::try_from(next).ok())))
    }

    /// What a request is told that has no token and needs one (RFC 9449 §7.2).
    pub(crate) fn challenge(&self) -> Option<HeaderValue> {
        let text = format!("Bearer, DPoP algs=\"{}\"", algs(&self.rules.proof_algorithms));
        HeaderValue::try_from(text).ok()
    }

    /// Refuses a request for its proof.
    pub(super) fn refuse_proof(&self, error: ProofError, now: Timestamp) -> Refusal {
        self.refusal(error.into(), Scheme::Dpop, now)
    }

    fn refusal(&self, fault: Fault, scheme: Scheme, now: Timestamp) -> Refusal {
        let (status, error) = match fault {
            Fault::Request => (StatusCode::BAD_REQUEST, "invalid_request"),
            Fault::Proof(ProofError::WindowFull) => (StatusCode::SERVICE_UNAVAILABLE, ""),
            Fault::Proof(ProofError::KeyShare | ProofError::CallerShare) => {
                (StatusCode::TOO_MANY_REQUESTS, "")
            }
            Fault::Proof(ProofError::NoNonce | ProofError::Nonce) => {
                (StatusCode::UNAUTHORIZED, "use_dpop_nonce")
            }
            Fault::Token(_) | Fault::Proof(ProofError::TokenKey) => {
                (StatusCode::UNAUTHORIZED, "invalid_token")
            }
            Fault::Proof(_) => (StatusCode::UNAUTHORIZED, "invalid_dpop_proof"),
        };
        let dpop = scheme == Scheme::Dpop || fault == Fault::Token(TokenError::AsBearer);
        let challenge = match (error, dpop) {
            ("", _) => None,
            (error, false) => Some(format!("Bearer error=\"{error}\"")),
            (error, true) => {
                let algs = algs(&self.rules.proof_algorithms);
                Some(format!("DPoP error=\"{error}\", algs=\"{algs}\""))
            }
        };
        let challenge = challenge.and_then(|text| HeaderValue::try_from(text).ok());
        let nonce = self.nonces(now).filter(|_| error == "use_dpop_nonce");
        let nonce = nonce.and_then(|nonces| HeaderValue::from_str(nonces.current()).ok());
        Refusal { fault, status, challenge, nonce }
    }
}

fn algs(algorithms: &[Algorithm]) -> String {
    algorithms.iter().map(|a| a.as_str()).collect::<Vec<_>>().join(" ")
}

/// The request's one token, and its scheme (RFC 9110 §11.6.2). Other schemes are the
/// application's.
fn authorization(headers: &HeaderMap) -> Result<Option<(Scheme, &str)>, Fault> {
    let mut fields = headers.get_all(header::AUTHORIZATION).iter();
    let field = match (fields.next(), fields.next()) {
        (None, _) => return Ok(None),
        (Some(_), Some(_)) => return Err(Fault::Request),
        (Some(field), None) => field.as_bytes(),
    };
    let end = field.iter().position(|b| *b == b' ').unwrap_or(field.len());
    let (name, rest) = field.split_at(end);
    let scheme = if name.eq_ignore_ascii_case(b"bearer") {
        Scheme::Bearer
    } else if name.eq_ignore_ascii_case(b"dpop") {
        Scheme::Dpop
    } else {
        return Ok(None);
    };
    let token = std::str::from_utf8(rest.trim_ascii()).map_err(|_| Fault::Request)?;
    let sound = |b: u8| b.is_ascii_alphanumeric() || b"-._~+/=".contains(&b);
    if token.is_empty() || !token.bytes().all(sound) {
        return Err(Fault::Request);
    }
    Ok(Some((scheme, token)))
}
