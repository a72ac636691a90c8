//! Thirteen ways to cut a body short, on the stock stack (hyper, axum, tonic) and on the guarded
//! one, over real sockets, behind the same hop. Stock takes seven of them for complete.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

mod faults;
mod guarded;
#[path = "../rig/mod.rs"]
mod rig;
mod stock;

use faults::{FAULTS, Fault};
use guarded::{Guarded, VARIANTS, Variant};
use stock::Stock;

#[tokio::test]
async fn stock_is_silent_where_guarded_names_the_shortfall() {
    let (mut rows, mut silent) = (Vec::new(), 0);
    for fault in FAULTS {
        let stock = stock::run(&fault).await;
        silent += usize::from(stock.silent);
        let mut guarded = Vec::new();
        for variant in VARIANTS {
            guarded.push((variant, guarded::run(&fault, variant).await));
        }
        rows.push((fault, stock, guarded));
    }
    print(&rows);
    assert!(silent >= 7, "stock noticed too much for this test to show anything: {silent}");
    for (fault, _, cells) in &rows {
        for (variant, guarded) in cells {
            let at = format!("{} {variant}: {guarded:?}", fault.name);
            assert!(!guarded.silent, "{at}");
            assert!(guarded.caller_failed, "{at}");
            if guarded.reached || fault.is_noticed_for_sure(*variant) {
                assert!(guarded.typed, "{at}");
                let shortfall = fault.shortfall(*variant);
                assert!(guarded.text.contains(&shortfall), "{at}: {shortfall}");
            }
        }
    }
}

type Row = (Fault, Stock, Vec<(Variant, Guarded)>);

fn print(rows: &[Row]) {
    for (fault, stock, cells) in rows {
        let verdict = if stock.silent { "SILENT" } else { "noticed" };
        println!("{}\n  stock            {verdict}: {}", fault.name, stock.saw);
        for (variant, guarded) in cells {
            println!("  {variant:<16} {}", guarded.text);
        }
    }
}

#[tokio::test]
async fn nobody_at_all_learns_of_a_clean_early_end_but_the_guarded() {
    for fault in faults::EARLY_ENDS {
        let stock = stock::run(&fault).await;
        assert!(stock.silent && !stock.caller_failed, "{}: {stock:?}", fault.name);
        for variant in VARIANTS {
            let guarded = guarded::run(&fault, variant).await;
            println!("{} {variant}: {}", fault.name, guarded.text);
            assert!(guarded.typed && guarded.caller_failed, "{}: {guarded:?}", fault.name);
            assert!(!guarded.silent, "{}: {guarded:?}", fault.name);
            let shortfall = fault.shortfall(variant);
            assert!(guarded.text.contains(&shortfall), "{guarded:?}: {shortfall}");
        }
    }
}
