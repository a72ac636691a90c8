//! What is done to the victim, each as hard as one process can.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use axum::body::Body;
use axum::http::{Request, header};
use bytes::Bytes;
use meshguard_axum::tls::Alpn;
use meshguard_axum::{Mesh, Policy, SpiffeId};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tower::ServiceExt as _;

use crate::handshakes::config_of;
use crate::rig::{CALLEE, ca};

const ATTACKER: SpiffeId = SpiffeId::from_static("spiffe://faults.example/attacker");
const NOBODY: SpiffeId = SpiffeId::from_static("spiffe://faults.example/nobody");
const MIB: usize = 1 << 20;
/// Connections that do the same at once.
const AT_ONCE: usize = 16;

#[derive(Clone, Copy, Debug)]
pub enum Attack {
    /// A stranger connects, and says nothing.
    Silent,
    /// A stranger begins handshakes, and does not end them.
    HalfHandshakes,
    /// A peer that policy allows nothing connects again and again, and asks.
    AllowedNothing,
    /// A peer connects again and again, keeps its connections, and reads no GOAWAY.
    Connections,
    /// Streams of endless answers, with no window for them.
    NoWindow,
    /// Long messages that end shortly before their ends, over connections of their own.
    HalfMessages,
    /// Bodies that are known, and end shortly before their ends.
    HalfBodies,
    /// Sessions, one after the other, which are kept.
    Sessions,
}

impl Attack {
    pub const ALL: [Self; 8] = [
        Self::Silent,
        Self::HalfHandshakes,
        Self::AllowedNothing,
        Self::Connections,
        Self::NoWindow,
        Self::HalfMessages,
        Self::HalfBodies,
        Self::Sessions,
    ];

    /// What it may take of the victim's memory, by docs/operations.md, in bytes.
    pub const fn documented(self) -> usize {
        match self {
            Self::Silent => 4096 * 4096,
            Self::HalfHandshakes => 512 * 20 * 1024,
            // Each with its buffers and one stream.
            Self::AllowedNothing | Self::Connections => CONNECTIONS * 100 * 1024,
            // 1,024 send buffers and what waits behind each; and the connections.
            Self::NoWindow => 1024 * (64 + 2 * 16) * 1024 + UNREAD * MIB,
            // Room for all principals; and a window and a record of each stream for each connection.
            Self::HalfMessages => 512 * MIB + HALVES * (MIB + STREAMS * 32 * 1024 + MIB),
            Self::HalfBodies => 64 * MIB + HALVES * 2 * MIB,
            Self::Sessions => 1024 * 16 * 1024,
        }
    }

    /// Begins it on threads of its own: what the attacker computes does not hold up honest callers in
    /// this process, but for the cores that all share.
    pub fn begin(self, addr: SocketAddr) -> GoingOn {
        let reached = Arc::new(AtomicUsize::new(0));
        let mut runtime = Builder::new_multi_thread();
        let runtime = runtime.worker_threads(2).enable_all().build().unwrap();
        let count = Arc::clone(&reached);
        runtime.spawn(async move {
            let _tasks = self.tasks(addr, count).await;
            std::future::pending::<()>().await;
        });
        GoingOn { runtime: Some(runtime), reached, attack: self }
    }

    #[allow(clippy::too_many_lines)] // an arm each
    async fn tasks(self, addr: SocketAddr, reached: Arc<AtomicUsize>) -> JoinSet<()> {
        let mut tasks = JoinSet::new();
        match self {
            Self::Silent | Self::HalfHandshakes => {
                let said: &[u8] = if matches!(self, Self::Silent) { b"" } else { &[22, 3, 1] };
                let most = descriptors() / AT_ONCE;
                for _ in 0..AT_ONCE {
                    let reached = Arc::clone(&reached);
                    tasks.spawn(async move {
                        let mut kept = VecDeque::new();
                        while let Ok(mut tcp) = TcpStream::connect(addr).await {
                            let _ = tcp.write_all(said).await;
                            kept.push_back(tcp);
                            reached.fetch_add(1, Relaxed);
                            if kept.len() > most {
                                kept.pop_front();
                            }
                        }
                    });
                }
            }
            Self::AllowedNothing | Self::Connections => {
                let id = if matches!(self, Self::Connections) { ATTACKER } else { NOBODY };
                let config = Arc::new(config_of(&ca(), &id, b"h2"));
                for _ in 0..AT_ONCE {
                    let (config, reached) = (Arc::clone(&config), Arc::clone(&reached));
                    tasks.spawn(async move {
                        let mut kept = VecDeque::new();
                        loop {
                            kept.extend(asks(addr, &config).await);
                            reached.fetch_add(1, Relaxed);
                            if kept.len() > CONNECTIONS / AT_ONCE {
                                kept.pop_front();
                            }
                        }
                    });
                }
            }
            Self::NoWindow => {
                for _ in 0..UNREAD {
                    let reached = Arc::clone(&reached);
                    tasks.spawn(async move { no_window(addr, &reached).await });
                }
            }
            Self::HalfMessages => {
                for _ in 0..HALVES {
                    half_messages(addr, &mut tasks, &reached).await;
                }
            }
            Self::HalfBodies => {
                for _ in 0..HALVES {
                    half_bodies(addr, &mut tasks, &reached).await;
                }
            }
            Self::Sessions => {
                let reached = Arc::clone(&reached);
                tasks.spawn(async move {
                    let mut kept = Vec::new();
                    loop {
                        let channel = attacker().channel(&format!("https://{addr}"), CALLEE);
                        let channel = channel.unwrap().protocols(Alpn::H2);
                        let request = Request::get("https://localhost/small").body(Body::empty());
                        if channel.clone().oneshot(request.unwrap()).await.is_ok() {
                            reached.fetch_add(1, Relaxed);
                        }
                        kept.push(channel);
                    }
                });
            }
        }
        tasks
    }
}

/// An attack, until it is dropped.
pub struct GoingOn {
    runtime: Option<Runtime>,
    reached: Arc<AtomicUsize>,
    attack: Attack,
}

impl Drop for GoingOn {
    fn drop(&mut self) {
        // An async test may not wait for it.
        self.runtime.take().into_iter().for_each(Runtime::shutdown_background);
    }
}

impl GoingOn {
    /// Whether it has come far enough to be one.
    pub fn is_one(&self) -> bool {
        self.reached.load(Relaxed) >= self.least().1
    }

    /// How far it has come; panics where it was none.
    pub fn reached(&self) -> String {
        let (what, least) = self.least();
        let reached = self.reached.load(Relaxed);
        assert!(reached >= least, "{:?}: {reached} {what}", self.attack);
        format!("{reached} {what}")
    }

    const fn least(&self) -> (&'static str, usize) {
        match self.attack {
            Attack::Silent | Attack::HalfHandshakes => ("connections", 500),
            Attack::AllowedNothing | Attack::Connections => ("connections", 100),
            Attack::NoWindow => ("streams", UNREAD * 100),
            Attack::HalfMessages => ("bytes on their way", HALVES * 3 * MIB),
            Attack::HalfBodies => ("bytes on their way", HALVES * MIB / 2),
            Attack::Sessions => ("sessions", 20),
        }
    }
}

/// Connections that [`Attack::Connections`] keeps.
const CONNECTIONS: usize = 512;
/// Connections of [`Attack::NoWindow`].
const UNREAD: usize = 12;
/// Connections of [`Attack::HalfMessages`] and [`Attack::HalfBodies`].
const HALVES: usize = 4;
/// Streams of each.
const STREAMS: usize = 32;
/// Bytes of each message.
const MESSAGE: usize = 4 * MIB - 64;

/// Connections that a stranger keeps: of as many as a process may have, half.
fn descriptors() -> usize {
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap();
    let open = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
    let soft = open.split_whitespace().nth(3).unwrap().parse().unwrap_or(usize::MAX);
    (soft / 2).min(6000)
}

async fn dial(
    addr: SocketAddr,
    config: &Arc<rustls::ClientConfig>,
) -> std::io::Result<TlsStream<TcpStream>> {
    let tcp = TcpStream::connect(addr).await?;
    let name = ServerName::try_from("localhost").unwrap();
    TlsConnector::from(Arc::clone(config)).connect(name, tcp).await
}

/// Connects, and asks for something.
async fn asks(
    addr: SocketAddr,
    config: &Arc<rustls::ClientConfig>,
) -> Option<TlsStream<TcpStream>> {
    const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    // GET https://h/small: `:method`, `:scheme` and `:path` by index, `:authority` as it is.
    const HEAD: &[u8] = &[0, 0, 14, 1, 5, 0, 0, 0, 1, 0x82, 0x87, 4, 6];
    let mut stream = dial(addr, config).await.ok()?;
    let head = [PREFACE, HEAD, b"/small", &[1, 1, b'h'][..]].concat();
    stream.write_all(&head).await.ok()?;
    stream.flush().await.ok()?;
    // Its first word, so that no more of it are under way than tasks.
    stream.read_exact(&mut [0; 9]).await.ok()?;
    Some(stream)
}

/// Asks for endless answers, whose windows have room for a byte.
async fn no_window(addr: SocketAddr, reached: &AtomicUsize) {
    let config = Arc::new(config_of(&ca(), &ATTACKER, b"h2"));
    let Ok(stream) = dial(addr, &config).await else { return };
    let mut client = h2::client::Builder::new();
    client.initial_window_size(1);
    let Ok((mut sender, connection)) = client.handshake::<_, Bytes>(stream).await else { return };
    let connection = tokio::spawn(connection);
    let mut answers = Vec::new();
    for _ in 0..250 {
        match sender.ready().await {
            Ok(ready) => sender = ready,
            Err(_) => break,
        }
        let request = Request::get("https://localhost/endless").body(()).unwrap();
        match sender.send_request(request, true) {
            Ok((answer, _)) => answers.push(answer),
            Err(_) => break,
        }
        reached.fetch_add(1, Relaxed);
    }
    let _ = connection.await;
}

/// Passes on `most` bytes to the victim, and no more; and all that comes back.
async fn cut_short(
    addr: SocketAddr,
    most: usize,
    tasks: &mut JoinSet<()>,
    reached: &Arc<AtomicUsize>,
) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let here = listener.local_addr().unwrap();
    let reached = Arc::clone(reached);
    tasks.spawn(async move {
        while let Ok((near, _)) = listener.accept().await {
            let Ok(far) = TcpStream::connect(addr).await else { continue };
            let (mut near_in, mut near_out) = near.into_split();
            let (mut far_in, mut far_out) = far.into_split();
            tokio::spawn(async move { tokio::io::copy(&mut far_in, &mut near_out).await });
            let reached = Arc::clone(&reached);
            tokio::spawn(async move {
                let (mut passed, mut buffer) = (0, vec![0; 64 * 1024]);
                while passed < most {
                    match near_in.read(&mut buffer).await {
                        Ok(0) | Err(_) => return,
                        Ok(n) => {
                            if far_out.write_all(&buffer[..n]).await.is_err() {
                                return;
                            }
                            passed += n;
                            reached.fetch_add(n, Relaxed);
                        }
                    }
                }
                // Neither end is closed.
                std::future::pending::<()>().await;
            });
        }
    });
    here
}

/// A channel of the attacker's to the victim, of which only the beginning arrives.
async fn channel(
    addr: SocketAddr,
    most: usize,
    tasks: &mut JoinSet<()>,
    reached: &Arc<AtomicUsize>,
) -> meshguard_axum::Channel {
    let here = cut_short(addr, most, tasks, reached).await;
    attacker().channel(&format!("https://{here}"), CALLEE).unwrap().protocols(Alpn::H2)
}

fn attacker() -> Mesh {
    let policy: Policy = super::victim::POLICY.parse().unwrap();
    Mesh::dev(ATTACKER).unwrap().policy(policy).build().unwrap()
}

async fn half_messages(addr: SocketAddr, tasks: &mut JoinSet<()>, reached: &Arc<AtomicUsize>) {
    let channel = channel(addr, STREAMS * MESSAGE * 9 / 10, tasks, reached).await;
    let mut message = vec![0; 5 + MESSAGE];
    message[1..5].copy_from_slice(&u32::try_from(MESSAGE).unwrap().to_be_bytes());
    let message = Bytes::from(message);
    for _ in 0..STREAMS {
        let (channel, message) = (channel.clone(), message.clone());
        tasks.spawn(async move {
            let pieces = futures_util::stream::iter([Ok::<_, std::convert::Infallible>(message)]);
            let mut request = Request::post("https://localhost/a.B/C");
            request = request.header(header::CONTENT_TYPE, "application/grpc");
            let _ = channel.oneshot(request.body(Body::from_stream(pieces)).unwrap()).await;
            std::future::pending::<()>().await;
        });
    }
}

async fn half_bodies(addr: SocketAddr, tasks: &mut JoinSet<()>, reached: &Arc<AtomicUsize>) {
    const LENGTH: usize = 64 * 1024;
    let channel = channel(addr, STREAMS * LENGTH * 9 / 10, tasks, reached).await;
    for _ in 0..8 * STREAMS {
        let channel = channel.clone();
        tasks.spawn(async move {
            let request = Request::post("https://localhost/sink").body(Body::from(vec![7; LENGTH]));
            let _ = channel.oneshot(request.unwrap()).await;
            std::future::pending::<()>().await;
        });
    }
}
