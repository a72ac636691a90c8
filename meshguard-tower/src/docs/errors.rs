//! Every kind of error has a row in docs/errors.md that says what to do.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use http::StatusCode;
use meshguard_core::delivery::{Failure, Outcome, RecordErrorKind, SettingsError};
use meshguard_core::{Policy, SpiffeId};

use super::rows;
use crate::auth::TokensError;
use crate::channel::{CallError, CallErrorKind};
use crate::error::{DeliveryError, DeliveryErrorKind};
use crate::mesh::ReloadError;
use crate::pool::ConnectError;
use crate::session::SessionError;
use crate::tls;

const PAGE: &str = include_str!("../../../docs/errors.md");

/// Each variant, and its name where it is not printed by a method. A variant that is missing in
/// `$all` does not compile: its match would not be exhaustive.
macro_rules! all {
    ($name:ident, $kind:ty, { $($pattern:pat => $value:expr),* $(,)? }) => {
        fn $name() -> Vec<$kind> {
            #[allow(dead_code)]
            fn exhaustive(kind: &$kind) {
                match kind { $($pattern => {})* }
            }
            vec![$($value),*]
        }
    };
}

all!(calls, CallErrorKind, {
    CallErrorKind::Connect => CallErrorKind::Connect,
    CallErrorKind::HandshakeRefused(_) => CallErrorKind::HandshakeRefused(tls::Alert(44)),
    CallErrorKind::Refused(_) => CallErrorKind::Refused(StatusCode::FORBIDDEN),
    CallErrorKind::Body(_) =>
        CallErrorKind::Body(DeliveryError::new(DeliveryErrorKind::OwnBody, 0, None)),
    CallErrorKind::Session(_) => CallErrorKind::Session(SessionError::Split),
    CallErrorKind::Downgrade => CallErrorKind::Downgrade,
    CallErrorKind::Request(_) => CallErrorKind::Request(""),
    CallErrorKind::NoAnswer => CallErrorKind::NoAnswer,
    CallErrorKind::Unproven(_) => CallErrorKind::Unproven(StatusCode::OK),
    CallErrorKind::BadProof(_) => CallErrorKind::BadProof(StatusCode::OK),
    CallErrorKind::Duplicate => CallErrorKind::Duplicate,
    CallErrorKind::NotAdmitted => CallErrorKind::NotAdmitted,
    CallErrorKind::NotConfirmed { .. } =>
        CallErrorKind::NotConfirmed { failure: Failure::ShortReceipt, got: None, of: None },
    CallErrorKind::Answer(_) =>
        CallErrorKind::Answer(DeliveryError::new(DeliveryErrorKind::Short, 0, None)),
    CallErrorKind::Deadline => CallErrorKind::Deadline,
    CallErrorKind::Restricted => CallErrorKind::Restricted,
});

all!(bodies, DeliveryErrorKind, {
    DeliveryErrorKind::Records(_) => DeliveryErrorKind::Records(RecordErrorKind::BadTag),
    DeliveryErrorKind::Short => DeliveryErrorKind::Short,
    DeliveryErrorKind::Digest => DeliveryErrorKind::Digest,
    DeliveryErrorKind::ContentDigest => DeliveryErrorKind::ContentDigest,
    DeliveryErrorKind::NoRoom => DeliveryErrorKind::NoRoom,
    DeliveryErrorKind::OwnBody => DeliveryErrorKind::OwnBody,
    DeliveryErrorKind::Long => DeliveryErrorKind::Long,
    DeliveryErrorKind::Trailers => DeliveryErrorKind::Trailers,
    DeliveryErrorKind::Timeout => DeliveryErrorKind::Timeout,
    DeliveryErrorKind::NoReceipt => DeliveryErrorKind::NoReceipt,
    DeliveryErrorKind::Withdrawn => DeliveryErrorKind::Withdrawn,
    DeliveryErrorKind::Transport => DeliveryErrorKind::Transport,
});

fn io() -> Arc<io::Error> {
    Arc::new(io::ErrorKind::Other.into())
}

all!(connections, ConnectError, {
    ConnectError::InvalidHost(_) => ConnectError::InvalidHost(String::new()),
    ConnectError::Resolve(_) => ConnectError::Resolve(io()),
    ConnectError::Connect(_) => ConnectError::Connect(io()),
    ConnectError::Timeout => ConnectError::Timeout,
    ConnectError::Handshake(_) => ConnectError::Handshake(tls::HandshakeErrorKind::NotTls),
    // hyper makes its errors itself.
    ConnectError::Http(_) => ConnectError::Interrupted,
    ConnectError::Interrupted => ConnectError::Interrupted,
});

all!(sessions, SessionError, {
    SessionError::Handshake(_) => SessionError::Handshake(tls::HandshakeErrorKind::NotTls),
    SessionError::NotSpoken(_) => SessionError::NotSpoken(StatusCode::OK),
    SessionError::Refused(_) => SessionError::Refused(StatusCode::FORBIDDEN),
    SessionError::Denied(_) => SessionError::Denied(None),
    SessionError::Split => SessionError::Split,
    SessionError::Settings(_) => SessionError::Settings(SettingsError::Sid),
    SessionError::Protocol(_) => SessionError::Protocol(""),
    SessionError::Timeout => SessionError::Timeout,
});

all!(reloads, ReloadError, {
    ReloadError::Read(..) => ReloadError::Read(PathBuf::new(), io::ErrorKind::Other.into()),
    ReloadError::Unsettled(_) => ReloadError::Unsettled(PathBuf::new()),
    ReloadError::Unannounced(_) => ReloadError::Unannounced(String::new()),
    ReloadError::Policy(..) =>
        ReloadError::Policy(PathBuf::new(), "".parse::<Policy>().unwrap_err()),
    ReloadError::OlderPolicy { .. } => ReloadError::OlderPolicy { current: 2, found: 1 },
    ReloadError::OtherMesh { .. } => ReloadError::OtherMesh {
        mesh: String::new(),
        service: SpiffeId::from_static("spiffe://shop.example/orders"),
    },
    ReloadError::Unsupported { .. } =>
        ReloadError::Unsupported { route: String::new(), key: "durability" },
    ReloadError::Source(..) => ReloadError::Source(String::new(), "".into()),
    ReloadError::Credentials(_) =>
        ReloadError::Credentials(tls::fault(tls::Source::Svid, tls::CredentialsFault::Empty)),
    ReloadError::Tokens(_) => ReloadError::Tokens(TokensError::NoKey),
});

/// A table has one row for each of these names, and each row says something in every cell.
fn documented(section: &str, names: &[String]) {
    let rows = rows(PAGE, section);
    for name in names {
        let cell = format!("`{name}`");
        let row = rows.iter().find(|row| row[0] == cell);
        let row = row.unwrap_or_else(|| panic!("docs/errors.md, {section:?}: no row for {cell}"));
        assert!(row.iter().all(|cell| !cell.is_empty()), "{row:?}");
    }
    let known = |row: &&Vec<&str>| {
        row[0].strip_prefix('`').is_some_and(|name| names.iter().all(|n| *name != format!("{n}`")))
    };
    let stale: Vec<_> = rows.iter().filter(known).map(|row| row[0]).collect();
    assert!(stale.is_empty(), "docs/errors.md, {section:?}: no such kinds {stale:?}");
}

/// The name of a variant, as `Debug` writes it.
fn variant(error: &dyn std::fmt::Debug) -> String {
    let text = format!("{error:?}");
    text.chars().take_while(char::is_ascii_alphanumeric).collect()
}

#[test]
fn every_kind_of_a_failed_call_says_what_to_do() {
    let own =
        |kind: &CallErrorKind| !matches!(kind, CallErrorKind::Answer(_) | CallErrorKind::Body(_));
    let names =
        calls().iter().filter(|k| own(k)).map(|k| k.as_str().to_owned()).collect::<Vec<_>>();
    documented("## A call failed", &names);
}

#[test]
fn every_kind_of_a_failed_body_says_what_to_do() {
    let own = |kind: &DeliveryErrorKind| !matches!(kind, DeliveryErrorKind::Records(_));
    let bodies = bodies().into_iter().filter(own).map(|kind| kind.as_str().to_owned());
    let records = RecordErrorKind::ALL.iter().map(|kind| kind.as_str().to_owned());
    documented("## A body failed", &bodies.chain(records).collect::<Vec<_>>());
}

#[test]
fn every_code_of_grpc_is_the_one_in_the_code() {
    let own =
        |kind: &CallErrorKind| !matches!(kind, CallErrorKind::Answer(_) | CallErrorKind::Body(_));
    let of_calls = calls().into_iter().filter(own).map(|kind| {
        let by_status = matches!(kind, CallErrorKind::Refused(_) | CallErrorKind::Unproven(_));
        let code = if by_status { "as its status".into() } else { kind.grpc_code().to_string() };
        ("## A call failed", kind.as_str(), code)
    });
    let records = RecordErrorKind::ALL.iter().map(|kind| DeliveryErrorKind::Records(*kind));
    let of_bodies = DeliveryErrorKind::OTHERS.into_iter().chain(records);
    let of_bodies =
        of_bodies.map(|kind| ("## A body failed", kind.as_str(), kind.grpc_code().to_string()));
    for (section, name, code) in of_calls.chain(of_bodies) {
        let rows = rows(PAGE, section);
        let row = rows.iter().find(|row| row[0] == format!("`{name}`")).unwrap();
        assert_eq!(row[1], code, "{name}");
    }
    for (status, code) in
        [(400, 13), (431, 13), (401, 16), (403, 7), (404, 12), (429, 14), (502, 14), (504, 14)]
    {
        let status = StatusCode::from_u16(status).unwrap();
        assert_eq!(CallErrorKind::Unproven(status).grpc_code(), code, "{status}");
    }
    let odd = CallErrorKind::Unproven(StatusCode::OK);
    assert_eq!(odd.grpc_code(), 2);
    assert_eq!(CallError::new(odd, Outcome::NotDelivered).grpc_code(), 14);
}

#[test]
fn every_reason_for_no_connection_and_no_session_says_what_to_do() {
    let mut connections: Vec<_> = connections().iter().map(|e| variant(e)).collect();
    connections.push("Http".to_owned());
    documented("## There is no connection", &connections);
    let sessions: Vec<_> = sessions().iter().map(|e| variant(e)).collect();
    documented("## There is no session", &sessions);
    let handshakes: Vec<_> = tls::ALL.iter().map(|kind| kind.as_str().to_owned()).collect();
    documented("## A handshake failed", &handshakes);
}

#[test]
fn every_reason_why_a_file_was_not_taken_says_what_to_do() {
    let names: Vec<_> = reloads().iter().map(|error| variant(error)).collect();
    documented("## A file was not taken", &names);
}
