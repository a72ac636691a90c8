//! `[[route]]`: what a template permits, and what no service does yet.

use meshguard_axum::{BuildError, Mesh, Policy, ReloadError};

use crate::rig::CALLEE;
use crate::wire::{Answer, Guarded, Stock, request};

fn policy(rules: &str, route: &str) -> String {
    format!(
        "mesh = \"faults.example\"\nversion = 1\n{rules}\
         [[delivery]]\nmode = \"off\"\n{route}"
    )
}

const ALL: &str = "[[allow]]\nname = \"all\"\n";

/// What became of a request: its status, and how often a handler ran.
async fn sent(guarded: &Guarded, method: &str, headers: &[&str]) -> (Answer, usize) {
    let headers = [&["Host: localhost"], headers].concat();
    let answer = guarded.send(&request(method, "/public/x", &headers)).await;
    (answer, guarded.app.ran().len())
}

const WEBSOCKET: &[&str] = &["Upgrade: websocket"];

#[tokio::test]
async fn an_upgrade_is_refused_unless_its_route_permits_it() {
    let guarded = Guarded::with(&policy(ALL, "")).await;
    let (answer, ran) = sent(&guarded, "GET", WEBSOCKET).await;
    assert_eq!((answer.status, ran), (400, 0));
    assert_eq!(guarded.reason(answer.header("meshguard-decision").unwrap()), "no upgrade here");
    let route = "[[route]]\nhttp = [\"GET /public/{**}\"]\nupgrade = true\n";
    let guarded = Guarded::with(&policy(ALL, route)).await;
    let (answer, ran) = sent(&guarded, "GET", WEBSOCKET).await;
    assert_eq!((answer.status, ran), (200, 1));
    // Another operation is another route.
    let (answer, ran) = sent(&guarded, "POST", WEBSOCKET).await;
    assert_eq!((answer.status, ran), (400, 0));
}

#[tokio::test]
async fn a_route_permits_an_upgrade_but_not_without_the_delivery_that_its_edge_requires() {
    let route = "[[route]]\nhttp = [\"GET /public/{**}\"]\nupgrade = true\n";
    let required = policy(ALL, route).replace("off", "require");
    let guarded = Guarded::with(&required).await;
    let (answer, ran) = sent(&guarded, "GET", WEBSOCKET).await;
    assert_eq!((answer.status, ran), (400, 0));
}

const OVERRIDE: &str = "[[route]]\nhttp = [\"POST /public/{**}\"]\nmethod_override = true\n";
const DELETE: &[&str] = &["X-HTTP-Method-Override: delete"];

fn methods(names: &[&str]) -> String {
    let rule =
        |name: &&str| format!("[[allow]]\nname = \"{name}\"\nhttp = [\"{name} /public/{{**}}\"]\n");
    names.iter().map(rule).collect()
}

#[tokio::test]
async fn a_second_method_needs_its_route_and_its_rule() {
    for (allowed, method, want) in [
        (&["POST", "DELETE"][..], "POST", (200, 1)),
        // Whoever reads the header runs what policy was asked about, too.
        (&["POST"], "POST", (403, 0)),
        (&["DELETE"], "POST", (403, 0)),
        // The route is the one of the method that stands in the request line.
        (&["PUT", "DELETE"], "PUT", (400, 0)),
    ] {
        let guarded = Guarded::with(&policy(&methods(allowed), OVERRIDE)).await;
        let (answer, ran) = sent(&guarded, method, DELETE).await;
        assert_eq!((answer.status, ran), want, "{method} {allowed:?}: {answer:?}");
    }
}

#[tokio::test]
async fn a_second_method_is_named_once() {
    let guarded = Guarded::with(&policy(ALL, OVERRIDE)).await;
    for headers in [
        &["X-HTTP-Method-Override: DELETE", "X-HTTP-Method-Override: PUT"][..],
        &["X-HTTP-Method-Override: DELETE", "X-Method-Override: DELETE"],
        &["X-HTTP-Method-Override: DELETE, PUT"],
        &["X-HTTP-Method-Override: "],
        &["X-HTTP-Method-Override: DELETE", "Content-Type: application/grpc"],
    ] {
        let (answer, ran) = sent(&guarded, "POST", headers).await;
        let grpc = answer.header("grpc-status").is_some();
        assert!((answer.status == 400 || grpc) && ran == 0, "{headers:?}: {answer:?}");
    }
    assert_eq!(sent(&guarded, "POST", DELETE).await.1, 1);
}

#[tokio::test]
async fn a_second_method_does_not_get_around_a_limit() {
    let limited = methods(&["DELETE"]).replace("http", "limit = { rate = \"1/h\" }\nhttp");
    let rules = format!("{}{limited}", methods(&["POST"]));
    let guarded = Guarded::with(&policy(&rules, OVERRIDE)).await;
    let (answer, ran) = sent(&guarded, "POST", DELETE).await;
    assert_eq!((answer.status, ran), (400, 0));
}

#[tokio::test]
async fn stock_axum_asks_no_route() {
    let stock = Stock::new().await;
    for headers in [WEBSOCKET, DELETE] {
        let headers = [&["Host: localhost"], headers].concat();
        assert_eq!(stock.send(&request("POST", "/public/x", &headers)).await.status, 200);
        assert_eq!(stock.app.ran().len(), 1);
    }
}

#[tokio::test]
async fn a_policy_that_asks_for_what_no_service_does_is_not_put_in_force() {
    for (key, value) in [
        ("durability", "\"strict\""),
        ("durability", "\"intent-durable\""),
        ("keep_answers", "\"10m\""),
    ] {
        let route = format!("[[route]]\nhttp = [\"POST /orders\"]\n{key} = {value}\n");
        let text = policy(ALL, &route);
        let asks: Policy = text.parse().unwrap();
        let built = Mesh::dev(CALLEE).unwrap().policy(asks).build();
        let Err(BuildError::Policy(ReloadError::Unsupported { route, key: named })) = built else {
            panic!("{key} was accepted")
        };
        assert_eq!((&*route, named), ("/orders", key));

        let mesh = Mesh::dev(CALLEE).unwrap().policy(policy(ALL, "").parse().unwrap());
        let mesh = mesh.build().unwrap();
        let later = text.replace("version = 1", "version = 2");
        mesh.set_policy(later.parse().unwrap());
        let status = mesh.policy_status().borrow().clone();
        assert_eq!((mesh.policy().version(), status.version, status.loads), (1, 1, 2));
        let refused = status.refused.unwrap().to_string();
        assert!(refused.contains("/orders") && refused.contains(key), "{refused}");
    }
    let plain = "[[route]]\nhttp = [\"POST /orders\"]\ndurability = \"async\"\nidempotent = true\n";
    assert!(Mesh::dev(CALLEE).unwrap().policy(policy(ALL, plain).parse().unwrap()).build().is_ok());
}
