//! A stock tonic callee: for it, most cuts of a client stream are its good end.

use std::pin::Pin;

use hyper_util::rt::{TokioExecutor, TokioIo};
use meshguard_testing::{Cut, Fault, FaultHop, Protocol};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tonic::server::{ClientStreamingService, Grpc};
use tonic::{Request, Response, Status, Streaming};

use crate::stock::*;

#[derive(Clone, PartialEq, prost::Message)]
struct Item {
    #[prost(uint32, tag = "1")]
    number: u32,
}

/// Sends 0 once it is called, then how many messages came and how the stream ended.
#[derive(Clone)]
struct Count(mpsc::UnboundedSender<(usize, Result<(), tonic::Code>)>);

impl ClientStreamingService<Item> for Count {
    type Response = Item;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Item>, Status>> + Send>>;

    fn call(&mut self, request: Request<Streaming<Item>>) -> Self::Future {
        let tell = self.0.clone();
        Box::pin(async move {
            tell.send((0, Ok(()))).unwrap();
            let mut stream = request.into_inner();
            let mut count = 0;
            let end = loop {
                match stream.message().await {
                    Ok(Some(_)) => count += 1,
                    Ok(None) => break Ok(()),
                    Err(status) => break Err(status.code()),
                }
            };
            tell.send((count, end)).unwrap();
            Ok(Response::new(Item { number: 0 }))
        })
    }
}

fn items(numbers: std::ops::RangeInclusive<u32>) -> Vec<u8> {
    let mut framed = Vec::new();
    for number in numbers {
        let item = prost::Message::encode_to_vec(&Item { number });
        framed.push(0);
        framed.extend(u32::try_from(item.len()).unwrap().to_be_bytes());
        framed.extend(item);
    }
    framed
}

/// How a client stream of ten messages, cut after three, looks to tonic's handler.
async fn seen_by_tonic(how: Cut) -> (usize, Result<(), tonic::Code>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let (tx, mut told) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        let io = TokioIo::new(listener.accept().await.unwrap().0);
        let service = hyper::service::service_fn(move |request| {
            let count = Count(tx.clone());
            async move {
                let mut grpc = Grpc::new(tonic_prost::ProstCodec::<Item, Item>::default());
                Ok::<_, std::convert::Infallible>(grpc.client_streaming(count, request).await)
            }
        });
        let builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
        let _ = builder.serve_connection(io, service).await;
    });
    let hop = FaultHop::builder(addr).plain(Protocol::Http2).start().await.unwrap();
    hop.inject_next(Fault::CutRequest { after: items(1..=3).len() as u64, how });
    let (open, body) = Parts::gated(items(1..=2).into(), items(3..=10).into());
    let mut post = request(Protocol::Http2, http::Method::POST, "/x/y", body);
    post.headers_mut().insert("content-type", "application/grpc".parse().unwrap());
    post.headers_mut().insert("te", "trailers".parse().unwrap());
    let callee = async {
        assert_eq!(soon(told.recv()).await, Some((0, Ok(()))));
        open.send(()).unwrap();
        soon(told.recv()).await.unwrap()
    };
    tokio::join!(callee, call(&hop, Protocol::Http2, post)).0
}

#[tokio::test]
async fn a_stock_tonic_callee_takes_a_cut_stream_for_complete() {
    for how in [Cut::ResetNoError, Cut::ResetCancel, Cut::EndStream] {
        assert_eq!(seen_by_tonic(how).await, (3, Ok(())), "{how:?}");
    }
}

#[tokio::test]
async fn a_stock_tonic_callee_notices_a_closed_connection() {
    assert_eq!(seen_by_tonic(Cut::CloseConnection).await, (3, Err(tonic::Code::Unknown)));
}
