//! hyper's server, with a drain.

use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;

use axum::Router;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use rustls::ServerConfig;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use super::Identity;
use crate::callees::{DRAIN, How, rebind};
use crate::error::SoakError;

/// One instance of a callee.
pub(crate) struct Server {
    config: Arc<ServerConfig>,
    app: Router,
    addr: SocketAddr,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Server {
    pub(crate) async fn new(identity: &Identity, app: Router) -> Result<Self, SoakError> {
        let config = identity.server()?;
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let addr = listener.local_addr()?;
        let (stop, task) = start(listener, &config, &app);
        Ok(Self { config, app, addr, stop, task })
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The next instance takes its place.
    pub(crate) async fn restart(&mut self, how: How) -> Result<(), SoakError> {
        match how {
            // The connections go with the task.
            How::AtOnce => self.task.abort(),
            How::Drained => _ = self.stop.send(true),
        }
        let listener = rebind(|| TcpListener::bind(self.addr)).await?;
        (self.stop, self.task) = start(listener, &self.config, &self.app);
        Ok(())
    }
}

fn start(
    listener: TcpListener,
    config: &Arc<ServerConfig>,
    app: &Router,
) -> (watch::Sender<bool>, JoinHandle<()>) {
    let (stop, stopped) = watch::channel(false);
    let acceptor = TlsAcceptor::from(Arc::clone(config));
    (stop, tokio::spawn(serve(listener, acceptor, app.clone(), stopped)))
}

async fn serve(
    listener: TcpListener,
    acceptor: TlsAcceptor,
    app: Router,
    mut stop: watch::Receiver<bool>,
) {
    let mut live = JoinSet::new();
    loop {
        tokio::select! {
            () = stopped(&mut stop) => break,
            accepted = listener.accept() => {
                if let Ok((tcp, _)) = accepted {
                    live.spawn(connection(tcp, acceptor.clone(), app.clone(), stop.clone()));
                }
            }
            Some(_) = live.join_next(), if !live.is_empty() => {}
        }
    }
    drop(listener);
    drop(timeout(DRAIN, async { while live.join_next().await.is_some() {} }).await);
}

async fn stopped(stop: &mut watch::Receiver<bool>) {
    drop(stop.wait_for(|stop| *stop).await);
}

async fn connection(
    tcp: TcpStream,
    acceptor: TlsAcceptor,
    app: Router,
    mut stop: watch::Receiver<bool>,
) {
    drop(tcp.set_nodelay(true));
    let Ok(stream) = acceptor.accept(tcp).await else { return };
    let mut http = auto::Builder::new(TokioExecutor::new());
    http.http2().timer(TokioTimer::new());
    http.http1().timer(TokioTimer::new());
    let service = TowerToHyperService::new(app);
    let mut serving = pin!(http.serve_connection(TokioIo::new(stream), service));
    tokio::select! {
        // How it ended is for its caller to see.
        _ = serving.as_mut() => return,
        () = stopped(&mut stop) => serving.as_mut().graceful_shutdown(),
    }
    drop(serving.await);
}
