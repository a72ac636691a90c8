//! The shop keeps its promise, and the stock stack needs it.

#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::time::Duration;

use meshguard_examples::shop::{Args, Mode, Report, run};

async fn report(mode: Mode) -> Report {
    let args = Args { mode, seed: 11, length: Duration::from_secs(1), json: true };
    let report = run(&args).await.unwrap();
    println!("{report}");
    report
}

#[tokio::test(flavor = "multi_thread")]
async fn on_meshguard_no_fault_is_silent_and_the_totals_add_up() {
    let report = report(Mode::Mesh).await;
    assert_eq!((report.silent, report.fooled, report.unnamed), (0, 0, 0));
    assert!(report.missing.is_empty() && report.unexplained.is_empty());
    assert!(report.injected >= report.faults.len() && report.seen == report.injected);
    assert_eq!(report.books.len(), 3);
    assert!(report.books.iter().all(|b| b.balances && b.made > 0));
    assert!(report.edges.iter().all(|e| e.verified_percent == 100.0));
    assert!(report.passed());
}

#[tokio::test(flavor = "multi_thread")]
async fn on_the_stock_stack_the_same_faults_are_silent() {
    let report = report(Mode::Stock).await;
    assert!(report.missing.is_empty(), "{:?}", report.missing);
    assert!(report.unexplained.is_empty(), "{:?}", report.unexplained);
    for fault in ["answer ended early, cleanly", "message dropped", "request replayed"] {
        let row = report.faults.iter().find(|row| row.fault == fault).unwrap();
        assert!(row.silent > 0, "{fault}");
    }
}
