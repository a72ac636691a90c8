//! Paths that a framework routes as they are, and a reader behind it resolves.

use crate::wire::{Guarded, Stock, get};

/// A target, and why it is refused.
pub(crate) const AMBIGUOUS: [(&str, &str); 24] = [
    ("/admin/../public/x", "has a dot segment"),
    ("/public/../admin", "has a dot segment"),
    ("/./admin", "has a dot segment"),
    ("/admin/.", "has a dot segment"),
    ("/public/%2e%2e/admin", "has a dot segment"),
    ("/public/%2E./admin", "has a dot segment"),
    ("//admin", "has an empty segment"),
    ("/public//admin", "has an empty segment"),
    ("/public%2fadmin", "contains an encoded slash or backslash"),
    ("/%2Fadmin", "contains an encoded slash or backslash"),
    ("/public/..%2fadmin", "contains an encoded slash or backslash"),
    ("/%5cadmin", "contains an encoded slash or backslash"),
    ("/\\admin", "contains a backslash"),
    ("/public/..\\admin", "contains a backslash"),
    ("/public/..;/admin", "has a dot segment with parameters"),
    ("/public/..;a=b/admin", "has a dot segment with parameters"),
    ("/;/admin", "has a dot segment with parameters"),
    ("/public/x%00.html", "contains a control character"),
    ("/public/x%0d%0aset-cookie:a=b", "contains a control character"),
    ("/public/%252e%252e/admin", "encodes a separator or dot twice"),
    ("/public%252fadmin", "encodes a separator or dot twice"),
    ("/public/%25%32%66admin", "encodes a separator or dot twice"),
    ("/public/%zz", "has a malformed percent escape"),
    ("/public/%c0%ae%c0%ae/admin", "is not UTF-8 once decoded"),
];

/// What looks a little like one of them, and is not.
pub(crate) const PLAIN: [&str; 7] = [
    "/public/x",
    "/public/a.b/c..d?next=/../admin",
    "/public/x/",
    "/public/%61b%20c",
    "/public/...",
    "/public/x;v=1",
    "/public/100%25",
];

#[tokio::test]
async fn a_path_of_two_readings_is_refused_before_the_application_runs() {
    let guarded = Guarded::new().await;
    for (target, why) in AMBIGUOUS {
        let answer = guarded.send(&get(target)).await;
        guarded.refused(&answer, 400, &format!("its path {why}"), target);
        assert_eq!(answer.rest, "ambiguous path", "{target}");
    }
}

#[tokio::test]
async fn a_path_of_one_reading_reaches_its_handler() {
    let guarded = Guarded::new().await;
    for target in PLAIN {
        let answer = guarded.send(&get(target)).await;
        assert_eq!((answer.status, answer.header("meshguard-decision")), (200, None), "{target}");
        let ran = guarded.app.ran();
        let path = target.split('?').next().unwrap();
        let as_sent = matches!(&ran[..], [ran] if ran.handler == "public" && ran.path == path);
        assert!(as_sent, "{target}: {ran:?}");
    }
}

/// Upstream would normalise these paths and decide; a router goes by what was sent.
#[tokio::test]
async fn an_imported_policy_takes_no_path_of_two_readings_either() {
    let policy = format!(
        "mesh='{}'\nversion=1\nsemantics='istio'\nnormalization='base'\n[[allow]]\nname='all'\n[[deny]]\nname='no-admin'\nwhen={{where=[{{key='request.path', values=['/admin*']}}]}}\n[[delivery]]\nmode='off'\n",
        crate::rig::CALLEE.trust_domain()
    );
    let guarded = Guarded::with(&policy).await;
    for (target, why) in AMBIGUOUS {
        let answer = guarded.send(&get(target)).await;
        guarded.refused(&answer, 400, &format!("its path {why}"), target);
    }
    let denied = guarded.send(&get("/admin")).await;
    guarded.refused(&denied, 403, "no-admin denies it", "/admin");
    for target in PLAIN {
        assert_eq!(guarded.send(&get(target)).await.status, 200, "{target}");
        assert_eq!(guarded.app.ran().len(), 1, "{target}");
    }
}

#[tokio::test]
async fn a_target_that_is_no_path_is_refused() {
    let guarded = Guarded::new().await;
    let asterisk = guarded.send(&crate::wire::request("OPTIONS", "*", &["Host: localhost"])).await;
    guarded.refused(&asterisk, 400, "its path does not begin with /", "OPTIONS *");
}

/// The seeded fault: without the layer, each of these bytes runs a handler, and some of them the
/// one of `/admin`.
#[tokio::test]
async fn stock_axum_runs_a_handler_for_each_of_them() {
    let stock = Stock::new().await;
    let mut admin = 0;
    for (target, _) in AMBIGUOUS {
        let answer = stock.send(&get(target)).await;
        let ran = stock.app.ran();
        assert!(answer.status == 200 && ran.len() == 1, "{target}: {answer:?} {ran:?}");
        admin += usize::from(ran[0].handler == "admin");
    }
    assert!(admin > 0, "/admin/../public/x is routed to /admin");
}
