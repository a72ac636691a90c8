//! What a service's listener does with a head, and what `policy decide`, `test` and `explain` say of
//! it beforehand, are one: the same heads go through a real listener and through core.

use meshguard_axum::Policy;
use meshguard_core::OwnedAccess;
use meshguard_core::policy::Reason;

use crate::rig::{self, CALLEE, CALLER};
use crate::wire::{Guarded, request};

/// A method, a target and header lines.
type Head = (&'static str, &'static str, &'static [&'static str]);

const H: &str = "Host: localhost";

/// Heads that no reader takes for two things, or for none.
const TAKEN: [Head; 26] = [
    ("GET", "/public/x", &[H]),
    ("GET", "/public/x/", &[H]),
    ("GET", "/public/x?a=/../b#c", &[H]),
    ("GET", "/public/x#/../y", &[H]),
    ("GET", "/public/%61b%20c", &[H]),
    ("GET", "/public/x;v=1", &[H]),
    ("GET", "/public/100%25", &[H]),
    ("GET", "/public/\u{e9}", &[H]),
    ("GET", "/public/{id}", &[H]),
    ("GET", "/public/a|b", &[H]),
    ("GET", "/public/x", &["Host: LOCALHOST:8443"]),
    ("GET", "/public/x", &["Host: [::1]:80"]),
    ("GET", "/public/x", &["Host: a_b.example."]),
    ("GET", "/public/x", &["Host:  localhost\t"]),
    ("GET", "http://localhost/public/x", &[H]),
    ("GET", "https://localhost/public/x?a", &["Host: Localhost"]),
    ("PROPFIND", "/public/x", &[H]),
    ("propfind", "/public/x", &[H]),
    ("M-SEARCH", "/public/x", &[H]),
    ("DELETE", "/public/x", &[H, "X-Method: GET"]),
    ("GET", "/public/x", &[H, "X-A: 1", "X-A: 2", "X-A: 3, 4"]),
    ("GET", "/public/x", &[H, "X-A:"]),
    ("GET", "/public/x", &[H, "X-A: \u{e9}\t1"]),
    ("GET", "/public/x", &[H, "X_A!#$%&'*+-.^`|~: 1"]),
    ("POST", "/public/x", &[H, "Content-Length: 0", "Content-Length: 0"]),
    ("GET", "/public/x", &[H, "TE: gzip, trailers", "Expect: 100-continue"]),
];

/// Heads that are answered with 400.
const REFUSED: [Head; 58] = [
    ("GET", "/public/x", &[H, "Host: admin"]),
    ("GET", "/public/x", &[H, H]),
    ("GET", "/public/x", &["hOST: localhost", "host: admin"]),
    ("GET", "http://admin/public/x", &[H]),
    ("GET", "http://localhost:1/public/x", &[H]),
    ("GET", "http://u:p@localhost/public/x", &["Host: u:p@localhost"]),
    ("GET", "http:///public/x", &[H]),
    ("GET", "ftp://localhost/public/x", &[H]),
    ("GET", "ws://localhost/public/x", &[H]),
    ("GET", "localhost/public/x", &[H]),
    ("GET", "public/x", &[H]),
    ("OPTIONS", "*", &[H]),
    ("CONNECT", "localhost:80", &["Host: localhost:80"]),
    ("GET", "/public/x", &["Host:"]),
    ("GET", "/public/x", &["Host: localhost, admin"]),
    ("GET", "/public/x", &["Host: localhost@admin"]),
    ("GET", "/public/x", &["Host: localhost/admin"]),
    ("GET", "/public/x", &["Host: local host"]),
    ("GET", "/public/x", &["Host: localhost:"]),
    ("GET", "/public/x", &["Host: localhost:+80"]),
    ("GET", "/public/x", &["Host: localhost:65536"]),
    ("GET", "/public/x", &["Host: localhost:1:2"]),
    ("GET", "/public/x", &["Host: [::1"]),
    ("GET", "/public/x", &["Host: \u{e9}"]),
    ("GET", "/public/x", &["Host: a%2eb"]),
    ("get", "/public/x", &[H]),
    ("Delete", "/public/x", &[H]),
    ("G\u{e9}T", "/public/x", &[H]),
    ("GE(T", "/public/x", &[H]),
    ("POST", "/public/x", &[H, "X-HTTP-Method-Override: DELETE"]),
    ("POST", "/public/x", &[H, "X-HTTP-Method: DELETE"]),
    ("GET", "/public/x", &[H, "x-method-override: GET"]),
    ("GET", "/public/x", &[H, "Connection: upgrade", "Upgrade: websocket"]),
    ("GET", "/public/<x>", &[H]),
    ("GET", "/public/`x`", &[H]),
    ("GET", "/public/x\u{7f}", &[H]),
    ("GET", "/public/../admin", &[H]),
    ("GET", "/public/%2e%2e/admin", &[H]),
    ("GET", "//admin", &[H]),
    ("GET", "/public%2fadmin", &[H]),
    ("GET", "/public\\admin", &[H]),
    ("GET", "/public/..;/admin", &[H]),
    ("GET", "/public/x%00", &[H]),
    ("GET", "/public%252fadmin", &[H]),
    ("GET", "/public/%zz", &[H]),
    ("GET", "/public/%ff", &[H]),
    ("GET", "/public/x", &[H, "X-A : 1"]),
    ("GET", "/public/x", &[H, "X A: 1"]),
    ("GET", "/public/x", &[H, ": 1"]),
    ("GET", "/public/x", &[H, "X-\u{e9}: 1"]),
    ("GET", "/public/x", &[H, "X-A: 1\0"]),
    ("GET", "/public/x", &[H, "X-A: \u{7f}"]),
    ("GET", "/public/x", &[H, "X-A: \u{1b}[2J"]),
    ("POST", "/public/x", &[H, "Content-Length: 1", "Content-Length: 2"]),
    ("POST", "/public/x", &[H, "Content-Length: +0"]),
    ("POST", "/public/x", &[H, "Content-Length: 0, 0"]),
    ("POST", "/public/x", &[H, "Transfer-Encoding: gzip, chunked"]),
    ("POST", "/public/x", &[H, "Transfer-Encoding: gzip"]),
];

fn policies() -> [String; 2] {
    let callee = CALLEE;
    let mesh = callee.trust_domain();
    let imported = format!(
        "mesh='{mesh}'\nversion=1\nsemantics='istio'\nnormalization='base'\n[[allow]]\nname='all'\n[[delivery]]\nmode='off'\n"
    );
    [rig::policy("[[delivery]]\nmode = \"off\"\n"), imported]
}

/// The head as core is asked about it: nothing but what the bytes say.
fn access((method, target, headers): Head) -> OwnedAccess {
    let mut access = OwnedAccess::request(method, target);
    let split = |line: &&str| {
        // A name ends at the first colon (RFC 9112 §5.1).
        let (name, value) = line.split_once(':').unwrap();
        (name.to_owned(), value.to_owned())
    };
    access.headers = headers.iter().map(split).collect();
    (access.from, access.to, access.direct) = (Some(CALLER), Some(CALLEE), true);
    access.read_as_sent()
}

/// Whether core denies it, and why.
fn decided(policy: &Policy, head: Head) -> (bool, String) {
    let access = access(head);
    let decision = policy.decide_served(&access.access());
    (!decision.is_allowed(), decision.reason().to_string())
}

#[tokio::test]
async fn what_the_listener_answers_with_400_core_denies_and_what_it_takes_core_allows() {
    for text in policies() {
        let policy: Policy = text.parse().unwrap();
        let guarded = Guarded::with(&text).await;
        for (heads, want) in [(&TAKEN[..], 200), (&REFUSED[..], 400)] {
            for head @ (method, target, headers) in heads {
                let answer = guarded.send(&request(method, target, headers)).await;
                let ran = guarded.app.ran().len();
                assert_eq!((answer.status, ran), (want, usize::from(want == 200)), "{head:?}");
                let (denied, reason) = decided(&policy, *head);
                assert_eq!(denied, want == 400, "{head:?}: {reason}");
                // Where the listener has a number for it, it has the same words.
                if let Some(number) = answer.header("meshguard-decision") {
                    assert_eq!(guarded.reason(number), reason, "{head:?}");
                }
            }
        }
    }
}

/// The only places where the two differ: core is not asked about what it is not told, and is told
/// of a length that hyper takes out of the head beside `chunked` (RFC 9112 §6.3).
#[tokio::test]
async fn where_core_and_the_listener_differ() {
    let [text, _] = policies();
    let policy: Policy = text.parse().unwrap();
    let guarded = Guarded::with(&text).await;
    let hostless = ("GET", "/public/x", &[][..]);
    assert_eq!(guarded.send(&request("GET", "/public/x", &[])).await.status, 400);
    assert!(!decided(&policy, hostless).0, "an access without a host leaves it open");
    let both: &[&str] = &[H, "Content-Length: 5", "Transfer-Encoding: chunked"];
    let bytes = [request("POST", "/public/x", both), b"0\r\n\r\n".to_vec()].concat();
    assert_eq!(guarded.send(&bytes).await.status, 200);
    assert_eq!(decided(&policy, ("POST", "/public/x", both)).1, "more than one framing");
}

/// With every head that the listener refuses, the hardened decision of an imported document is to
/// deny, too, but for what all of its readings allow: paths that lead nowhere else under a policy
/// that allows all, and another protocol.
#[test]
fn the_hardened_decision_denies_every_head_that_no_server_takes() {
    let [native, imported] = policies().map(|text| text.parse::<Policy>().unwrap());
    let mut only_served = 0;
    for head in REFUSED {
        let access = access(head);
        let access = access.access();
        assert!(!native.decide_hardened(&access).is_allowed(), "{head:?}");
        if imported.decide_hardened(&access).is_allowed() {
            let reason = imported.decide_served(&access).reason().to_string();
            let routes = ["a header that overrides the method", "no upgrade here"];
            assert!(routes.contains(&&*reason) || reason.starts_with("its path "), "{head:?}");
            only_served += 1;
        }
    }
    assert_eq!(only_served, 9);
}

/// A deny rule speaks of its path with a slash behind it, on the wire as in a test of the policy.
#[tokio::test]
async fn a_slash_behind_a_denied_path_helps_nobody() {
    let callee = CALLEE;
    let mesh = callee.trust_domain();
    let rule = "[[deny]]\nname = \"no-admin\"\n";
    let delivery = "[[delivery]]\nmode = \"off\"\n";
    let native = format!("{rule}http = [\"* /admin\"]\n{delivery}");
    let imported = format!(
        "mesh='{mesh}'\nversion=1\nsemantics='istio'\nnormalization='base'\n[[allow]]\nname='all'\n{rule}when={{where=[{{key='request.path', values=['/admin']}}]}}\n{delivery}"
    );
    for text in [rig::policy(&native), imported] {
        let policy: Policy = text.parse().unwrap();
        let guarded = Guarded::with(&text).await;
        for target in ["/admin", "/admin/"] {
            let answer = guarded.send(&request("GET", target, &[H])).await;
            guarded.refused(&answer, 403, "no-admin denies it", target);
            let access = access(("GET", target, &[H]));
            let reason = policy.decide_served(&access.access()).reason();
            assert_eq!(reason, Reason::DenyRule("no-admin"), "{target}");
        }
        for target in ["/admin/x", "/administrator/"] {
            assert_eq!(guarded.send(&request("GET", target, &[H])).await.status, 200, "{target}");
            assert_eq!(guarded.app.ran().len(), 1, "{target}");
        }
    }
}
