//! Sound inputs of each target, to begin with.

use meshguard_core::Timestamp;
use meshguard_core::baseline::{Baselines, EdgeKey, Settings as Learning, Window};
use meshguard_core::delivery::base::Cover;
use meshguard_core::delivery::field::{Body, RequestField};
use meshguard_core::delivery::{
    Claim, Counts, Outcome, Proof, Receipt, ReceiptStatus, Receiver, SessionKeys, Settings, Sid,
    Suite, known,
};
use meshguard_core::ledger::{Entry, Operator, PolicyChange, Stamp, Stop, put_frame};

use crate::records::encode;

/// The session that settings must be for.
pub const SID: Sid = Sid::from_random([5; 16]);

/// A policy with every kind of member.
pub const POLICY: &str = r#"
mesh = "shop.example"
version = 7
hops = ["edge"]
[peers]
checkout = "spiffe://shop.example/ns/prod/sa/checkout"
prod = "spiffe://shop.example/ns/prod/**"
edge = "spiffe://shop.example/ns/*/sa/edge"
[[allow]]
name = "orders"
from = ["checkout"]
http = ["GET /orders/{id}", "* /files/{**}/meta"]
grpc = ["shop.v1.Orders/*"]
when = { evidence = "verified", direct = true }
[[deny]]
name = "never-admin"
from = ["prod"]
via = ["edge"]
http = ["* /admin/{**}"]
[[delivery]]
mode = "prefer"
seal = true
transcript = "blake3"
"#;

/// Policies of Istio with most of what they can have.
pub const ISTIO: &str = r#"apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: { name: p, namespace: shop, annotations: { istio.io/dry-run: "false" } }
spec:
  action: DENY
  rules:
  - from: [{ source: { namespaces: ["b*"], notIpBlocks: ["10.0.0.0/8"] } }, { source: { requestPrincipals: ["*/x"] } }]
    to: [{ operation: { paths: ["/a/{*}/{**}", "*.txt"], notPaths: ["/a"], ports: ["80"], hosts: ["a.*"] } }]
    when: [{ key: "request.headers[x-role]", values: ["admin"] }, { key: connection.sni, notValues: ["*"] }]
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: { name: q, namespace: shop }
spec: { rules: [{ to: [{ operation: { methods: [GET, post], notPaths: ["/admin*"] } }] }] }
"#;

/// The seeds of a target, by its name; none for an unknown one.
#[must_use]
pub fn of(target: &str) -> Vec<Vec<u8>> {
    match target {
        "field" => FIELDS.iter().map(|text| text.as_bytes().to_vec()).collect(),
        "records" => Suite::ALL.into_iter().map(records).collect(),
        "policy" => PATHS.iter().map(|path| format!("{POLICY}\0{path}").into_bytes()).collect(),
        "istio" => PATHS.iter().map(|path| format!("{ISTIO}\0{path}").into_bytes()).collect(),
        "settings" => vec![settings(None), settings(Some(Suite::Seal))],
        "grpc_split" => vec![
            b"\x01\0\0\0\0\x03abc\x01\0\0\0\0\0\0\0\0\x01d".to_vec(),
            b"\x07\0\0\0\x10\0abc".to_vec(),
            b"\xff\x02\0\0\0\0".to_vec(),
        ],
        "dpop" => PROOFS.iter().map(|text| text.as_bytes().to_vec()).collect(),
        "ledger" => entries(),
        "baseline" => vec![Baselines::new(Learning::default()).snapshot(), learnt()],
        // Nothing changed; and each body closed, and cut.
        "handshake" => vec![
            Vec::new(),
            vec![0, 3, 0, 0, 0, 3, 0, 1],
            vec![1, 4, 0, 0, 2, 3, 0, 0],
            vec![2, 1, 40, 0, 3, 2, 9, 9],
        ],
        "receipts" => vec![receipt(1, 5), [receipt(2, 4), receipt(9, 5)].concat()],
        _ => Vec::new(),
    }
}

/// Claims the first attempt of a request, as a receiver would be asked to.
pub(crate) fn claim(receiver: &mut Receiver, seq: u64, now: Timestamp) -> Claim {
    let keys = SessionKeys::derive(Suite::Mac, &mut [4; 32]);
    let head = RequestField {
        sid: SID,
        seq,
        att: 0,
        low: 1,
        void: None,
        body: Body::None,
        acks: None,
        by: None,
        proof: Proof([0; 16]),
        covered: 0,
    };
    receiver.claim(&head, &keys.receipt, now, now).expect("a new seq")
}

fn receipt(seq: u64, len: u64) -> Vec<u8> {
    let digest = known::digest(b"hello", None);
    let receipt = Receipt::known(ReceiptStatus::Consumed, 0, len, digest);
    [&seq.to_be_bytes()[..], &receipt.to_bytes()].concat()
}

const FIELDS: [&str; 6] = [
    "sid=\"BQUFBQUFBQUFBQUFBQUFBQ\", seq=1842, low=1839, body=none, p=:AAAAAAAAAAAAAAAAAAAAAA==:",
    "sid=\"BQUFBQUFBQUFBQUFBQUFBQ\", seq=12, att=1, low=9, void=\"10-11\", body=records, by=5, \
     p=:AAAAAAAAAAAAAAAAAAAAAA==:",
    "sid=\"BQUFBQUFBQUFBQUFBQUFBQ\", seq=12, low=9, body=known, \
     d=:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=:, acks=\"1-3,7,9-10\", \
     ackh=:AAAAAAAAAAAAAAAAAAAAAA==:, p=:AAAAAAAAAAAAAAAAAAAAAA==:",
    "seq=1, body=none, rcpt=consumed, dup, p=:AAAAAAAAAAAAAAAAAAAAAA==:",
    "seq=1, body=records, rcpt=bad, n=1, len=4, p=:AAAAAAAAAAAAAAAAAAAAAA==:",
    "seq=1, body=none, rcpt=received, t=:AAAAAAAAAAAAAAAAAAAAAA==:, \
     p=:AAAAAAAAAAAAAAAAAAAAAA==:",
];

/// From RFC 9449 §4.1 and §7.1.
const PROOFS: [&str; 2] = [
    "eyJ0eXAiOiJkcG9wK2p3dCIsImFsZyI6IkVTMjU2IiwiandrIjp7Imt0eSI6IkVDIiwieCI6Imw4dEZyaHgtMzR0VjNo\
     UklDUkRZOXpDa0RscEJoRjQyVVFVZldWQVdCRnMiLCJ5IjoiOVZFNGpmX09rX282NHpiVFRsY3VOSmFqSG10NnY5VERW\
     clUwQ2R2R1JEQSIsImNydiI6IlAtMjU2In19.eyJqdGkiOiItQndDM0VTYzZhY2MybFRjIiwiaHRtIjoiUE9TVCIsImh\
     0dSI6Imh0dHBzOi8vc2VydmVyLmV4YW1wbGUuY29tL3Rva2VuIiwiaWF0IjoxNTYyMjYyNjE2fQ.2-GxA6T8lP4vfrg8\
     v-FdWP0A0zdrj8igiMLvqRMUvwnQg4PtFLbdLXiOSsX0x7NVY-FNyJK70nfbV37xRZT3Lg",
    "eyJ0eXAiOiJkcG9wK2p3dCIsImFsZyI6IkVTMjU2IiwiandrIjp7Imt0eSI6IkVDIiwieCI6Imw4dEZyaHgtMzR0VjNo\
     UklDUkRZOXpDa0RscEJoRjQyVVFVZldWQVdCRnMiLCJ5IjoiOVZFNGpmX09rX282NHpiVFRsY3VOSmFqSG10NnY5VERW\
     clUwQ2R2R1JEQSIsImNydiI6IlAtMjU2In19.eyJqdGkiOiJlMWozVl9iS2ljOC1MQUVCIiwiaHRtIjoiR0VUIiwiaHR\
     1IjoiaHR0cHM6Ly9yZXNvdXJjZS5leGFtcGxlLm9yZy9wcm90ZWN0ZWRyZXNvdXJjZSIsImlhdCI6MTU2MjI2MjYxOCw\
     iYXRoIjoiZlVIeU8ycjJaM0RaNTNFc05yV0JiMHhXWG9hTnk1OUlpS0NBcWtzbVFFbyJ9.2oW9RP35yRqzhrtNP86L-E\
     y71EOptxRimPPToA1plemAgR6pxHF8y6-yqyVnmcw6Fy1dqd-jfxSYoMxhAJpLjA",
];

const PATHS: [&str; 5] =
    ["/orders/7", "/files/a/b/meta", "/%61dmin/../x;v=1", "/shop.v1.Orders/Get", "//orders/%2e%2E"];

/// Records of another key: their framing is right, and no tag is.
fn records(suite: Suite) -> Vec<u8> {
    let keys = SessionKeys::derive(suite, &mut [4; 32]);
    let head = [suite.number() - 1, 40, 128, 3];
    [&head[..], &encode(&keys, &[b"hello", b"", &[7; 300]])].concat()
}

/// Entries, one of them in its frame, and a note.
fn entries() -> Vec<Vec<u8>> {
    let stamp = Stamp { seq: 3, at: Timestamp::from_unix_secs(1_700_000_000), ..Stamp::default() };
    let all = [
        Entry::Operator(Operator { verb: "freeze", target: "spiffe://shop.example/orders" }),
        Entry::Policy(PolicyChange { version: 8, replaced: Some(7) }),
        Entry::Stop(Stop { sent: Counts::of(Outcome::Delivered), accepted: 9, settled: 9 }),
    ];
    let encoded = |entry: &Entry<'_>| {
        let mut bytes = Vec::new();
        entry.encode(&stamp, &mut bytes);
        bytes
    };
    let mut seeds: Vec<_> = all.iter().map(encoded).collect();
    let mut framed = Vec::new();
    put_frame(&all[0], &stamp, &mut framed);
    seeds.push(framed);
    seeds.push("origin\n3\nAAAA\n\n— origin AAAAAAA=\n".into());
    seeds
}

/// What is normal after some windows of a caller.
fn learnt() -> Vec<u8> {
    let mut baselines = Baselines::new(Learning::default());
    let edge = EdgeKey::Address([10, 0, 0, 1].into());
    for second in 0..20 {
        let start = Timestamp::from_unix_secs(1_700_000_000 + second);
        let end = Timestamp::from_unix_secs(1_700_000_001 + second);
        let window = Window { start, end, handshakes: 50 + second % 3, ..Window::default() };
        baselines.handle_window(&edge, &window, true);
    }
    baselines.snapshot()
}

fn settings(suite: Option<Suite>) -> Vec<u8> {
    let seal = suite.is_some();
    let settings = Settings::new(SID, "instance".into(), [7; 32], Cover::default(), seal);
    Settings { suite, ..settings }.to_json().into_bytes()
}
