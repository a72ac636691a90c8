//! The inbound layer with a caller that has a session, and says what it likes in it.

mod bodies;
mod early;
mod proofs;

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response};
use http_body_util::channel::{Channel, Sender};
use http_body_util::{BodyExt as _, Empty};
use meshguard_core::delivery::base::RequestHead;
use meshguard_core::delivery::field::{Body, RequestField, put_proof};
use meshguard_core::delivery::{Counts, MESSAGE};
use meshguard_core::ledger::Entry;
use meshguard_core::{Peer, Policy, SpiffeId};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use super::{RequestBody, ResponseBody};
use crate::clock::now;
use crate::connection::{Connection, Ends, Protocol};
use crate::dev::shared;
use crate::error::BoxError;
use crate::ledger::Ledger;
use crate::listener::Standing;
use crate::mesh::Mesh;
use crate::observe::Edges;
use crate::rig::credentials;
use crate::session::{ClientSession, Opening};
use crate::tls::TlsContext;

pub(super) const DOMAIN: &str = "inbound.example";

pub(super) fn id(name: &str) -> SpiffeId {
    format!("spiffe://{DOMAIN}/{name}").parse().unwrap()
}

/// Every peer but `denied` may ask for `/orders`.
pub(super) fn policy(more: &str) -> Policy {
    let text = format!(
        "mesh = '{DOMAIN}'\nversion = 1\nhops = ['hop']\n[peers]\nhop = 'spiffe://{DOMAIN}/hop'\n\
         denied = 'spiffe://{DOMAIN}/denied'\n\
         callers = 'spiffe://{DOMAIN}/*'\n[[allow]]\nname = 'orders'\nfrom = ['callers']\n\
         http = ['* /orders']\n[[deny]]\nname = 'not-these'\nfrom = ['denied']\n{more}"
    );
    text.parse().unwrap()
}

/// A service that reads each body and answers with nothing.
pub(super) struct Callee {
    pub(super) mesh: Mesh,
    pub(super) ledger: Ledger,
}

pub(super) type Piecewise = Channel<Bytes, BoxError>;
pub(super) type Answered = Response<ResponseBody<Empty<Bytes>>>;

impl Callee {
    pub(super) fn new(more: &str) -> Self {
        let ledger = Ledger::memory().unwrap();
        let builder = Mesh::dev(id("orders")).unwrap().policy(policy(more));
        Self { mesh: builder.ledger(ledger.clone()).build().unwrap(), ledger }
    }

    /// The answer to one request.
    pub(super) async fn ask(&self, request: Request<Piecewise>) -> Answered {
        let service = tower::service_fn(|request: Request<RequestBody<Piecewise>>| async {
            // What fails in it is the layer's to tell.
            let _ = request.into_body().collect().await;
            Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new()))
        });
        let inbound = tower_layer::Layer::layer(&self.mesh.inbound(), service);
        inbound.oneshot(request).await.unwrap()
    }

    /// What the ledger has of each request that came, in words.
    pub(super) fn received(&self) -> Vec<String> {
        self.ledger.flush_blocking().unwrap();
        let entries = self.ledger.entries().unwrap().map(Result::unwrap);
        entries
            .filter_map(|entry| match entry.entry() {
                Entry::Received(r) => Some(format!(
                    "{:?} {} bytes, digest {}, {}",
                    r.end,
                    r.request_bytes,
                    r.digest.is_some(),
                    r.failure.unwrap_or("whole")
                )),
                _ => None,
            })
            .collect()
    }
}

pub(super) fn connection(peer: &SpiffeId) -> Connection {
    let at = SocketAddr::from(([127, 0, 0, 1], 1));
    let peer = Peer::new(peer.clone(), [0; 32], now().wall + Duration::from_secs(3600));
    let ends = Ends { remote: at, local: at, server_name: None };
    Connection::new(1, peer, ends, Protocol::H2, Standing::Caller, CancellationToken::new())
}

/// A caller, its own connection, and its session.
pub(super) struct Caller {
    pub(super) connection: Connection,
    session: ClientSession,
    seq: u64,
}

impl Caller {
    pub(super) fn new(callee: &Callee, name: &str) -> Self {
        let (ca, who) = (shared(DOMAIN).unwrap(), id(name));
        let svid = ca.svid(&who).unwrap();
        let tls = TlsContext::new(credentials(&ca, &svid, None)).unwrap();
        let orders = id("orders");
        let mut opening =
            Opening::new(&tls, &orders, name.into(), [2; 32], MESSAGE, false, None).unwrap();
        let (connection, mesh) = (connection(&who), &callee.mesh);
        let post = |sid, body: &[u8]| {
            let (policy, fresh) = (mesh.policy(), || mesh.fresh_sid());
            let outer = connection.peer();
            let step = mesh.sessions().handshake(sid, fresh, outer, &policy, body, now());
            step.map_err(|(refusal, _)| refusal).unwrap()
        };
        let first = post(None, &opening.next(None).unwrap());
        opening.take(&first.answer).unwrap();
        let second = post(Some(first.sid), &opening.next(Some(&first.sid)).unwrap());
        let said = opening.take(&second.answer).unwrap().unwrap();
        let ended = Arc::<std::sync::Mutex<Counts>>::default();
        let edges = Edges::default();
        let session = opening.finish(first.sid, &said, now(), ended, &edges).unwrap();
        Self { connection, session, seq: 0 }
    }

    /// A request whose head is proved, over the caller's own connection, and what sends its body.
    pub(super) fn head(
        &mut self,
        headers: &[(&'static str, &'static str)],
        body: &Body,
    ) -> (Sender<Bytes, BoxError>, Request<Piecewise>) {
        self.seq += 1;
        let headers: HashMap<_, _> = headers.iter().copied().collect();
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.insert(name, HeaderValue::from_static(value));
        }
        let (mut field, mut base) = (Vec::new(), Vec::new());
        let session = &self.session;
        RequestField::write(&mut field, &session.sid, (self.seq, 0, 1), &[], body, None, None);
        let (method, authority) = (Method::POST, "orders.example");
        let head =
            RequestHead { method: &method, authority, path: "/orders", query: "", headers: &map };
        head.write(&session.cover, &field, &mut base);
        put_proof(&mut field, &session.keys.request_head.prove(&base));
        map.insert("meshguard", HeaderValue::from_bytes(&field).unwrap());
        let (sender, mut request) = plain(&self.connection);
        *request.headers_mut() = map;
        (sender, request)
    }
}

/// A request without proof, and what sends its body.
pub(super) fn plain(connection: &Connection) -> (Sender<Bytes, BoxError>, Request<Piecewise>) {
    let (sender, body) = Piecewise::new(8);
    let request = Request::post("https://orders.example/orders").extension(connection.clone());
    (sender, request.body(body).unwrap())
}
