//! In debug builds the base of a head is computed twice: when its proof is made, and as it
//! leaves. A difference would make the other end call an honest peer a forger.

use std::sync::Arc;

use http::header::HOST;
use http::uri::{Authority, PathAndQuery};
use http::{Extensions, HeaderMap, Request, Response};
use meshguard_core::delivery::Proof;
use meshguard_core::delivery::base::{Cover, RequestHead, ResponseHead};
use meshguard_core::delivery::field;

use super::settle;

/// `, p=:`, 16 bytes in base64, `:`.
const PROOF_LEN: usize = 5 + 24 + 1;

/// What a head was proved over: in its extensions, in debug builds.
#[derive(Clone)]
struct Base {
    base: Arc<[u8]>,
    cover: Cover,
    /// The request's proof, of an answer.
    answers: Option<Proof>,
}

/// Remembers what a request was proved over.
pub(crate) fn keep_request(extensions: &mut Extensions, base: &[u8], cover: &Cover) {
    if cfg!(debug_assertions) {
        extensions.insert(Base { base: base.into(), cover: cover.clone(), answers: None });
    }
}

/// Remembers what an answer was proved over.
pub(crate) fn keep_answer(extensions: &mut Extensions, base: &[u8], cover: &Cover, of: &Proof) {
    if cfg!(debug_assertions) {
        let (base, cover) = (base.into(), cover.clone());
        extensions.insert(Base { base, cover, answers: Some(*of) });
    }
}

/// Panics in debug builds where a request that is ready for its connection is not what was proved.
pub(crate) fn check_request<B>(request: &Request<B>) {
    if cfg!(debug_assertions)
        && let Some(kept) = request.extensions().get::<Base>()
    {
        let headers = as_sent(request.headers());
        let uri = request.uri();
        let host = headers.get(HOST).and_then(|host| host.to_str().ok());
        let head = RequestHead {
            method: request.method(),
            authority: uri.authority().map(Authority::as_str).or(host).unwrap_or_default(),
            path: uri.path_and_query().map_or("/", PathAndQuery::path),
            query: uri.query().unwrap_or_default(),
            headers: &headers,
        };
        let mut again = Vec::new();
        head.write(&kept.cover, plain(&headers), &mut again);
        debug_assert_eq!(text(&again), text(&kept.base), "a request changed after its proof");
    }
}

/// Panics in debug builds where an answer that is ready for hyper is not what was proved.
pub(crate) fn check_answer<B>(response: &Response<B>) {
    if cfg!(debug_assertions)
        && let Some(kept) = response.extensions().get::<Base>()
        && let Some(request) = &kept.answers
    {
        let headers = as_sent(response.headers());
        let head = ResponseHead { status: response.status(), headers: &headers, request };
        let mut again = Vec::new();
        head.write(&kept.cover, plain(&headers), &mut again);
        debug_assert_eq!(text(&again), text(&kept.base), "an answer changed after its proof");
    }
}

/// What either HTTP version leaves of a head.
fn as_sent(headers: &HeaderMap) -> HeaderMap {
    let mut headers = headers.clone();
    settle(&mut headers);
    headers
}

/// The field without its proof.
fn plain(headers: &HeaderMap) -> &[u8] {
    let value = headers.get(field::NAME).map_or(&[][..], |value| value.as_bytes());
    &value[..value.len().saturating_sub(PROOF_LEN)]
}

fn text(base: &[u8]) -> std::borrow::Cow<'_, str> {
    String::from_utf8_lossy(base)
}
