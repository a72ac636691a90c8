//! A small service in a process of its own, for tests that attack it and read its memory.
//!
//! `victim SVID KEY BUNDLE POLICY` serves until its standard input ends, and prints its address:
//! `GET /small` is two bytes, `GET /endless` has no end, and `POST` to any other path reads the body,
//! verified, and drops it. With `quick` behind the policy its loop closes windows of 0.4 s, and what
//! it finds and does is printed.

use std::convert::Infallible;
use std::error::Error;
use std::io::Write as _;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::routing::{get, post};
use bytes::Bytes;
use http_body_util::BodyExt as _;
use meshguard_axum::core::baseline::Settings;
use meshguard_axum::core::control::{Cadence, Event};
use meshguard_axum::{Call, Finding, Mesh, MeshBuilder, Sink};
use tokio::io::AsyncReadExt as _;

const PIECE: usize = 16 * 1024;

async fn endless() -> Body {
    let piece = || Ok::<_, Infallible>(Bytes::from(vec![7; PIECE]));
    Body::from_stream(futures_util::stream::iter(std::iter::repeat_with(piece)))
}

async fn sink(body: Body) {
    let mut body = body;
    // What fails is told to its caller.
    while let Some(Ok(_)) = body.frame().await {}
}

/// A loop that has learnt what is usual in five seconds.
fn quick(builder: MeshBuilder) -> MeshBuilder {
    let window = Duration::from_millis(400);
    let mut settings = Settings::default();
    settings.warm_up = 10;
    let cadence = Cadence { busy: window, quiet: window, calls: 1 };
    builder.cadence(cadence).baseline(settings).sink(Printed)
}

/// Prints what the loop finds and does.
struct Printed;

impl Sink for Printed {
    fn call(&self, _: &Call<'_>) {}

    fn finding(&self, finding: &Finding<'_>) {
        let from = finding.edge.from.map(|from| format!(" of caller {from}")).unwrap_or_default();
        print(&format_args!("{}{from}: {}", finding.name, finding.detail));
    }

    fn event(&self, event: &Event) {
        print(event);
    }
}

fn print(line: &dyn std::fmt::Display) {
    // Nobody may be listening any more.
    let _ = writeln!(std::io::stdout(), "{line}");
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let mut next = |what: &'static str| args.next().ok_or(what);
    let (svid, key) = (next("no SVID")?, next("no key")?);
    let builder = Mesh::builder()
        .svid_files(svid, key, next("no bundle")?)?
        .policy_file(next("no policy")?)?;
    let mesh = if next("").is_ok_and(|more| more == "quick") { quick(builder) } else { builder };
    let mesh = mesh.build()?;
    let app = Router::new()
        .route("/small", get(|| async { "ok" }))
        .route("/endless", get(endless))
        .route("/{*any}", post(sink));
    let listener = mesh.listen("127.0.0.1:0").await?;
    writeln!(std::io::stdout(), "{}", listener.local_addr())?;
    let ended = async {
        // An error is an end too.
        let _ = tokio::io::stdin().read_to_end(&mut Vec::new()).await;
    };
    tokio::select! {
        served = meshguard_axum::serve(listener, app) => { served?; }
        () = ended => {}
    }
    Ok(())
}
