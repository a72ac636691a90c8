//! What a server is asked to do.

use axum::body::Body;
use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::future::try_join_all;
use http::{Method, Request, StatusCode};
use http_body_util::BodyExt as _;
use tower::ServiceExt as _;

use crate::{Caller, Error, grpc};

/// Bytes of one piece of a streamed body.
const PIECE: usize = 16 * 1024;
/// Bytes in the gRPC message.
const MESSAGE: usize = 64;

/// One kind of request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// `GET /hello`: no body, five bytes back.
    Hello,
    /// A body of so many bytes that is there as a whole, read to its end, and sent back.
    Echo(usize),
    /// The same in pieces that come one after the other, passed through.
    Stream(usize),
    /// A unary gRPC call with a small message.
    Grpc,
    /// A gRPC stream of so many messages of 100 bytes to the server, all of them ready.
    Up(usize),
    /// The same from the server.
    Down(usize),
}

/// Requests of one kind.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    /// How the tables call it.
    pub name: &'static str,
    /// What is asked.
    pub shape: Shape,
    /// How many requests are under way at a time.
    pub at_once: usize,
    /// Requests of one round, a multiple of `at_once`: some milliseconds of CPU.
    pub round: usize,
}

/// The rows of the tables.
pub const LOADS: [Load; 11] = [
    Load::new("hello, 0 B", Shape::Hello, 1, 128),
    Load::new("echo, 1 KiB", Shape::Echo(1 << 10), 1, 128),
    Load::new("echo, 16 KiB", Shape::Echo(16 << 10), 1, 64),
    Load::new("echo, 1 MiB", Shape::Echo(1 << 20), 1, 6),
    Load::new("stream, 1 KiB", Shape::Stream(1 << 10), 1, 128),
    Load::new("stream, 16 KiB", Shape::Stream(16 << 10), 1, 64),
    Load::new("stream, 1 MiB", Shape::Stream(1 << 20), 1, 6),
    Load::new("gRPC unary", Shape::Grpc, 1, 128),
    Load::new("hello, 0 B, x16", Shape::Hello, 16, 256),
    Load::new("echo, 1 KiB, x16", Shape::Echo(1 << 10), 16, 256),
    Load::new("gRPC unary, x16", Shape::Grpc, 16, 256),
];

/// Long streams of small messages; a round is one of them.
pub const STREAMS: [Load; 2] = [
    Load::new("100,000 messages of 100 B to the server", Shape::Up(100_000), 1, 1),
    Load::new("100,000 messages of 100 B from the server", Shape::Down(100_000), 1, 1),
];

impl Load {
    const fn new(name: &'static str, shape: Shape, at_once: usize, round: usize) -> Self {
        Self { name, shape, at_once, round }
    }

    /// Sends `count` requests, rounded up to a multiple of `at_once`, and checks each answer.
    ///
    /// # Errors
    /// Where one fails, or its answer is not what was asked for.
    pub async fn run(self, caller: Caller, count: usize) -> Result<usize, Error> {
        let each = count.div_ceil(self.at_once);
        let workers = (0..self.at_once).map(|_| {
            let caller = caller.clone();
            async move {
                let worker = async move {
                    let body = Bytes::from(vec![0x5a; self.shape.length()]);
                    for _ in 0..each {
                        self.shape.ask(&caller, body.clone()).await?;
                    }
                    Ok::<_, Error>(())
                };
                tokio::spawn(worker).await?
            }
        });
        try_join_all(workers).await?;
        Ok(each * self.at_once)
    }
}

impl Shape {
    /// Bytes of the body that is sent.
    #[must_use]
    pub const fn length(self) -> usize {
        match self {
            Self::Hello | Self::Up(_) | Self::Down(_) => 0,
            Self::Echo(length) | Self::Stream(length) => length,
            Self::Grpc => MESSAGE,
        }
    }

    async fn ask(self, caller: &Caller, bytes: Bytes) -> Result<(), Error> {
        let length = bytes.len();
        let (method, path, body, back) = match self {
            Self::Grpc => return grpc::call(caller, bytes).await,
            Self::Up(count) => return grpc::up(caller, count).await,
            Self::Down(count) => return grpc::down(caller, count).await,
            Self::Hello => (Method::GET, "/hello", Body::empty(), 5),
            Self::Echo(_) => (Method::POST, "/echo", Body::from(bytes), length),
            Self::Stream(_) => (Method::POST, "/stream", pieces(bytes), length),
        };
        let request = Request::builder().method(method).uri(path).body(body)?;
        let response = caller.clone().oneshot(request).await?;
        let status = response.status();
        let got = response.into_body().collect().await?.to_bytes().len();
        if status == StatusCode::OK && got == back {
            Ok(())
        } else {
            Err(format!("{self:?}: answered {status} with {got} bytes").into())
        }
    }
}

/// A body that no poll finds complete.
fn pieces(bytes: Bytes) -> Body {
    let count = bytes.len().div_ceil(PIECE);
    let pieces = (0..count).map(move |i| bytes.slice(i * PIECE..bytes.len().min((i + 1) * PIECE)));
    let stream = futures_util::stream::iter(pieces).then(|piece| async move {
        tokio::task::yield_now().await;
        Ok::<_, std::convert::Infallible>(piece)
    });
    Body::from_stream(stream)
}
