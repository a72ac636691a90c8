//! Which way a call goes, and which call it is.

use std::fmt;

/// A way between two services.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(in crate::shop) enum Lane {
    /// The shopper to the gateway: no hop.
    Front,
    /// The gateway to orders, over HTTP/2.
    H2,
    /// The gateway to orders, over HTTP/1.1.
    H1,
    /// Orders to payments, gRPC.
    Grpc,
    /// The branch offices to orders: no hop.
    Branch,
    /// Batch to orders: no hop. So does whoever has its credential.
    Batch,
    /// The intern to orders: no hop.
    Intern,
}

impl Lane {
    pub(in crate::shop) const ALL: [Self; 7] =
        [Self::Front, Self::H2, Self::H1, Self::Grpc, Self::Branch, Self::Batch, Self::Intern];

    pub(in crate::shop) fn index(self) -> usize {
        self as usize
    }

    /// What table and report call it.
    pub(in crate::shop) fn edge(self) -> &'static str {
        match self {
            Self::Front => "shopper → gateway",
            Self::H2 => "gateway → orders   h2",
            Self::H1 => "gateway → orders   http/1.1",
            Self::Grpc => "orders  → payments gRPC",
            Self::Branch => "branches → orders",
            Self::Batch => "batch   → orders",
            Self::Intern => "intern  → orders",
        }
    }

    /// How it is called in short: the last segment of its hop's SPIFFE ID, and the first of
    /// the names of its orders.
    pub(in crate::shop) fn short(self) -> &'static str {
        match self {
            Self::Front => "front",
            Self::H2 => "h2",
            Self::H1 => "h1",
            Self::Grpc => "grpc",
            Self::Branch => "branch",
            Self::Batch => "batch",
            Self::Intern => "intern",
        }
    }

    /// How an order comes to orders: its name says.
    pub(in crate::shop) fn of_order(order: &str) -> Self {
        let prefix = order.split('-').next().unwrap_or_default();
        let lane = Self::ALL.into_iter().find(|lane| lane.short() == prefix);
        lane.unwrap_or(Self::H2)
    }
}

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(in crate::shop) enum Op {
    /// `PUT /orders/{order}`: charged.
    Order,
    /// `POST /lines/{order}`: an upload, settled as a client stream.
    Lines,
    /// `GET /invoice/{order}`: a download.
    Invoice,
    /// `GET /events/{order}`: watched as a server stream.
    Events,
    /// gRPC, unary.
    Charge,
    /// gRPC, client stream.
    Settle,
    /// gRPC, server stream.
    Watch,
}

impl Op {
    /// How its path begins.
    pub(in crate::shop) fn path(self) -> &'static str {
        match self {
            Self::Order => "/orders/",
            Self::Lines => "/lines/",
            Self::Invoice => "/invoice/",
            Self::Events => "/events/",
            Self::Charge => "/shop.v1.Payments/Charge",
            Self::Settle => "/shop.v1.Payments/Settle",
            Self::Watch => "/shop.v1.Payments/Watch",
        }
    }
}

/// One call, known by what it is about.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(in crate::shop) struct Key {
    pub(in crate::shop) lane: Lane,
    pub(in crate::shop) op: Op,
    pub(in crate::shop) order: String,
}

impl Key {
    pub(in crate::shop) fn new(lane: Lane, op: Op, order: &str) -> Self {
        Self { lane, op, order: order.to_owned() }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} of {} ({})", self.op, self.order, self.lane.short())
    }
}
