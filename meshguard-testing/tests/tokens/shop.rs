//! A service that asks for tokens, and one that calls it.

use std::convert::Infallible;

use axum::Router;
use axum::body::Body;
use axum::routing::any;
use futures_util::{StreamExt as _, stream};
use http::{Request, Response, StatusCode};
use meshguard_axum::tls::Credentials;
use meshguard_axum::{Channel, DecisionId, Mesh, SpiffeId, Tokens};
use meshguard_testing::{DevCa, DevSvid, DpopKey, TokenIssuer};
use serde_json::{Value, json};
use tower::ServiceExt as _;

pub(crate) const CALLER: SpiffeId = SpiffeId::from_static("spiffe://tokens.example/checkout");
pub(crate) const CALLEE: SpiffeId = SpiffeId::from_static("spiffe://tokens.example/orders");
pub(crate) const HOP: SpiffeId = SpiffeId::from_static("spiffe://tokens.example/hop");
pub(crate) const ISSUER: &str = "https://login.tokens.example";
pub(crate) const AUDIENCE: &str = "https://orders.tokens.example";

pub(crate) const WRITERS: &str = "when = { claims = { scope = [\"orders:write\"] } }\n";
pub(crate) const HOLDERS: &str = "when = { proof = \"dpop\" }\n";
pub(crate) const BOUND: &str = "when = { proof = \"certificate\" }\n";

pub(crate) struct Shop {
    pub(crate) callee: Mesh,
    _caller: Mesh,
    pub(crate) channel: Channel,
    /// With the scheme, without a path.
    pub(crate) uri: String,
    pub(crate) issuer: TokenIssuer,
    pub(crate) key: DpopKey,
    pub(crate) ca: DevCa,
    /// The caller's own credentials.
    pub(crate) svid: DevSvid,
}

pub(crate) fn policy(when: &str) -> String {
    format!(
        "mesh = \"tokens.example\"\nversion = 1\nhops = [\"hop\"]\n\
         [peers]\nhop = \"{HOP}\"\ncaller = \"{CALLER}\"\n\
         [[allow]]\nname = \"asks\"\nfrom = [\"caller\"]\n{when}"
    )
}

pub(crate) fn tokens(issuer: &TokenIssuer) -> Tokens {
    Tokens::from_jwks(&issuer.jwks()).unwrap().issuer(ISSUER).audience(AUDIENCE)
}

impl Shop {
    /// Whose one rule has this `when`.
    pub(crate) async fn new(when: &str) -> Self {
        Self::with(when, |tokens| tokens).await
    }

    pub(crate) async fn with(when: &str, change: impl FnOnce(Tokens) -> Tokens) -> Self {
        let issuer = TokenIssuer::new(ISSUER).unwrap();
        let tokens = change(tokens(&issuer));
        Self::of(when, issuer, tokens).await
    }

    pub(crate) async fn of(when: &str, issuer: TokenIssuer, tokens: Tokens) -> Self {
        let ca = meshguard_axum::dev::shared(CALLER.trust_domain()).unwrap();
        let svid = ca.svid(&CALLER).unwrap();
        let callee = Mesh::dev(CALLEE).unwrap().policy(policy(when).parse().unwrap());
        let callee = callee.tokens(tokens);
        let callee = callee.reload_every(std::time::Duration::from_millis(20)).build().unwrap();
        let listener = callee.listen("127.0.0.1:0").await.unwrap();
        let uri = format!("https://{}", listener.local_addr());
        let endless = || async {
            let first = stream::once(async { Ok::<_, Infallible>("first") });
            Body::from_stream(first.chain(stream::pending()))
        };
        let app = Router::new().route("/endless", any(endless));
        let app = app.fallback(any(|| async { "let in" }));
        tokio::spawn(meshguard_axum::serve(listener, app).into_future());
        let caller = mesh(&ca, &svid, when);
        let channel = caller.channel(&uri, CALLEE).unwrap();
        let key = DpopKey::new().unwrap();
        Self { callee, _caller: caller, channel, uri, issuer, key, ca, svid }
    }

    /// A token for this service, with more claims.
    pub(crate) fn token(&self, mut more: Value) -> String {
        let mut claims = json!({ "aud": AUDIENCE, "scope": "orders:read orders:write" });
        claims.as_object_mut().unwrap().append(more.as_object_mut().unwrap());
        self.issuer.token(claims)
    }

    /// One that is bound to the key.
    pub(crate) fn bound(&self) -> String {
        self.token(json!({ "cnf": { "jkt": self.key.thumbprint() } }))
    }

    pub(crate) fn proof(&self, token: &str) -> String {
        self.key.proof("GET", &self.target(), token)
    }

    pub(crate) fn target(&self) -> String {
        format!("{}/orders/7", self.uri)
    }

    /// `GET /orders/7` with these headers.
    pub(crate) async fn get(&self, headers: &[(&str, &str)]) -> Response<()> {
        get(&self.channel, headers).await
    }

    pub(crate) async fn with_proof(&self, token: &str, proof: &str) -> Response<()> {
        self.get(&[("authorization", &format!("DPoP {token}")), ("dpop", proof)]).await
    }

    pub(crate) async fn with_bearer(&self, token: &str) -> Response<()> {
        self.get(&[("authorization", &format!("Bearer {token}"))]).await
    }

    /// Why it was refused, as the operator is told.
    pub(crate) fn why(&self, answer: &Response<()>) -> String {
        let number = answer.headers()["meshguard-decision"].to_str().unwrap();
        self.callee.explain(DecisionId::parse(number).unwrap()).unwrap().reason
    }

    /// That it was refused with this challenge, and for this reason.
    pub(crate) fn refused(&self, answer: &Response<()>, challenge: &str, reason: &str) {
        let why = self.why(answer);
        assert_eq!(why, reason);
        assert_eq!(answer.status(), StatusCode::UNAUTHORIZED, "{why}");
        assert!(challenged(answer).contains(challenge), "{}", challenged(answer));
    }
}

pub(crate) async fn get(channel: &Channel, headers: &[(&str, &str)]) -> Response<()> {
    let request = Request::get("/orders/7");
    let request = headers.iter().fold(request, |r, (name, value)| r.header(*name, *value));
    channel.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap().map(drop)
}

pub(crate) fn challenged(answer: &Response<()>) -> &str {
    answer.headers().get("www-authenticate").map_or("", |value| value.to_str().unwrap())
}

pub(crate) fn mesh(ca: &DevCa, svid: &DevSvid, when: &str) -> Mesh {
    let (cert, key) = (svid.cert_pem().as_bytes(), svid.key_pem().as_bytes());
    let credentials = Credentials::from_pem(cert, key, ca.bundle_pem().as_bytes(), None).unwrap();
    let policy = policy(when).parse().unwrap();
    Mesh::builder().credentials(credentials).policy(policy).build().unwrap()
}
