//! The shop keeps its promises, and the stock stack needs them.

#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::time::Duration;

use meshguard_examples::shop::{Args, Mode, Report, run};

async fn report(mode: Mode, only: &str) -> Report {
    let (length, only) = (Duration::from_secs(1), vec![only.to_owned()]);
    let args = Args { mode, seed: 11, length, json: true, only, ledger: None };
    let report = run(&args).await.unwrap();
    println!("{report}");
    report
}

#[tokio::test(flavor = "multi_thread")]
async fn on_meshguard_no_fault_is_silent_and_the_totals_add_up() {
    let report = report(Mode::Mesh, "faults").await;
    assert_eq!((report.silent, report.fooled, report.unnamed), (0, 0, 0));
    assert!(report.missing.is_empty() && report.unexplained.is_empty());
    assert!(report.injected >= report.faults.len() && report.seen == report.injected);
    assert_eq!(report.books.len(), 6);
    assert!(report.books.iter().all(|b| b.balances && b.made > 0));
    assert!(report.edges.iter().all(|e| e.verified_percent == 100.0));
    assert!(report.passed());
}

#[tokio::test(flavor = "multi_thread")]
async fn on_the_stock_stack_the_same_faults_are_silent() {
    let report = report(Mode::Stock, "faults").await;
    assert!(report.missing.is_empty(), "{:?}", report.missing);
    assert!(report.unexplained.is_empty(), "{:?}", report.unexplained);
    for fault in ["answer ended early, cleanly", "message dropped", "request replayed"] {
        let row = report.faults.iter().find(|row| row.fault == fault).unwrap();
        assert!(row.silent > 0, "{fault}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_that_tries_what_it_may_not_is_cut_off_and_nobody_else_is() {
    let report = report(Mode::Mesh, "outside-intent").await;
    let [row] = &report.scenarios[..] else { panic!("{:?}", report.scenarios) };
    assert_eq!((row.service.as_str(), row.signal.as_str()), ("orders", "refusals"));
    assert_eq!(row.edge, "caller spiffe://shop.example/intern");
    let cut = row.actions.iter().find(|action| action.action == "quarantine").unwrap();
    assert!(cut.effect.as_ref().unwrap().starts_with("effective"));
    assert_eq!(cut.ended.as_ref().unwrap().0, "expired");
    assert!(row.tried > 0 && row.suspects_hit > 0 && row.honest_hit == 0);
    assert_eq!(report.ledgers.len(), 5);
    assert!(report.ledgers.iter().all(|ledger| ledger.problem.is_none() && ledger.entries > 0));
    assert!(report.callees.iter().all(|books| books.balances && books.accepted > 0));
    assert!(report.passed());
}
