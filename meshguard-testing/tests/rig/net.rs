//! A way to a callee that can be moved.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::soon;

/// Passes each connection on, to the addresses in turn.
pub struct Balancer {
    pub addr: SocketAddr,
    to: Arc<Mutex<Vec<SocketAddr>>>,
    /// Live connections, by how often the way had been moved or cut when they were made.
    live: watch::Sender<Vec<usize>>,
    /// Cuts the connections that are there when it changes.
    cuts: watch::Sender<usize>,
    task: JoinHandle<()>,
}

impl Balancer {
    pub async fn new(to: Vec<SocketAddr>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let to = Arc::new(Mutex::new(to));
        let (live, cuts) = (watch::Sender::new(vec![0]), watch::Sender::new(0));
        let (turn, all, count) = (AtomicUsize::new(0), Arc::clone(&to), live.clone());
        let cut = cuts.clone();
        let task = tokio::spawn(async move {
            while let Ok((mut near, _)) = listener.accept().await {
                let next = {
                    let all = all.lock().unwrap();
                    all[turn.fetch_add(1, Ordering::Relaxed) % all.len()]
                };
                let mut moves = 0;
                count.send_modify(|live: &mut Vec<usize>| {
                    moves = live.len() - 1;
                    live[moves] += 1;
                });
                let (count, mut cut) = (count.clone(), cut.subscribe());
                tokio::spawn(async move {
                    let passed = async {
                        if let Ok(mut far) = TcpStream::connect(next).await {
                            let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
                        }
                    };
                    tokio::select! {
                        () = passed => {}
                        _ = cut.changed() => {}
                    }
                    let _ = near.shutdown().await;
                    let _ = tokio::io::copy(&mut near, &mut tokio::io::sink()).await;
                    count.send_modify(|live| live[moves] -= 1);
                });
            }
        });
        Self { addr, to, live, cuts, task }
    }

    /// Cuts all connections, in the middle of whatever passes.
    pub fn cut(&self) {
        self.live.send_modify(|live| live.push(0));
        self.cuts.send_modify(|n| *n += 1);
    }

    /// Waits until all who were connected before the last move or cut have noticed that they no longer
    /// are.
    pub async fn deserted(&self) {
        let mut live = self.live.subscribe();
        let gone = |live: &Vec<usize>| live.iter().rev().skip(1).all(|n| *n == 0);
        soon(live.wait_for(gone)).await.unwrap();
    }

    /// Waits until no connection is left.
    pub async fn empty(&self) {
        let mut live = self.live.subscribe();
        soon(live.wait_for(|live| live.iter().all(|n| *n == 0))).await.unwrap();
    }

    /// New connections go there.
    pub fn move_to(&self, to: SocketAddr) {
        *self.to.lock().unwrap() = vec![to];
        self.live.send_modify(|live| live.push(0));
    }
}

impl Drop for Balancer {
    fn drop(&mut self) {
        self.task.abort();
    }
}
