//! What a term looks at, by upstream's own names.

use std::fmt;

use http::HeaderName;

/// An attribute of an access. `request.path`, `request.method` and `request.host` are this
/// crate's names for what upstream writes as `paths`, `methods` and `hosts`; all others are
/// upstream's keys of a condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Key {
    SourcePrincipal,
    SourceNamespace,
    SourceServiceAccount,
    SourceTrustDomain,
    SourceIp,
    RemoteIp,
    DestinationIp,
    DestinationPort,
    ConnectionSni,
    RequestPath,
    RequestMethod,
    RequestHost,
    /// In lower case. `:authority` and `:method` are the host and the method.
    RequestHeader(Box<str>),
    AuthPrincipal,
    AuthAudiences,
    AuthPresenter,
    /// The names from the outermost object inwards, never empty.
    AuthClaims(Box<[Box<str>]>),
}

/// The keys without brackets.
const PLAIN: [(&str, Key); 15] = [
    ("source.principal", Key::SourcePrincipal),
    ("source.namespace", Key::SourceNamespace),
    ("source.serviceAccount", Key::SourceServiceAccount),
    ("source.trustDomain", Key::SourceTrustDomain),
    ("source.ip", Key::SourceIp),
    ("remote.ip", Key::RemoteIp),
    ("destination.ip", Key::DestinationIp),
    ("destination.port", Key::DestinationPort),
    ("connection.sni", Key::ConnectionSni),
    ("request.path", Key::RequestPath),
    ("request.method", Key::RequestMethod),
    ("request.host", Key::RequestHost),
    ("request.auth.principal", Key::AuthPrincipal),
    ("request.auth.audiences", Key::AuthAudiences),
    ("request.auth.presenter", Key::AuthPresenter),
];
const HEADERS: &str = "request.headers";
const CLAIMS: &str = "request.auth.claims";
/// Names in brackets nest no deeper.
const MAX_CLAIM_DEPTH: usize = 16;

impl Key {
    /// Reads a key; the error says what is wrong with it.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        if let Some((_, key)) = PLAIN.iter().find(|(name, _)| *name == text) {
            return Ok(key.clone());
        }
        if let Some(rest) = text.strip_prefix(HEADERS) {
            return Self::header(text, rest);
        }
        if let Some(rest) = text.strip_prefix(CLAIMS) {
            return Self::claims(text, rest);
        }
        Err(format!("unknown key `{}`", text.escape_debug()))
    }

    fn header(text: &str, rest: &str) -> Result<Self, String> {
        let shown = text.escape_debug();
        let [name] = &*brackets(rest).ok_or_else(|| needs_brackets(text))? else {
            return Err(format!("`{shown}` names more than one header"));
        };
        let name = name.to_ascii_lowercase();
        match name.as_str() {
            // A field `host` and the authority are one thing to upstream's proxy.
            "host" => return Ok(Self::RequestHeader(":authority".into())),
            ":authority" | ":method" => {}
            name if name.starts_with(':') => {
                return Err(format!("`{shown}` cannot be kept: an access has no `{name}`"));
            }
            name if HeaderName::from_bytes(name.as_bytes()).is_err() => {
                return Err(format!("`{shown}` does not name a header"));
            }
            _ => {}
        }
        Ok(Self::RequestHeader(name.into()))
    }

    fn claims(text: &str, rest: &str) -> Result<Self, String> {
        let names = brackets(rest).ok_or_else(|| needs_brackets(text))?;
        if names.len() > MAX_CLAIM_DEPTH {
            return Err(format!("`{}` nests too deep", text.escape_debug()));
        }
        Ok(Self::AuthClaims(names.into_iter().map(Box::from).collect()))
    }

    /// The header field that it reads, where it is one.
    pub(crate) fn field(&self) -> Option<HeaderName> {
        match self {
            Self::RequestHeader(name) => HeaderName::from_bytes(name.as_bytes()).ok(),
            _ => None,
        }
    }

    /// Whether it reads a token's claims.
    pub(crate) fn is_claim(&self) -> bool {
        let auth = matches!(self, Self::AuthPrincipal | Self::AuthAudiences | Self::AuthPresenter);
        auth || matches!(self, Self::AuthClaims(_))
    }

    /// Whether only an HTTP request has this.
    pub(crate) fn is_http(&self) -> bool {
        match self {
            Self::RequestPath
            | Self::RequestMethod
            | Self::RequestHost
            | Self::RequestHeader(_)
            | Self::AuthPrincipal
            | Self::AuthAudiences
            | Self::AuthPresenter
            | Self::AuthClaims(_) => true,
            Self::SourcePrincipal
            | Self::SourceNamespace
            | Self::SourceServiceAccount
            | Self::SourceTrustDomain
            | Self::SourceIp
            | Self::RemoteIp
            | Self::DestinationIp
            | Self::DestinationPort
            | Self::ConnectionSni => false,
        }
    }

    /// Whether only an authenticated caller has this.
    pub(crate) fn is_identity(&self) -> bool {
        matches!(
            self,
            Self::SourcePrincipal
                | Self::SourceNamespace
                | Self::SourceServiceAccount
                | Self::SourceTrustDomain
        )
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::RequestHeader(name) => write!(f, "{HEADERS}[{name}]"),
            Self::AuthClaims(names) => {
                f.write_str(CLAIMS)?;
                names.iter().try_for_each(|name| write!(f, "[{name}]"))
            }
            plain => {
                let name = PLAIN.iter().find(|(_, key)| key == plain).map_or("", |(name, _)| name);
                f.write_str(name)
            }
        }
    }
}

fn needs_brackets(text: &str) -> String {
    format!("`{}` needs a name in brackets", text.escape_debug())
}

/// The names of `[a][b]`: one or more, none of them empty.
fn brackets(rest: &str) -> Option<Vec<&str>> {
    let inner = rest.strip_prefix('[')?.strip_suffix(']')?;
    let names: Vec<&str> = inner.split("][").collect();
    let plain = |name: &&str| !name.is_empty() && !name.contains(['[', ']']);
    names.iter().all(plain).then_some(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_printed_as_it_is_read() {
        let plain = PLAIN.iter().map(|(name, _)| *name);
        for text in plain.chain([
            "request.headers[x-token]",
            "request.headers[:authority]",
            "request.auth.claims[iss]",
            "request.auth.claims[a][b.c][https://x/y]",
        ]) {
            assert_eq!(Key::parse(text).map(|k| k.to_string()).as_deref(), Ok(text));
        }
        let folded = Key::parse("request.headers[X-Token]").unwrap();
        assert_eq!(folded.to_string(), "request.headers[x-token]");
        let host = Key::parse("request.headers[Host]").unwrap();
        assert_eq!(host.to_string(), "request.headers[:authority]");
    }

    #[test]
    fn a_key_that_is_not_understood_is_refused() {
        for text in [
            "",
            "source.user",
            "Source.ip",
            "request.headers",
            "request.headers[]",
            "request.headers[a][b]",
            "request.headers[a b]",
            "request.headers[a",
            "request.headers[:path]",
            "request.auth.claims",
            "request.auth.claims[]",
            "request.auth.claims[a][]",
            "request.auth.claims[a]b[c]",
            "request.auth.claims[[a]]",
            "request.auth.principal[a]",
        ] {
            assert!(Key::parse(text).is_err(), "{text}");
        }
        assert!(Key::parse(&format!("request.auth.claims{}", "[a]".repeat(17))).is_err());
    }
}
