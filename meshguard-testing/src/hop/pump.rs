//! Moves bodies from where they come to where they go, through their manglers.

use bytes::Bytes;
use http::Response;

use super::body::{Failure, MAX_HELD, Piece, Source};
use super::h1;
use super::mangle::Mangler;
use super::sink::{Gone, Sink};

/// Moves a request's body; with `end` there is none. What is cut off is read and discarded.
pub(super) async fn send_body(body: Source, mut sink: Sink, mangler: &mut Mangler, end: bool) {
    if end {
        mangler.end();
    } else if let Some(rest) = pump(body, &mut sink, mangler, false).await {
        rest.drain().await;
    }
}

/// Moves a body through its mangler. Gives back what was cut off.
pub(super) async fn pump(
    mut source: Source,
    sink: &mut Sink,
    mangler: &mut Mangler,
    grpc: bool,
) -> Option<Source> {
    let mut last = Bytes::new();
    loop {
        if let Some(how) = mangler.due() {
            if sink.cut(last, how, grpc).await.is_ok() {
                mangler.apply("cut");
            }
            return Some(source);
        }
        let piece = tokio::select! {
            biased;
            () = sink.gone() => return None,
            piece = source.next() => piece,
        };
        match piece {
            Some(Ok(Piece::Data(data))) => {
                let len = data.len();
                let ends = source.is_end();
                last = feed(sink, mangler, data, ends).await.ok()?;
                source.release(len);
                if ends && mangler.due().is_none() {
                    return None;
                }
            }
            end => {
                finish(sink, mangler, end).await.ok()?;
                return None;
            }
        }
    }
}

/// Sends what the mangler makes of a piece, but for the last before a cut, which is given back.
/// Where the source `ends` with it, so does the sink: in the same DATA frame, as it came.
async fn feed(
    sink: &mut Sink,
    mangler: &mut Mangler,
    data: Bytes,
    ends: bool,
) -> Result<Bytes, Gone> {
    let mut pieces = mangler.feed(data);
    let cut = mangler.due().is_some();
    if ends && !cut {
        pieces.extend(mangler.end());
    }
    let last = if ends || cut { pieces.pop().unwrap_or_default() } else { Bytes::new() };
    for piece in pieces {
        sink.data(piece).await?;
    }
    if ends && !cut {
        sink.end(last).await?;
        return Ok(Bytes::new());
    }
    Ok(last)
}

async fn finish(
    sink: &mut Sink,
    mangler: &mut Mangler,
    end: Option<Result<Piece, Failure>>,
) -> Result<(), Gone> {
    if let Some(Err(failure)) = end {
        sink.fail(failure).await;
        return Ok(());
    }
    for piece in mangler.end() {
        sink.data(piece).await?;
    }
    match end {
        Some(Ok(Piece::Trailers(trailers))) => {
            mangler.trailers(&trailers);
            sink.trailers(trailers).await
        }
        _ => sink.end(Bytes::new()).await,
    }
}

/// The bytes of an answer that only EOF ends, and what was cut off.
pub(super) async fn close_delimited(
    head: &Response<()>,
    mut body: Source,
    mangler: &mut Mangler,
) -> (Vec<u8>, Source) {
    let mut sent = Vec::new();
    while mangler.due().is_none() && sent.len() <= MAX_HELD {
        let Some(Ok(Piece::Data(data))) = body.next().await else { break };
        body.release(data.len());
        mangler.feed(data).iter().for_each(|piece| sent.extend_from_slice(piece));
    }
    if mangler.due().is_some() {
        mangler.apply("cut");
    }
    (h1::close_delimited(head, &sent), body)
}
