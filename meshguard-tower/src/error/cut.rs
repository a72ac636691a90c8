//! Who ended a body or a connection early, in words.

use std::error::Error as StdError;
use std::fmt;
use std::io;

use crate::limits::MAX_HEAD;

/// What the transport says of an error, with who ended it as far as that is known.
pub(crate) struct Said<'a>(pub(crate) &'a (dyn StdError + 'static));

impl fmt::Display for Said<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut next = Some(self.0);
        while let Some(error) = next {
            if let Some(h2) = error.downcast_ref::<h2::Error>() {
                return http2(f, h2);
            }
            if let Some(io) = error.downcast_ref::<io::Error>() {
                // h2 has its own errors carried by such.
                match io.get_ref().and_then(|inner| inner.downcast_ref::<h2::Error>()) {
                    Some(h2) => return http2(f, h2),
                    None if is_lost(io) => return write!(f, "the connection was lost: {io}"),
                    None => return fmt::Display::fmt(io, f),
                }
            }
            if let Some(hyper) = error.downcast_ref::<hyper::Error>()
                && (hyper.is_incomplete_message() || hyper.is_closed() || hyper.is_canceled())
            {
                return write!(f, "the connection was closed: {hyper}");
            }
            next = error.source();
        }
        fmt::Display::fmt(self.0, f)
    }
}

/// Whether there was a connection.
fn is_lost(error: &io::Error) -> bool {
    use io::ErrorKind as Kind;
    matches!(
        error.kind(),
        Kind::BrokenPipe
            | Kind::ConnectionAborted
            | Kind::ConnectionReset
            | Kind::NotConnected
            | Kind::UnexpectedEof
    )
}

fn http2(f: &mut fmt::Formatter<'_>, error: &h2::Error) -> fmt::Result {
    let (who, what) = match (error.is_remote(), error.is_go_away(), error.is_reset()) {
        _ if error.is_io() => return write!(f, "the connection was lost: {error}"),
        (true, true, _) => ("the far end", "closed the connection"),
        (true, _, _) => ("the far end", "reset the stream"),
        (false, true, _) => ("this end", "closed the connection"),
        (false, _, true) => ("this end", "reset the stream"),
        _ => return fmt::Display::fmt(error, f),
    };
    match error.reason() {
        // Of a head that is too long, h2 says no more.
        Some(h2::Reason::PROTOCOL_ERROR) if error.is_reset() && !error.is_remote() => {
            let most = MAX_HEAD / 1024;
            write!(f, "{who} {what}: what came is malformed, or its head is above {most} KiB")
        }
        Some(reason) => write!(f, "{who} {what} with {reason:?}"),
        None => write!(f, "{who} {what}"),
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http_body_util::Empty;
    use hyper::client::conn::http1::handshake;
    use hyper_util::rt::TokioIo;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    #[test]
    fn a_lost_connection_is_named_wherever_it_stands_in_the_chain() {
        let lost = io::Error::from(io::ErrorKind::ConnectionReset);
        assert!(Said(&lost).to_string().starts_with("the connection was lost"), "{}", Said(&lost));
        let refused = io::Error::from(io::ErrorKind::ConnectionRefused);
        assert_eq!(Said(&refused).to_string(), refused.to_string(), "there was none");
        let h2 = h2::Error::from(h2::Reason::CANCEL);
        let text = Said(&h2).to_string();
        assert!(text.contains("stream no longer needed"), "{text}");
        let carried = io::Error::other(h2);
        assert_eq!(Said(&carried).to_string(), text);
    }

    #[tokio::test]
    async fn a_connection_that_was_closed_is_named_by_what_hyper_says() {
        let request = || http::Request::new(Empty::<Bytes>::new());
        let connect = async || {
            let (near, far) = tokio::io::duplex(1024);
            let (sender, connection) = handshake(TokioIo::new(near)).await.unwrap();
            (sender, connection, far)
        };
        // It had ended before the request was given to it.
        let (mut sender, connection, _far) = connect().await;
        drop(connection);
        let closed = sender.ready().await.unwrap_err();
        assert!(closed.is_closed(), "{closed:?}");
        let (mut sender, connection, _far) = connect().await;
        drop(connection);
        let canceled = sender.send_request(request()).await.unwrap_err();
        assert!(canceled.is_canceled(), "{canceled:?}");
        // It ended under the answer.
        let (mut sender, connection, mut far) = connect().await;
        let run = tokio::spawn(connection);
        let answer = async {
            far.read_u8().await.unwrap();
            far.write_all(b"HTTP/1.1 200 OK\r\n").await.unwrap();
            drop(far);
        };
        let (incomplete, ()) = tokio::join!(sender.send_request(request()), answer);
        let incomplete = incomplete.unwrap_err();
        assert!(incomplete.is_incomplete_message(), "{incomplete:?}");
        run.abort();
        for error in [closed, canceled, incomplete] {
            let text = Said(&error).to_string();
            assert!(text.starts_with("the connection was closed: "), "{text}");
        }
    }
}
