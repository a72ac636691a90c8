//! One application behind the stock stack and behind the mesh, in both versions and both suites.

use axum::Router;
use axum::body::Body;
use axum::http::{Request, Response};
use bytes::Bytes;
use http_body_util::BodyExt as _;
use http_body_util::combinators::UnsyncBoxBody;
use meshguard_axum::tls::Alpn;
use meshguard_axum::{BoxError, Channel, Mesh};
use meshguard_testing::Protocol;
use tower::ServiceExt as _;

use crate::rig::tell::Told;
use crate::rig::{CALLEE, CALLER, MAC, SEALED, mesh, policy, soon, stock};

/// A body of either stack.
pub type AnyBody = UnsyncBoxBody<Bytes, BoxError>;

/// How the application is reached.
pub enum Way {
    Stock(stock::Client),
    Ours(Box<Ours>),
}

/// Through the mesh, directly.
pub struct Ours {
    pub name: String,
    pub caller: Mesh,
    pub callee: Mesh,
    pub channel: Channel,
    pub at_caller: Told,
    pub at_callee: Told,
}

impl Ours {
    pub async fn new(router: Router, delivery: &str, alpn: Alpn) -> Self {
        let (at_caller, at_callee) = (Told::default(), Told::default());
        let caller = mesh(CALLER, &policy(delivery), &at_caller);
        let callee = mesh(CALLEE, &policy(delivery), &at_callee);
        let listener = callee.listen("127.0.0.1:0").await.unwrap();
        let uri = format!("https://{}", listener.local_addr());
        tokio::spawn(meshguard_axum::serve(listener, router).into_future());
        let channel = caller.channel(&uri, CALLEE).unwrap().protocols(alpn);
        let name = format!("{} over {alpn:?}", delivery.lines().last().unwrap());
        Self { name, caller, callee, channel, at_caller, at_callee }
    }

    /// Nobody was accused of anything, and every exchange has ended.
    pub async fn is_at_peace(&self) {
        soon(async {
            while self.caller.counts().open > 0 {
                tokio::time::sleep(std::time::Duration::from_millis(1)).await;
            }
        })
        .await;
        assert!(self.caller.counts().balances(), "{}: {:?}", self.name, self.caller.counts());
        assert_eq!(self.at_caller.all(), [], "{}: at the caller", self.name);
        assert_eq!(self.at_callee.all(), [], "{}: at the callee", self.name);
    }
}

/// Over the mesh: both suites, both versions.
pub async fn ours(router: impl Fn() -> Router) -> Vec<Ours> {
    let mut all = Vec::new();
    for delivery in [MAC, SEALED] {
        for alpn in [Alpn::H2, Alpn::Http11] {
            all.push(Ours::new(router(), delivery, alpn).await);
        }
    }
    all
}

/// As [`ours`], HTTP/2 only.
pub async fn ours_h2(router: impl Fn() -> Router) -> Vec<Ours> {
    let mut all = ours(router).await;
    all.retain(|ours| !ours.name.ends_with("Http11"));
    all
}

impl Way {
    /// The stock stack first.
    pub async fn all(router: impl Fn() -> Router) -> Vec<Self> {
        let mut all = Self::stock(&router).await;
        all.extend(ours(router).await.into_iter().map(|ours| Self::Ours(Box::new(ours))));
        all
    }

    /// As [`all`](Self::all), HTTP/2 only.
    pub async fn all_h2(router: impl Fn() -> Router) -> Vec<Self> {
        let mut all = Self::stock(&router).await;
        all.truncate(1);
        all.extend(ours_h2(router).await.into_iter().map(|ours| Self::Ours(Box::new(ours))));
        all
    }

    async fn stock(router: &impl Fn() -> Router) -> Vec<Self> {
        let mut all = Vec::new();
        for protocol in [Protocol::Http2, Protocol::Http1] {
            let addr = stock::serve(router()).await;
            all.push(Self::Stock(stock::Client::connect(addr, protocol).await));
        }
        all
    }

    pub fn name(&self) -> &str {
        match self {
            Self::Stock(stock::Client::H1(..)) => "stock over HTTP/1.1",
            Self::Stock(stock::Client::H2(..)) => "stock over HTTP/2",
            Self::Ours(ours) => &ours.name,
        }
    }

    pub fn ours(&self) -> Option<&Ours> {
        match self {
            Self::Stock(_) => None,
            Self::Ours(ours) => Some(ours),
        }
    }

    /// Sends a request on the one connection of this way.
    pub async fn send(&mut self, request: Request<Body>) -> Result<Response<AnyBody>, BoxError> {
        match self {
            Self::Stock(client) => {
                let response = client.send(request).await?;
                Ok(response.map(|body| body.map_err(Into::into).boxed_unsync()))
            }
            Self::Ours(ours) => {
                let response = ours.channel.clone().oneshot(request).await?;
                Ok(response.map(|body| body.map_err(Into::into).boxed_unsync()))
            }
        }
    }

    /// Another sender on the same connection (HTTP/2), or to the same place.
    pub async fn another(&self) -> Self {
        match self {
            Self::Stock(stock::Client::H2(sender, addr)) => {
                Self::Stock(stock::Client::H2(sender.clone(), *addr))
            }
            Self::Stock(stock::Client::H1(_, addr)) => {
                Self::Stock(stock::Client::connect(*addr, Protocol::Http1).await)
            }
            Self::Ours(ours) => Self::Ours(Box::new(Ours {
                name: ours.name.clone(),
                caller: ours.caller.clone(),
                callee: ours.callee.clone(),
                channel: ours.channel.clone(),
                at_caller: ours.at_caller.clone(),
                at_callee: ours.at_callee.clone(),
            })),
        }
    }
}

/// Reads a body to its end, within the test's patience.
pub async fn read(body: AnyBody) -> Result<Bytes, BoxError> {
    soon(body.collect()).await.map(http_body_util::Collected::to_bytes)
}
