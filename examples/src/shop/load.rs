//! Ordinary load: shoppers who place orders, upload lines, read invoices and watch events.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;

use super::calls::{Ask, Caller};
use super::clients::HttpClient;
use super::goods;
use super::rng::Rng;
use super::truth::{Lane, Op, Truth};

/// Shoppers at a time, on each of the two ways that the gateway has to orders.
const SHOPPERS: u64 = 6;
/// A shopper waits for the gateway longer than that does for orders.
const PATIENCE: Duration = Duration::from_secs(20);
/// The version that a new order has.
const VERSION: &str = "\"v0\"";

/// Shoppers at work.
#[derive(Debug)]
pub(super) struct Load {
    shoppers: JoinSet<()>,
    stop: watch::Sender<bool>,
}

impl Load {
    pub(super) fn start(client: &HttpClient, truth: &Arc<Truth>, seed: u64) -> Self {
        let stop = watch::Sender::new(false);
        let mut shoppers = JoinSet::new();
        for lane in [Lane::H2, Lane::H1] {
            let orders = Arc::new(AtomicU64::new(1));
            for n in 0..SHOPPERS {
                let (client, truth) = (client.clone(), Arc::clone(truth));
                let caller = Caller { lane: Lane::Front, client, truth, patience: PATIENCE };
                let rng = Rng::new(seed, (lane.index() as u64) << 32 | n);
                shoppers.spawn(shop(caller, lane, Arc::clone(&orders), rng, stop.subscribe()));
            }
        }
        Self { shoppers, stop }
    }

    /// Lets every shopper finish.
    pub(super) async fn stop(mut self) {
        self.stop.send_replace(true);
        while self.shoppers.join_next().await.is_some() {}
    }
}

async fn shop(
    caller: Caller,
    lane: Lane,
    orders: Arc<AtomicU64>,
    mut rng: Rng,
    stop: watch::Receiver<bool>,
) {
    while !*stop.borrow() {
        let order = format!("{}-{:06}", lane.short(), orders.fetch_add(1, Ordering::Relaxed));
        // The books have it, however it ends.
        drop(caller.call(ask(&order, rng.next())).await);
        tokio::time::sleep(Duration::from_micros(rng.range(2_000, 10_000))).await;
    }
}

fn ask(order: &str, dice: u64) -> Ask {
    let order = order.to_owned();
    let ask = |op, if_match: Option<&str>, body| Ask {
        op,
        order: order.clone(),
        if_match: if_match.map(ToOwned::to_owned),
        range: None,
        body,
    };
    match dice % 4 {
        0 => {
            let text = serde_json::to_vec(&goods::order(&order)).unwrap_or_default();
            ask(Op::Order, Some(VERSION), vec![text.into()])
        }
        1 => {
            let text = goods::lines_text(&goods::lines(&order));
            let pieces = text.chunks(goods::PIECE).map(|p| text.slice_ref(p)).collect();
            ask(Op::Lines, None, pieces)
        }
        2 => ask(Op::Invoice, None, Vec::new()),
        _ => ask(Op::Events, None, Vec::new()),
    }
}
