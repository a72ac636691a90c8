//! The servers of a shop, and the word to stop them.

use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;

/// How long services may take to finish what they have.
const DRAIN: Duration = Duration::from_secs(5);

/// The servers of a shop, and the word to stop them.
#[derive(Debug)]
pub(super) struct Servers {
    pub(super) tasks: JoinSet<()>,
    stop: watch::Sender<bool>,
}

impl Servers {
    pub(super) fn new() -> Self {
        Self { tasks: JoinSet::new(), stop: watch::Sender::new(false) }
    }

    pub(super) fn serve<S, B>(&mut self, serve: meshguard_axum::serve::Serve<S>)
    where
        S: tower::Service<http::Request<hyper::body::Incoming>, Response = http::Response<B>>
            + Clone
            + Send
            + 'static,
        S::Future: Send + 'static,
        S::Error: Into<meshguard_axum::BoxError> + Send,
        B: axum::body::HttpBody + Send + 'static,
        B::Data: Send,
        B::Error: Into<meshguard_axum::BoxError>,
    {
        let mut stop = self.stop.subscribe();
        let stopped = async move { drop(stop.wait_for(|stop| *stop).await) };
        let serving = serve.with_graceful_shutdown(stopped, DRAIN).into_future();
        // How a server ended is for its callers to notice.
        self.tasks.spawn(async move { drop(serving.await) });
    }

    /// Lets every server finish what it has.
    pub(super) async fn drain(mut self) {
        self.stop.send_replace(true);
        while self.tasks.join_next().await.is_some() {}
    }
}
