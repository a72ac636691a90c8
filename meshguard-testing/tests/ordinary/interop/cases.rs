//! What is tried; each case works over one way.

use std::time::{Duration, Instant};

use axum::http::uri::PathAndQuery;
use futures_util::StreamExt as _;
use futures_util::future::join_all;
use tokio::sync::mpsc;
use tonic::metadata::{MetadataMap, MetadataValue};
use tonic::{Code, Request, Status};
use tonic_prost::ProstCodec;

use super::proto::{Ask, End, Nothing, Order, Piece};
use super::server::{INITIAL, TRAILING, bytes};
use super::ways::Way;
use crate::rig::soon;

const DEADLINE: Duration = Duration::from_millis(200);
const LARGE_ASK: u32 = 300_000;
const LARGE_ANSWER: u32 = 400_000;
/// Small and large ones, one of them empty, one longer than a known body may be.
const SIZES: [u32; 5] = [30_000, 0, 7, 90_000, 1_500];

pub(super) async fn an_empty_message_goes_both_ways(way: Way) {
    soon(way.client().empty(Nothing {})).await.unwrap();
}

pub(super) async fn a_large_message_goes_both_ways(way: Way) {
    large(&way).await;
}

async fn large(way: &Way) {
    let ask = Ask { size: LARGE_ANSWER, body: bytes(LARGE_ASK), ..Ask::default() };
    let answer = soon(way.client().unary(ask)).await.unwrap().into_inner();
    assert!(answer.body == bytes(LARGE_ANSWER));
}

pub(super) async fn a_hundred_large_messages_go_both_ways_at_once(way: Way) {
    join_all((0..100).map(|_| large(&way))).await;
}

pub(super) async fn a_callers_stream_arrives_whole(way: Way) {
    let pieces = futures_util::stream::iter(SIZES.map(|n| Piece { body: bytes(n) }));
    let sum = soon(way.client().collect(pieces)).await.unwrap().into_inner();
    let all = SIZES.iter().map(|n| u64::from(*n)).sum::<u64>();
    assert_eq!((sum.pieces, sum.bytes), (5, all));
}

pub(super) async fn a_callees_stream_arrives_whole(way: Way) {
    let order = Order { sizes: SIZES.to_vec(), ..Order::default() };
    let mut pieces = soon(way.client().produce(order)).await.unwrap().into_inner();
    for size in SIZES {
        let piece = soon(pieces.message()).await.unwrap().unwrap();
        assert!(piece.body == bytes(size), "{size}");
    }
    assert!(soon(pieces.message()).await.unwrap().is_none());
}

pub(super) async fn each_message_of_a_ping_pong_is_answered_before_the_next_one(way: Way) {
    let (orders, mut pieces) = ping_pong(&way).await;
    for size in SIZES {
        orders.send(ball(size)).unwrap();
        let piece = soon(pieces.message()).await.unwrap().unwrap();
        assert!(piece.body == bytes(size), "{size}");
    }
    drop(orders);
    assert!(soon(pieces.message()).await.unwrap().is_none());
}

pub(super) async fn a_stream_without_a_message_ends_well(way: Way) {
    let (orders, mut pieces) = ping_pong(&way).await;
    drop(orders);
    assert!(soon(pieces.message()).await.unwrap().is_none());
    let none = futures_util::stream::iter(Vec::<Piece>::new());
    let sum = soon(way.client().collect(none)).await.unwrap().into_inner();
    assert_eq!((sum.pieces, sum.bytes), (0, 0));
}

pub(super) async fn a_status_keeps_its_code_and_message(way: Way) {
    for code in 1..=16 {
        status(&way, code, "this is how it ends").await;
    }
}

pub(super) async fn a_status_keeps_what_is_special_in_its_message(way: Way) {
    let text = "\ttab\r\nline, snow \u{2603}, a face \u{1f608} and 100 % of it, \"quoted\"\t\n";
    status(&way, 2, text).await;
    status(&way, 3, &"\u{e9}".repeat(900)).await;
}

/// The same status for a call with one answer, one with a stream, and one after messages.
async fn status(way: &Way, code: i32, text: &str) {
    let end = Some(End { code, message: text.to_owned() });
    let ask = Ask { end: end.clone(), ..Ask::default() };
    is(&soon(way.client().unary(ask)).await.unwrap_err(), code, text);

    for sizes in [vec![], vec![10, 20]] {
        let order = Order { sizes: sizes.clone(), end: end.clone(), ..Order::default() };
        let mut pieces = soon(way.client().produce(order)).await.unwrap().into_inner();
        for _ in sizes {
            soon(pieces.message()).await.unwrap().unwrap();
        }
        is(&soon(pieces.message()).await.unwrap_err(), code, text);
    }

    let (orders, mut pieces) = ping_pong(way).await;
    orders.send(Order { end, ..Order::default() }).unwrap();
    is(&soon(pieces.message()).await.unwrap_err(), code, text);
}

pub(super) async fn a_status_is_heard_while_its_request_is_still_open(way: Way) {
    let began = Instant::now();
    for _ in 0..10 {
        let (orders, mut pieces) = ping_pong(&way).await;
        let end = Some(End { code: 9, message: "enough".into() });
        orders.send(Order { end, ..Order::default() }).unwrap();
        is(&soon(pieces.message()).await.unwrap_err(), 9, "enough");
    }
    // Of ten waits of a second each, this would be half.
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
}

fn is(status: &Status, code: i32, text: &str) {
    assert_eq!((status.code(), status.message()), (Code::from(code), text));
}

pub(super) async fn a_method_that_is_not_there_is_unimplemented(way: Way) {
    unimplemented(way, "/interop.v1.Interop/Missing").await;
}

pub(super) async fn a_service_that_is_not_there_is_unimplemented(way: Way) {
    unimplemented(way, "/interop.v1.Missing/Empty").await;
}

async fn unimplemented(way: Way, path: &'static str) {
    let mut grpc = tonic::client::Grpc::new(way.wire);
    grpc.ready().await.unwrap();
    let codec = ProstCodec::<Nothing, Nothing>::default();
    let call = grpc.unary(Request::new(Nothing {}), PathAndQuery::from_static(path), codec);
    assert_eq!(soon(call).await.unwrap_err().code(), Code::Unimplemented);
}

pub(super) async fn metadata_of_ones_own_goes_both_ways(way: Way) {
    let (text, binary) = ("a value, of; ones = own", [0_u8, 1, 0x80, 0xab, 0xff]);
    let with_own = |metadata: &mut MetadataMap| {
        metadata.insert(INITIAL, text.parse().unwrap());
        metadata.insert_bin(TRAILING, MetadataValue::from_bytes(&binary));
    };
    let came = |head: &MetadataMap| assert_eq!(head.get(INITIAL).unwrap(), text);
    let trailed = |status: &Status| {
        let value = status.metadata().get_bin(TRAILING).unwrap();
        assert_eq!(value.to_bytes().unwrap(), &binary[..]);
    };
    let mut ask = Request::new(Ask::default());
    with_own(ask.metadata_mut());
    came(soon(way.client().unary(ask)).await.unwrap().metadata());

    let end = Some(End { code: 9, message: "no".into() });
    let mut order = Request::new(Order { sizes: vec![5], end: end.clone(), ..Order::default() });
    with_own(order.metadata_mut());
    let answer = soon(way.client().produce(order)).await.unwrap();
    came(answer.metadata());
    let mut pieces = answer.into_inner();
    soon(pieces.message()).await.unwrap().unwrap();
    trailed(&soon(pieces.message()).await.unwrap_err());

    let mut ask = Request::new(Ask { end, ..Ask::default() });
    with_own(ask.metadata_mut());
    trailed(&soon(way.client().unary(ask)).await.unwrap_err());
}

pub(super) async fn a_call_cancelled_after_it_began_is_over_for_its_callee(way: Way) {
    let (_pieces, wait) = mpsc::unbounded_channel::<Piece>();
    let mut client = way.client();
    tokio::select! {
        ended = client.collect(stream(wait)) => panic!("{ended:?}"),
        () = way.server.begun(1) => {}
    }
    way.server.idle().await;
    large(&way).await;
}

pub(super) async fn a_call_cancelled_after_its_first_answer_is_over_for_its_callee(way: Way) {
    let (orders, mut pieces) = ping_pong(&way).await;
    orders.send(ball(1_000)).unwrap();
    assert_eq!(soon(pieces.message()).await.unwrap().unwrap().body.len(), 1_000);
    // Stock's callee hears of it only when the request is given up as well.
    drop((pieces, orders));
    way.server.idle().await;

    let order = Order { sizes: vec![1_000; 1_000], delay: 50, ..Order::default() };
    let mut pieces = soon(way.client().produce(order)).await.unwrap().into_inner();
    soon(pieces.message()).await.unwrap().unwrap();
    drop(pieces);
    way.server.idle().await;
    large(&way).await;
}

pub(super) async fn a_sleeping_callee_is_waited_for_until_the_deadline_only(way: Way) {
    let began = Instant::now();
    let mut request = Request::new(Ask { delay: 60_000, ..Ask::default() });
    request.set_timeout(DEADLINE);
    late(&soon(way.client().unary(request)).await.unwrap_err());
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    way.server.idle().await;
    large(&way).await;
}

pub(super) async fn a_deadline_ends_a_stream_whose_answer_has_begun(way: Way) {
    // Stock's own clock stops at the answer's head.
    if way.is_stock {
        return;
    }
    let began = Instant::now();
    let (orders, wait) = mpsc::unbounded_channel();
    orders.send(Order { sizes: vec![1], delay: 60_000, ..Order::default() }).unwrap();
    let mut request = Request::new(stream(wait));
    request.set_timeout(DEADLINE);
    let call = async { way.client().ping_pong(request).await?.into_inner().message().await };
    late(&soon(call).await.unwrap_err());
    drop(orders);
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    way.server.idle().await;
    large(&way).await;
}

/// By either side's clock; tonic's own says "cancelled".
fn late(status: &Status) {
    let codes = [Code::DeadlineExceeded, Code::Cancelled];
    assert!(codes.contains(&status.code()), "{status:?}");
}

type Pieces = tonic::Streaming<Piece>;

async fn ping_pong(way: &Way) -> (mpsc::UnboundedSender<Order>, Pieces) {
    let (orders, wait) = mpsc::unbounded_channel();
    let answer = soon(way.client().ping_pong(stream(wait))).await.unwrap();
    (orders, answer.into_inner())
}

fn ball(size: u32) -> Order {
    Order { sizes: vec![size], body: bytes(size), ..Order::default() }
}

fn stream<T: Send + 'static>(
    items: mpsc::UnboundedReceiver<T>,
) -> impl futures_util::Stream<Item = T> + Send + 'static {
    futures_util::stream::unfold(items, |mut items| async move {
        items.recv().await.map(|item| (item, items))
    })
    .boxed()
}
