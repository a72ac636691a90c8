//! A server on a thread of its own, whose CPU time is thus all the server's.

use std::net::SocketAddr;
use std::sync::mpsc;
use std::thread::{self, JoinHandle};

use tokio::net::TcpListener;
use tokio::sync::oneshot;

use crate::app::router;
use crate::variant::CALLEE;
use crate::{Error, ThreadCpu, Variant, plain};

/// A running server; it ends when this is dropped.
#[derive(Debug)]
pub struct Server {
    /// Where it listens.
    pub addr: SocketAddr,
    /// Its thread's CPU time.
    pub cpu: ThreadCpu,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Starts a server as `variant` says.
    ///
    /// # Errors
    /// Where it cannot listen, or there are no credentials.
    pub fn start(variant: Variant) -> Result<Self, Error> {
        Self::start_within(variant, |serve| serve())
    }

    /// As [`start`](Self::start); `around` runs on the server's thread and calls what it is
    /// given, which serves: so it can measure all of it.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub fn start_within(
        variant: Variant,
        around: impl FnOnce(&mut dyn FnMut()) + Send + 'static,
    ) -> Result<Self, Error> {
        let (stop, stopped) = oneshot::channel();
        let (ready, started) = mpsc::channel();
        // Named, so that a profiler tells the servers from their callers.
        let named = thread::Builder::new().name(format!("serve {variant}"));
        let thread = named.spawn(move || {
            let mut stopped = Some(stopped);
            around(&mut || {
                let Some(stopped) = stopped.take() else { return };
                if let Err(error) = run(variant, stopped, &ready) {
                    drop(ready.send(Err(error)));
                }
            });
        })?;
        let (addr, cpu) = started.recv()??;
        Ok(Self { addr, cpu, stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

type Ready = mpsc::Sender<Result<(SocketAddr, ThreadCpu), Error>>;

fn run(variant: Variant, stopped: oneshot::Receiver<()>, ready: &Ready) -> Result<(), Error> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let socket = TcpListener::bind("127.0.0.1:0").await?;
        let addr = socket.local_addr()?;
        let cpu = ThreadCpu::current()?;
        tokio::select! {
            _ = stopped => Ok(()),
            ended = async {
                ready.send(Ok((addr, cpu)))?;
                serve(variant, socket).await
            } => ended,
        }
    })
}

async fn serve(variant: Variant, socket: TcpListener) -> Result<(), Error> {
    if variant == Variant::Plain {
        return plain::serve(socket, router()).await;
    }
    let listener = variant.mesh(CALLEE)?.adopt(socket)?;
    if variant == Variant::Loop {
        meshguard_tower::serve::serve(listener.into_connections(), router()).await?;
    } else {
        listener.serve(router()).await?;
    }
    Ok(())
}
