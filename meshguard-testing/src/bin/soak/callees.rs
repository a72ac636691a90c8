//! A callee of the mesh that restarts on its port.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::http::{HeaderMap, Response};
use meshguard_axum::Mesh;
use meshguard_testing::{DevCa, SvidFiles, svid_files};
use tokio::sync::{oneshot, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, sleep};
use tower::Layer as _;
use tower::util::MapResponse;

use crate::error::SoakError;
use crate::policy::{Version, policy};
use crate::shape::Callee;
use crate::told::Told;

/// How long an instance that was told to finish may take.
pub(crate) const DRAIN: Duration = Duration::from_secs(3);
/// How long a port may be taken by an instance that has ended.
const REBIND: Duration = Duration::from_secs(10);
/// How long what an instance had under way may take to be dealt with, once it is served no more.
const SETTLE: Duration = Duration::from_secs(3);

/// How an instance ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum How {
    /// With everything that it has under way.
    AtOnce,
    /// It finishes what it has, beside its successor.
    Drained,
}

/// A callee, through all of its instances.
pub(crate) struct Restarting {
    callee: Callee,
    files: SvidFiles,
    told: Told,
    version: Version,
    app: Router,
    renewal: bool,
    addr: SocketAddr,
    instance: Instance,
    /// Former instances that are yet to be looked at.
    closing: JoinSet<()>,
}

struct Instance {
    mesh: Mesh,
    stop: watch::Sender<bool>,
    serving: JoinHandle<()>,
}

impl Restarting {
    pub(crate) async fn new(
        callee: Callee,
        ca: &DevCa,
        version: Version,
        app: Router,
        renewal: bool,
    ) -> Result<Self, SoakError> {
        let files = svid_files(ca, &callee.id())?;
        let told = Told::new(callee.name());
        let mesh = mesh(&files, version, &told)?;
        let listener = mesh.listen("127.0.0.1:0").await?;
        let addr = listener.local_addr();
        let instance = serve(mesh, listener, app.clone(), renewal);
        let closing = JoinSet::new();
        Ok(Self { callee, files, told, version, app, renewal, addr, instance, closing })
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        self.addr
    }

    pub(crate) fn change(&mut self, version: Version) -> Result<(), SoakError> {
        self.version = version;
        self.instance.mesh.set_policy(policy(version)?);
        Ok(())
    }

    /// Another certificate and key.
    pub(crate) fn rotate(&self, ca: &DevCa) -> Result<(), SoakError> {
        self.files.rotate(&ca.svid(&self.callee.id())?)?;
        Ok(self.instance.mesh.reload()?)
    }

    /// The next instance takes its place. Returns what tells when the former one has ended.
    pub(crate) async fn restart(&mut self, how: How) -> Result<oneshot::Receiver<()>, SoakError> {
        let next = mesh(&self.files, self.version, &self.told)?;
        match how {
            // The connections go with the task.
            How::AtOnce => self.instance.serving.abort(),
            How::Drained => _ = self.instance.stop.send(true),
        }
        let addr = self.addr;
        let listener = rebind(|| next.listen(addr)).await?;
        let next = serve(next, listener, self.app.clone(), self.renewal);
        let former = std::mem::replace(&mut self.instance, next);
        let (ended, gone) = oneshot::channel();
        self.closing.spawn(close(former, self.told.clone(), ended));
        Ok(gone)
    }

    /// Ends the last instance, and gives what all of them have told.
    pub(crate) async fn finish(mut self) -> Told {
        _ = self.instance.stop.send(true);
        self.closing.spawn(close(self.instance, self.told.clone(), oneshot::channel().0));
        while self.closing.join_next().await.is_some() {}
        self.told
    }
}

/// Waits until what an instance had under way is dealt with, and looks at it.
async fn close(instance: Instance, told: Told, ended: oneshot::Sender<()>) {
    drop(instance.serving.await);
    let _ = ended.send(()); // at the end of a run nobody listens
    let until = Instant::now() + SETTLE;
    while instance.mesh.accepted().open > 0 && Instant::now() < until {
        sleep(Duration::from_millis(10)).await;
    }
    told.close(&instance.mesh);
}

/// A mesh that looks at its files only when it is told to.
pub(crate) fn mesh(files: &SvidFiles, version: Version, told: &Told) -> Result<Mesh, SoakError> {
    let builder = Mesh::builder().svid_files(&files.svid, &files.key, &files.bundle)?;
    let builder = builder.policy(policy(version)?).reload_every(Duration::from_secs(86_400));
    Ok(builder.sink(told.clone()).build()?)
}

fn serve(mesh: Mesh, listener: meshguard_axum::Listener, app: Router, renewal: bool) -> Instance {
    let (stop, mut stopped) = watch::channel(false);
    let stopped = async move {
        drop(stopped.wait_for(|stop| *stop).await);
    };
    let serving = if renewal {
        let serve = meshguard_axum::serve(listener, app).with_graceful_shutdown(stopped, DRAIN);
        tokio::spawn(async { drop(serve.await) })
    } else {
        let deaf = MapResponse::new(mesh.inbound().layer(app), without_renewal);
        let serve = meshguard_axum::serve::serve(listener.into_connections(), deaf);
        let serve = serve.with_graceful_shutdown(stopped, DRAIN);
        tokio::spawn(async { drop(serve.await) })
    };
    Instance { mesh, stop, serving }
}

/// The hint that a session is not known does not leave the callee.
fn without_renewal<B>(mut answer: Response<B>) -> Response<B> {
    let renews = |headers: &HeaderMap| {
        headers.get("meshguard-session").is_some_and(|hint| hint.as_bytes().starts_with(b"renew"))
    };
    if renews(answer.headers()) {
        answer.headers_mut().remove("meshguard-session");
    }
    answer
}

/// Binds a port that a former instance is about to leave.
pub(crate) async fn rebind<T, F>(bind: impl Fn() -> F) -> io::Result<T>
where
    F: Future<Output = io::Result<T>>,
{
    let until = Instant::now() + REBIND;
    loop {
        match bind().await {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && Instant::now() < until => {
                sleep(Duration::from_millis(1)).await;
            }
            bound => return bound,
        }
    }
}
