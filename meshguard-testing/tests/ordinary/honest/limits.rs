//! Messages that are longer than their receiver takes.

use std::net::SocketAddr;

use axum::Router;
use axum::extract::Request as HttpRequest;
use axum::http::uri::PathAndQuery;
use axum::routing::post;
use bytes::Bytes;
use futures_util::StreamExt as _;
use meshguard_axum::core::control::Event;
use meshguard_axum::tls::Alpn;
use meshguard_axum::{Mesh, Policy};
use meshguard_testing::FaultHop;
use tonic::body::Body;
use tonic::client::GrpcService;
use tonic::server::StreamingService;
use tonic::{Code, Response, Status, Streaming};
use tonic_prost::ProstCodec;

use crate::rig::tell::Told;
use crate::rig::{self, CALLEE, CALLER, HOP, SUITES, soon, stock};

const PATH: &str = "/honest.Blobs/Back";
/// What a mesh and tonic take by default.
const LIMIT: usize = 4 * 1024 * 1024;
/// So that messages have a round length with their tag and length before them.
const LONG: usize = 5_000_000 - 5;

#[derive(Clone, PartialEq, prost::Message)]
struct Blob {
    /// How long the answer is to be; 0: as long as the message.
    #[prost(uint32, tag = "1")]
    answer: u32,
    #[prost(bytes = "bytes", tag = "2")]
    data: Bytes,
}

fn blob(len: usize) -> Blob {
    Blob { answer: 0, data: vec![7; len].into() }
}

type Blobs = std::pin::Pin<Box<dyn futures_util::Stream<Item = Result<Blob, Status>> + Send>>;
type Calling<T> = std::pin::Pin<Box<dyn Future<Output = Result<Response<T>, Status>> + Send>>;

/// Answers each message with one as long as it asks for.
struct Back;

impl StreamingService<Blob> for Back {
    type Response = Blob;
    type ResponseStream = Blobs;
    type Future = Calling<Blobs>;

    fn call(&mut self, request: tonic::Request<Streaming<Blob>>) -> Self::Future {
        let back = request.into_inner().map(|message| {
            let message = message?;
            Ok(match message.answer {
                0 => message,
                len => blob(len as usize),
            })
        });
        Box::pin(async move { Ok(Response::new(Box::pin(back) as Blobs)) })
    }
}

fn router() -> Router {
    let back = |request: HttpRequest| async move {
        let codec = ProstCodec::<Blob, Blob>::default();
        tonic::server::Grpc::new(codec).streaming(Back, request).await
    };
    Router::new().route(PATH, post(back))
}

/// Sends messages one after the other; the lengths of those that came back, and how it ended.
async fn lengths<S>(service: S, messages: Vec<Blob>) -> (Vec<usize>, Result<(), Status>)
where
    S: GrpcService<Body>,
    S::ResponseBody: http_body::Body<Data = Bytes> + Send + 'static,
    <S::ResponseBody as http_body::Body>::Error: Into<tonic::codegen::StdError>,
{
    let limits = usize::MAX;
    let mut grpc = tonic::client::Grpc::new(service).max_decoding_message_size(limits);
    let messages = futures_util::stream::iter(messages).then(|message| async move {
        tokio::task::yield_now().await;
        message
    });
    let call = async {
        grpc.ready().await.map_err(|e| Status::from_error(e.into()))?;
        let (path, codec) = (PathAndQuery::from_static(PATH), ProstCodec::<Blob, Blob>::default());
        grpc.streaming(tonic::Request::new(messages), path, codec).await
    };
    let mut answer = match soon(call).await {
        Ok(answer) => answer.into_inner(),
        Err(status) => return (Vec::new(), Err(status)),
    };
    let mut lengths = Vec::new();
    loop {
        match soon(answer.message()).await {
            Ok(Some(message)) => lengths.push(message.data.len()),
            Ok(None) => return (lengths, Ok(())),
            Err(status) => return (lengths, Err(status)),
        }
    }
}

struct World {
    callee: Mesh,
    caller: Mesh,
    at_callee: Told,
    at_caller: Told,
    addr: SocketAddr,
}

impl World {
    /// The callee takes messages of so many bytes, the caller answers of so many.
    async fn new(more: &str, callee: usize, caller: usize) -> Self {
        let (at_callee, at_caller) = (Told::default(), Told::default());
        let build = |id, told: &Told, limit| {
            let policy: Policy = rig::policy(more).parse().unwrap();
            let builder = Mesh::dev(id).unwrap().policy(policy).sink(told.clone());
            builder.message_limit(limit).build().unwrap()
        };
        let callee = build(CALLEE, &at_callee, callee);
        let caller = build(CALLER, &at_caller, caller);
        let listener = callee.listen("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr();
        let serve = meshguard_axum::serve(listener, router());
        tokio::spawn(async move { serve.await.unwrap() });
        Self { callee, caller, at_callee, at_caller, addr }
    }

    fn direct(&self) -> meshguard_axum::Channel {
        let uri = format!("https://{}", self.addr);
        self.caller.channel(&uri, CALLEE).unwrap().protocols(Alpn::H2)
    }

    /// No verdict was passed on anybody.
    fn check_trusted(&self, trust: f32) {
        for mesh in [&self.callee, &self.caller] {
            assert!(mesh.incidents().is_empty(), "{:?}", mesh.incidents());
        }
        assert!(self.callee.trust(&CALLER) >= trust, "{}", self.callee.trust(&CALLER));
        let events: Vec<Event> = [self.at_callee.events(), self.at_caller.events()].concat();
        assert!(events.is_empty(), "{events:?}");
        for name in ["bad-tag", "record-length", "long", "bad-proof"] {
            assert!(self.at_callee.named(name).is_empty(), "{:?}", self.at_callee.all());
        }
    }
}

fn both_sizes(status: &Status, size: &str, limit: &str) {
    assert!(status.message().contains(size) && status.message().contains(limit), "{status}");
    assert_eq!(status.code(), Code::ResourceExhausted, "{status}");
}

#[tokio::test]
async fn a_message_above_the_callees_limit_fails_at_its_sender_with_both_sizes() {
    for more in SUITES {
        for via in [false, true] {
            let world = World::new(more, LIMIT, LIMIT).await;
            let trust = world.callee.trust(&CALLER);
            let hop = FaultHop::builder(world.addr).tls(&rig::ca(), &HOP).unwrap();
            let hop = hop.start().await.unwrap();
            let channel = match via {
                true => rig::through(&world.caller, &hop, Alpn::H2),
                false => world.direct(),
            };
            // Alone, after others, and once more: the session goes on.
            for before in [0, 3] {
                let messages = [vec![blob(100); before], vec![blob(LONG)]].concat();
                let (_, end) = lengths(channel.clone(), messages).await;
                both_sizes(&end.unwrap_err(), "5,000,000", "4,194,304");
            }
            let (back, end) = lengths(channel.clone(), vec![blob(LIMIT - 10)]).await;
            assert!(end.is_ok(), "{end:?}");
            assert_eq!(back, [LIMIT - 10]);
            world.check_trusted(trust);
            assert_eq!(world.callee.sessions_open(), 1);
            // Its callee would have said the same, of what it has got and cannot take.
            let got = world.at_callee.named("message-too-large");
            assert!(got.is_empty(), "{more} {via}: {got:?}");
        }
    }
}

#[tokio::test]
async fn an_answer_above_the_callers_limit_fails_at_its_sender_with_both_sizes() {
    for more in SUITES {
        let world = World::new(more, LIMIT, 1_000_000).await;
        let trust = world.callee.trust(&CALLER);
        let channel = world.direct();
        let long = Blob { answer: LONG as u32, data: Bytes::new() };
        let (back, end) = lengths(channel.clone(), vec![blob(100), long, blob(200)]).await;
        assert_eq!(back, [100]);
        both_sizes(&end.unwrap_err(), "5,000,000", "1,000,000");
        let (back, end) = lengths(channel, vec![blob(900_000)]).await;
        assert_eq!((back, end.is_ok()), (vec![900_000], true));
        world.check_trusted(trust);
    }
}

/// A body that is there as a whole is held to a limit as one that comes in pieces.
#[tokio::test]
async fn a_small_limit_holds_for_bodies_that_are_there_as_a_whole() {
    const LONG: usize = 2_000 - 3;
    for more in SUITES {
        for (callee, caller) in [(1_000, LIMIT), (LIMIT, 1_000)] {
            let world = World::new(more, callee, caller).await;
            let trust = world.callee.trust(&CALLER);
            let long = match callee {
                LIMIT => Blob { answer: LONG as u32, data: Bytes::new() },
                _ => blob(LONG),
            };
            both_sizes(&unary(world.direct(), long).await.unwrap_err(), "2,000", "1,000");
            assert_eq!(unary(world.direct(), blob(900)).await.unwrap(), 900);
            world.check_trusted(trust);
        }
    }
}

/// Sends one message, all of it there at once; the length of the one that came back.
async fn unary(channel: meshguard_axum::Channel, message: Blob) -> Result<usize, Status> {
    let mut grpc = tonic::client::Grpc::new(channel);
    grpc.ready().await.map_err(|e| Status::from_error(e.into()))?;
    let (path, codec) = (PathAndQuery::from_static(PATH), ProstCodec::<Blob, Blob>::default());
    let answer = soon(grpc.unary(tonic::Request::new(message), path, codec)).await;
    answer.map(|answer: Response<Blob>| answer.into_inner().data.len())
}

/// The control: stock tonic, whose server takes 4 MiB, says both sizes.
#[tokio::test]
async fn stock_says_both_sizes_of_a_message_above_the_limit() {
    let addr = stock::serve(router()).await;
    let (_, end) = lengths(stock::channel(addr), vec![blob(100), blob(LONG)]).await;
    let status = end.unwrap_err();
    let code = [Code::OutOfRange, Code::ResourceExhausted].contains(&status.code());
    assert!(code && status.message().contains("4194304"), "{status}");
}
