//! Shadow rules and expectations: counted at the callee, and without a word to anybody else.

use http::StatusCode;
use meshguard_axum::Mesh;
use meshguard_axum::tls::Alpn;

use crate::rig::{Rig, allowing, grpc, http as say, soon};

#[tokio::test]
async fn a_shadow_rule_changes_nothing_and_says_what_it_would() {
    let shadow = "[[deny]]\nname = \"close\"\nhttp = [\"* /known/{n}\"]\nshadow = true\n";
    let rig = Rig::with(&allowing("", shadow), Alpn::Both).await;
    for path in ["/known/3", "/known/3", "/empty"] {
        let answer = say::call(&rig.channel, say::get(path)).await.answer();
        assert_eq!(answer.0, StatusCode::OK, "{path}");
    }
    assert_eq!(rig.app.calls(), 3);
    let shadows = rig.callee.shadow();
    assert_eq!((&*shadows[0].rule, shadows[0].matched, shadows[0].changed), ("close", 2, 2));
    let found = rig.at_callee.named("shadow");
    assert_eq!(found.len(), 1, "told once in a while");
    assert_eq!(found[0].detail, "close would deny what was allowed (1 so far)");
}

const EXPECT: &str = "[[expect]]\nname = \"known\"\nfrom = [\"caller\"]\n\
                      http = [\"GET /known/{n}\", \"POST /take\"]\n\
                      grpc = [\"faults.Items/Client\"]\nat_least = \"1 in 24h\"\n";

/// An exchange is over when all of it is gone, which is after its caller has its answer.
async fn seen(callee: &Mesh, want: u64) {
    soon(async {
        while callee.expectations()[0].seen < want {
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
    })
    .await;
    assert_eq!(callee.expectations()[0].seen, want);
}

#[tokio::test]
async fn calls_that_come_whole_and_are_answered_well_are_counted() {
    let rig = Rig::with(&allowing("", EXPECT), Alpn::Both).await;
    assert_eq!(rig.callee.expectations()[0].seen, 0);
    say::call(&rig.channel, say::get("/known/3")).await.answer();
    seen(&rig.callee, 1).await;
    say::call(&rig.channel, say::post("/take", say::halves(&say::pattern(100)))).await.answer();
    seen(&rig.callee, 2).await;
    grpc::client(rig.channel.clone(), grpc::ready(3)).await.unwrap();
    seen(&rig.callee, 3).await;
    // Not what is meant, not answered well.
    say::call(&rig.channel, say::get("/empty")).await.answer();
    let failed = say::call(&rig.channel, say::get("/known/many")).await.answer();
    assert_eq!(failed.0, StatusCode::BAD_REQUEST);
    say::call(&rig.channel, say::get("/known/4")).await.answer();
    seen(&rig.callee, 4).await;
}

#[tokio::test]
async fn a_call_without_proof_counts_where_none_is_required() {
    let off = format!("{EXPECT}[[delivery]]\nmode = \"off\"\n");
    let rig = Rig::with(&allowing("", &off), Alpn::Both).await;
    let direct = rig.caller.channel(&format!("https://{}", rig.addr), crate::rig::CALLEE).unwrap();
    say::call(&direct, say::get("/known/3")).await.answer();
    seen(&rig.callee, 1).await;
}
