//! Runs one connection's codec, and ends it on order once all is written that was handed to it.

use std::future::poll_fn;
use std::task::{Context, Poll};

use tokio::sync::{mpsc, oneshot};

use super::io::HopIo;

/// Gives a connection orders. Each exchange gives at most two, so the channel needs no bound of
/// its own.
#[derive(Clone, Debug)]
pub(super) struct Control(mpsc::UnboundedSender<Order>);

pub(super) type Orders = mpsc::UnboundedReceiver<Order>;

pub(super) enum Order {
    /// Tell when all is written.
    Flush(oneshot::Sender<()>),
    /// Close when all is written.
    Close,
    /// Leave the codec, write this and close.
    Raw(Vec<u8>),
}

impl Control {
    pub(super) fn new() -> (Self, Orders) {
        let (tx, rx) = mpsc::unbounded_channel();
        (Self(tx), rx)
    }

    /// Waits until all that the codec can send now is written, or the connection is over.
    pub(super) async fn flushed(&self) {
        let (tx, rx) = oneshot::channel();
        if self.0.send(Order::Flush(tx)).is_ok() {
            let _ = rx.await; // an error: the connection is over
        }
    }

    /// Closes the connection when all is written.
    pub(super) fn close(&self) {
        let _ = self.0.send(Order::Close); // an error: it is closed already
    }

    /// Writes `raw` in place of whatever the codec would, and closes.
    pub(super) fn raw(&self, raw: Vec<u8>) {
        let _ = self.0.send(Order::Raw(raw)); // an error: it is closed already
    }
}

/// Drives `poll`, a codec that is ready when its connection is over, until then or until ordered.
pub(super) async fn drive(
    mut poll: impl FnMut(&mut Context<'_>) -> Poll<()>,
    io: HopIo,
    mut orders: Orders,
) {
    let mut waiting = Waiting::default();
    let end = poll_fn(|cx| {
        loop {
            if poll(cx).is_ready() {
                return Poll::Ready(None);
            }
            // The codec is polled once more after an order came: only then has it seen all that
            // was handed to it before.
            match orders.poll_recv(cx) {
                Poll::Ready(Some(Order::Raw(raw))) => return Poll::Ready(Some(raw)),
                Poll::Ready(Some(Order::Close)) => waiting.close = true,
                Poll::Ready(Some(Order::Flush(done))) => waiting.flushes.push(done),
                _ if io.is_blocked() => return Poll::Pending,
                _ if waiting.settle() => return Poll::Ready(Some(Vec::new())),
                _ => return Poll::Pending,
            }
        }
    })
    .await;
    drop(poll);
    if let Some(raw) = end {
        io.close(&raw).await;
    }
}

#[derive(Default)]
struct Waiting {
    flushes: Vec<oneshot::Sender<()>>,
    close: bool,
}

impl Waiting {
    /// All is written: tells those who wait. Whether to close.
    fn settle(&mut self) -> bool {
        for done in self.flushes.drain(..) {
            let _ = done.send(()); // an error: nobody waits any more
        }
        self.close
    }
}

#[cfg(test)]
mod tests {
    use std::pin::Pin;

    use tokio::io::{AsyncReadExt, AsyncWrite, DuplexStream, duplex};

    use super::*;

    const DATA: &[u8] = &[7; 100];
    /// Far less than the data: the codec is blocked until the far end reads.
    const ROOM: usize = 16;

    /// A connection whose codec has `DATA` to write, its orders, and its far end.
    fn connection() -> (impl Future<Output = ()>, Control, DuplexStream) {
        let (near, far) = duplex(ROOM);
        let (control, orders) = Control::new();
        let io = HopIo::new(near);
        let (mut codec_io, mut left) = (io.clone(), DATA);
        let codec = move |cx: &mut Context<'_>| {
            while !left.is_empty() {
                let written = std::task::ready!(Pin::new(&mut codec_io).poll_write(cx, left));
                left = &left[written.unwrap()..];
            }
            Poll::Pending
        };
        (drive(codec, io, orders), control, far)
    }

    async fn read(mut far: DuplexStream) -> Vec<u8> {
        let mut got = Vec::new();
        far.read_to_end(&mut got).await.unwrap();
        got
    }

    #[tokio::test]
    async fn a_connection_closes_when_all_is_written() {
        let (driven, control, far) = connection();
        control.close();
        assert_eq!(tokio::join!(driven, read(far)).1, DATA);
    }

    #[tokio::test]
    async fn a_flush_is_done_when_all_is_written() {
        let (driven, control, mut far) = connection();
        let asked = async move {
            let flushed = control.flushed();
            tokio::pin!(flushed);
            let mut got = Vec::new();
            while got.len() < DATA.len() {
                // Whatever is unread beyond the pipe's room is not written yet.
                let all_written = DATA.len() - got.len() <= ROOM;
                tokio::select! {
                    biased;
                    () = &mut flushed, if !all_written => panic!("flushed at {}", got.len()),
                    n = far.read_buf(&mut got) => assert!(n.unwrap() > 0),
                }
            }
            flushed.await;
            control.close();
        };
        tokio::join!(driven, asked);
    }

    #[tokio::test]
    async fn raw_bytes_take_the_place_of_the_codecs() {
        let (driven, control, far) = connection();
        control.raw(b"raw".to_vec());
        let got = tokio::join!(driven, read(far)).1;
        assert_eq!(got, [&DATA[..ROOM], b"raw"].concat());
    }
}
