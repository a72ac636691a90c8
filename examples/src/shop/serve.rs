//! `--serve`: the shop for a person with curl.

use std::net::SocketAddr;
use std::sync::Arc;

use meshguard_axum::{DecisionId, Mesh};
use meshguard_testing::svid_files;
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines, Stdin};

use super::error::ShopError;
use super::ids::VISITOR;
use super::journal::Journal;
use super::member::Founder;
use super::mesh::{self, Stack};
use super::truth::Truth;

/// Keeps the shop open until it is told to stop.
#[allow(clippy::print_stdout)]
pub(super) async fn serve() -> Result<(), ShopError> {
    let founder = Founder::new(&Arc::new(Truth::new()), &Arc::new(Journal::new()), None);
    let stack = mesh::start(&founder).await?;
    let files = svid_files(&mesh::authority()?, &VISITOR)?;
    let (gateway, orders) = (door(&stack, "gateway"), door(&stack, "orders"));
    println!("{}", welcome(&files.dir.path().display().to_string(), gateway, orders));
    let meshes: Vec<Mesh> = stack.doors.iter().map(|(_, _, mesh)| mesh.clone()).collect();
    tokio::select! {
        () = told_to_stop() => {}
        () = explain(&meshes, BufReader::new(tokio::io::stdin()).lines()) => {}
    }
    println!("The shop closes: calls under way are finished.");
    stack.servers.drain().await;
    Ok(())
}

fn door(stack: &Stack, name: &str) -> SocketAddr {
    let of = stack.doors.iter().find(|(n, ..)| *n == name).map(|(_, addr, _)| *addr);
    of.unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], 0)))
}

fn welcome(dir: &str, gateway: SocketAddr, orders: SocketAddr) -> String {
    format!(
        "\
The shop is open. You are spiffe://shop.example/visitor; in another terminal:

  cd {dir}
  alias as-visitor='curl -i --cacert bundle.pem --cert svid.pem --key svid.key'

  # 200: policy lets a visitor look, and asks her for no proof of delivery at the gateway
  as-visitor https://{gateway}/invoice/h2-000001

  # 403 with a meshguard-decision: a visitor may not order
  as-visitor -X PUT https://{gateway}/orders/h2-000001

  # 401 with a meshguard-decision: at orders she may look, but only with proof, and curl has none
  as-visitor https://{orders}/invoice/h2-000001

Enter a meshguard-decision here to have it explained. Ctrl-C closes the shop.
"
    )
}

/// Explains decisions by their number, one a line; for ever, though nobody asks.
#[allow(clippy::print_stdout)]
async fn explain(meshes: &[Mesh], mut asked: Lines<BufReader<Stdin>>) {
    while let Ok(Some(line)) = asked.next_line().await {
        let line = line.trim().trim_start_matches("meshguard-decision:").trim();
        if line.is_empty() {
            continue;
        }
        let Some(id) = DecisionId::parse(line) else {
            println!("  a decision has 32 hexadecimal digits");
            continue;
        };
        match meshes.iter().find_map(|mesh| mesh.explain(id).map(|e| (mesh.id(), e))) {
            Some((service, explanation)) => println!("  {service} refused: {explanation}"),
            None => println!("  no service here made that decision, or it is long ago"),
        }
    }
    std::future::pending::<()>().await;
}

pub(super) async fn told_to_stop() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        if let Ok(mut terminate) = signal(SignalKind::terminate()) {
            tokio::select! {
                _ = tokio::signal::ctrl_c() => {}
                _ = terminate.recv() => {}
            }
            return;
        }
    }
    // Without a handler the system's own way to stop a process remains.
    let _ = tokio::signal::ctrl_c().await;
}
