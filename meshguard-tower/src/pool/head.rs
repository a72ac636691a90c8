//! The request's head as each HTTP version wants it.

use http::header::{
    CONNECTION, CONTENT_LENGTH, HOST, HeaderName, HeaderValue, TE, TRAILER, TRANSFER_ENCODING,
    UPGRADE,
};
use http::uri::PathAndQuery;
use http::{HeaderMap, Method, Request, Uri, Version};
use http_body::Body;

use super::Target;

/// Headers that speak of a connection and not of a message (RFC 9110, section 7.6.1), but for
/// `te` and `connection` itself.
const OF_CONNECTIONS: [HeaderName; 4] = [
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    TRANSFER_ENCODING,
    UPGRADE,
];
const TRAILERS: HeaderValue = HeaderValue::from_static("trailers");

/// What sending changes in a request, for giving it back.
pub(crate) struct Original {
    uri: Uri,
    version: Version,
    host: Option<HeaderValue>,
}

impl Original {
    pub(crate) fn of<B>(request: &Request<B>) -> Self {
        let host = request.headers().get(HOST).cloned();
        Self { uri: request.uri().clone(), version: request.version(), host }
    }

    /// The request with its URI, version and `Host`; headers that speak of a connection stay out.
    pub(crate) fn restore<B>(&self, mut request: Request<B>) -> Request<B> {
        *request.uri_mut() = self.uri.clone();
        *request.version_mut() = self.version;
        let headers = request.headers_mut();
        strip(headers);
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
    strip(headers);
    if let (false, Ok(host)) = (headers.contains_key(HOST), HeaderValue::try_from(host)) {
        headers.insert(HOST, host);
    }
    if headers.contains_key(TE) {
        headers.insert(CONNECTION, HeaderValue::from_static("te")); // RFC 9110, section 10.1.4
    }
    let unknown = !exact && !headers.contains_key(CONTENT_LENGTH);
    if unknown || headers.contains_key(TRAILER) {
        // hyper would send no body at all with GET and HEAD, and no trailers after a known length
        headers.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
        headers.remove(CONTENT_LENGTH);
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
    strip(request.headers_mut());
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

/// Removes what speaks of a connection, also by the `Connection` header's word; `te: trailers`
/// stays, since without it servers send no trailers.
fn strip(headers: &mut HeaderMap) {
    let trailers = headers.get_all(TE).iter().any(|te| te == TRAILERS);
    let named: Vec<HeaderName> = headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in OF_CONNECTIONS.iter().chain(&[CONNECTION, TE]).chain(&named) {
        headers.remove(name);
    }
    if trailers {
        headers.insert(TE, TRAILERS);
    }
}

#[cfg(test)]
mod tests;
