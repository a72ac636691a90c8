//! A guarded service and a stock one with the same application, and bytes to send them.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use axum::routing::any;
use http::{HeaderMap, HeaderName};
use http_body_util::{BodyExt as _, Full};
use meshguard_axum::{DecisionId, Mesh};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::rig::tell::Told;
use crate::rig::{self, CALLEE, CALLER, soon};

/// What a handler was called with.
#[derive(Clone, Debug)]
pub(crate) struct Ran {
    /// The handler's name.
    pub(crate) handler: &'static str,
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
}

/// The application. Clones are one.
#[derive(Clone, Default)]
pub(crate) struct App(Arc<Mutex<Vec<Ran>>>);

impl App {
    fn router(&self) -> Router {
        let handler = |name: &'static str| {
            any(move |State(app): State<Self>, request: Request| async move {
                let (path, headers) = (request.uri().path().to_owned(), request.headers().clone());
                app.0.lock().unwrap().push(Ran { handler: name, path, headers });
                name
            })
        };
        Router::new()
            .route("/admin", handler("admin"))
            .route("/admin/{*rest}", handler("admin"))
            .route("/public/{*rest}", handler("public"))
            .route("/trailers", any(Self::trailers))
            .fallback(handler("fallback"))
            .with_state(self.clone())
    }

    /// Reads the request, notes its trailers in place of headers, and sends them back.
    async fn trailers(State(app): State<Self>, request: Request) -> Response {
        let path = request.uri().path().to_owned();
        let body = request.into_body().collect().await.unwrap();
        let headers = body.trailers().cloned().unwrap_or_default();
        app.0.lock().unwrap().push(Ran { handler: "trailers", path, headers });
        let said = Full::new(body.to_bytes()).with_trailers(async { Some(Ok(claims())) });
        Response::new(Body::new(said))
    }

    /// The handlers that were called since this was asked last.
    pub(crate) fn ran(&self) -> Vec<Ran> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

/// Trailers of which all but the last claim what no message proves.
pub(crate) fn claims() -> HeaderMap {
    let named = ["x-spiffe-id", "meshguard-peer", "client-cert", "x-sum"];
    named.into_iter().map(|name| (HeaderName::from_static(name), "7".parse().unwrap())).collect()
}

/// A service under the mesh whose policy allows everything, without proof.
pub(crate) struct Guarded {
    pub(crate) mesh: Mesh,
    pub(crate) app: App,
    pub(crate) addr: SocketAddr,
}

const OFF: &str = "[[delivery]]\nmode = \"off\"\n";

impl Guarded {
    pub(crate) async fn new() -> Self {
        Self::with(&rig::policy(OFF)).await
    }

    pub(crate) async fn with(policy: &str) -> Self {
        Self::of(rig::mesh(CALLEE, policy, &Told::default())).await
    }

    pub(crate) async fn of(mesh: Mesh) -> Self {
        let app = App::default();
        let listener = mesh.listen("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr();
        tokio::spawn(meshguard_axum::serve(listener, app.router()).into_future());
        Self { mesh, app, addr }
    }

    /// A connection of [`CALLER`]'s.
    pub(crate) async fn connect(&self, alpn: &str) -> TlsStream<TcpStream> {
        let svid = rig::ca().svid(&CALLER).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(certificates(rig::ca().bundle_pem()).remove(0)).unwrap();
        let key = PrivateKeyDer::from_pem_slice(svid.key_pem().as_bytes()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_client_auth_cert(certificates(svid.cert_pem()), key)
            .unwrap();
        config.alpn_protocols = vec![alpn.as_bytes().to_vec()];
        let tcp = TcpStream::connect(self.addr).await.unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        soon(TlsConnector::from(Arc::new(config)).connect(name, tcp)).await.unwrap()
    }

    /// The answer to these bytes of HTTP/1.1.
    pub(crate) async fn send(&self, bytes: &[u8]) -> Answer {
        exchange(self.connect("http/1.1").await, bytes).await
    }

    /// What stood behind a refusal, by the number that its caller was told.
    pub(crate) fn reason(&self, number: &str) -> String {
        let id = DecisionId::parse(number).expect("32 hexadecimal digits");
        self.mesh.explain(id).expect("it is kept").reason
    }

    /// That it was refused with this status and reason, and nobody ran.
    pub(crate) fn refused(&self, answer: &Answer, status: u16, reason: &str, what: &str) {
        assert_eq!(answer.status, status, "{what}: {answer:?}");
        let number = answer.header("meshguard-decision");
        let number = number.unwrap_or_else(|| panic!("{what}: no number in {answer:?}"));
        assert_eq!(self.reason(number), reason, "{what}");
        let ran = self.app.ran();
        assert!(ran.is_empty(), "{what}: {ran:?}");
    }
}

fn certificates(pem: &str) -> Vec<CertificateDer<'static>> {
    CertificateDer::pem_slice_iter(pem.as_bytes()).collect::<Result<_, _>>().unwrap()
}

/// axum as it is, with the same application.
pub(crate) struct Stock {
    pub(crate) app: App,
    addr: SocketAddr,
}

impl Stock {
    pub(crate) async fn new() -> Self {
        let app = App::default();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        tokio::spawn(axum::serve(listener, app.router()).into_future());
        Self { app, addr }
    }

    pub(crate) async fn send(&self, bytes: &[u8]) -> Answer {
        exchange(TcpStream::connect(self.addr).await.unwrap(), bytes).await
    }
}

/// The first answer, of all that came until the connection's end.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    headers: Vec<(String, String)>,
    /// Behind the first head.
    pub(crate) rest: String,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, value)| &**value)
    }
}

async fn exchange(mut io: impl AsyncRead + AsyncWrite + Unpin, bytes: &[u8]) -> Answer {
    io.write_all(bytes).await.unwrap();
    io.flush().await.unwrap();
    let mut all = Vec::new();
    // A peer that has closed while we were still writing resets the connection: what came stands.
    let _ = soon(io.read_to_end(&mut all)).await;
    let text = String::from_utf8_lossy(&all).into_owned();
    let Some((head, rest)) = text.split_once("\r\n\r\n") else {
        panic!("no answer to {}: {text:?}", bytes.escape_ascii())
    };
    let mut lines = head.lines();
    let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
    let headers = lines.filter_map(|l| l.split_once(": "));
    let headers = headers.map(|(n, v)| (n.to_ascii_lowercase(), v.to_owned())).collect();
    Answer { status, headers, rest: rest.to_owned() }
}

/// A request of HTTP/1.1 after which the connection is closed.
pub(crate) fn get(target: &str) -> Vec<u8> {
    request("GET", target, &["Host: localhost"])
}

pub(crate) fn request(method: &str, target: &str, headers: &[&str]) -> Vec<u8> {
    let headers: String = headers.iter().map(|header| format!("{header}\r\n")).collect();
    format!("{method} {target} HTTP/1.1\r\n{headers}Connection: close\r\n\r\n").into_bytes()
}
