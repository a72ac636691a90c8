//! The request's head as each HTTP version wants it.

use http::header::{CONNECTION, CONTENT_LENGTH, HOST, HeaderValue, TE, TRAILER, TRANSFER_ENCODING};
use http::uri::PathAndQuery;
use http::{Method, Request, Uri, Version};
use http_body::Body;
use meshguard_core::delivery::field;

use super::Target;
use crate::body::{announce, withdraw};
use crate::head::{TRAILERS, settle};

/// What sending changes in a request, for giving it back.
pub(crate) struct Original {
    uri: Uri,
    version: Version,
    host: Option<HeaderValue>,
    te: Option<HeaderValue>,
    length: Option<HeaderValue>,
}

impl Original {
    pub(crate) fn of<B>(request: &Request<B>) -> Self {
        let of = |name| request.headers().get(name).cloned();
        let (host, te, length) = (of(HOST), of(TE), of(CONTENT_LENGTH));
        Self { uri: request.uri().clone(), version: request.version(), host, te, length }
    }

    /// The request with its URI, version and `Host`; headers that speak of a connection stay out.
    pub(crate) fn restore<B>(&self, mut request: Request<B>) -> Request<B> {
        *request.uri_mut() = self.uri.clone();
        *request.version_mut() = self.version;
        let headers = request.headers_mut();
        settle(headers);
        withdraw(headers);
        match &self.te {
            Some(te) => headers.insert(TE, te.clone()),
            None => headers.remove(TE),
        };
        if let Some(length) = &self.length {
            headers.insert(CONTENT_LENGTH, length.clone());
        }
        match &self.host {
            Some(host) => headers.insert(HOST, host.clone()),
            None => headers.remove(HOST),
        };
        request
    }
}

/// HTTP/1.1: origin-form (RFC 9112, section 3.2.1), with `Host`, and a body of unknown length or
/// with trailers chunked, whatever the method.
pub(crate) fn for_h1<B: Body>(request: &mut Request<B>, target: &Target) {
    let host = host_of(request.uri(), target);
    let exact = request.body().size_hint().exact().is_some();
    let headers = request.headers_mut();
    settle(headers);
    let proven = headers.contains_key(field::NAME);
    if proven {
        headers.insert(TE, TRAILERS); // without it, there would be none in the answer
    }
    if let (false, Ok(host)) = (headers.contains_key(HOST), HeaderValue::try_from(host)) {
        headers.insert(HOST, host);
    }
    if headers.contains_key(TE) {
        headers.insert(CONNECTION, HeaderValue::from_static("te")); // RFC 9110, section 10.1.4
    }
    // Of a proven body that is not exactly so long, trailers follow.
    let unknown = !exact && (proven || !headers.contains_key(CONTENT_LENGTH));
    if unknown || headers.contains_key(TRAILER) {
        // hyper would send no body at all with GET and HEAD, and no trailers after a known length
        headers.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
        headers.remove(CONTENT_LENGTH);
        if proven {
            announce(headers);
        }
    }
    if request.method() != Method::CONNECT {
        let path = request.uri().path_and_query().cloned();
        *request.uri_mut() = Uri::from(path.unwrap_or(PathAndQuery::from_static("/")));
    }
    *request.version_mut() = Version::HTTP_11;
}

/// HTTP/2: the absolute URI without user information (RFC 9113, section 8.3.1), and no header that
/// speaks of a connection (section 8.2.2).
pub(crate) fn for_h2<B>(request: &mut Request<B>, target: &Target) {
    settle(request.headers_mut());
    request.headers_mut().remove(HOST);
    let uri = request.uri();
    let plain =
        uri.scheme().is_some() && uri.authority().is_some_and(|a| !a.as_str().contains('@'));
    if !plain && request.method() != Method::CONNECT {
        let path = uri.path_and_query().map_or("/", PathAndQuery::as_str);
        let scheme = uri.scheme_str().unwrap_or("https");
        let whole =
            Uri::builder().scheme(scheme).authority(host_of(uri, target)).path_and_query(path);
        if let Ok(whole) = whole.build() {
            *request.uri_mut() = whole;
        }
    }
    *request.version_mut() = Version::HTTP_2;
}

/// The URI's authority without user information, or else the target's.
fn host_of(uri: &Uri, target: &Target) -> String {
    match uri.authority() {
        Some(authority) => {
            let whole = authority.as_str();
            whole.rsplit_once('@').map_or(whole, |(_, host)| host).to_owned()
        }
        None if target.host.contains(':') && !target.host.starts_with('[') => {
            format!("[{}]:{}", target.host, target.port)
        }
        None => format!("{}:{}", target.host, target.port),
    }
}

#[cfg(test)]
mod tests;
