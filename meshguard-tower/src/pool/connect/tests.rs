use meshguard_core::{Peer, Timestamp};

use super::*;
use crate::rig::{ORDERS, Rig};
use crate::tls::Alpn;

fn dialer(rig: &Rig) -> Dialer {
    let (host, expect) = ("localhost".to_owned(), ORDERS.clone());
    let target = Target { host, port: 1, connect_to: None, expect, alpn: Alpn::Both };
    Dialer::new(rig.tls.clone(), target, PoolLimits::default())
}

fn proof(generation: u64, not_after: Timestamp) -> Proof {
    let peer = Peer::new(ORDERS.clone(), [0; 32], not_after);
    let via = Via { peer, version: Version::HTTP_2 };
    Proof { via, binding: Arc::default(), generation }
}

#[test]
fn a_connection_is_of_use_until_its_certificate_expires_or_the_own_is_replaced() {
    let rig = Rig::new();
    let dialer = dialer(&rig);
    let now = reached();
    let later = Timestamp::from_unix_secs(now.as_unix_secs() + 3600);
    assert!(dialer.is_current(&proof(1, later)));
    assert!(!dialer.is_current(&proof(1, now)));
    rig.revoke(&[]);
    assert!(!dialer.is_current(&proof(1, later)));
    assert!(dialer.is_current(&proof(2, later)));
}

#[test]
fn the_configuration_is_kept_for_a_generation() {
    let rig = Rig::new();
    let dialer = dialer(&rig);
    let first = dialer.aim();
    assert!(Arc::ptr_eq(&first.config, &dialer.aim().config));
    rig.revoke(&[]);
    assert!(!Arc::ptr_eq(&first.config, &dialer.aim().config));
}

#[tokio::test]
async fn an_address_is_not_looked_up() {
    for (host, expected) in [("127.0.0.1", "127.0.0.1:7"), ("[::1]", "[::1]:7")] {
        assert_eq!(resolve(bare(host), 7).await.unwrap(), vec![expected.parse().unwrap()]);
    }
}

#[tokio::test]
async fn a_host_that_is_no_name_is_named_in_the_error() {
    let rig = Rig::new();
    let mut dialer = dialer(&rig);
    dialer.target.host = "not a host".to_owned();
    let error = dialer.link().await.err().unwrap();
    assert!(matches!(&error, ConnectError::InvalidHost(host) if host == "not a host"), "{error}");
}

#[tokio::test]
async fn the_next_address_is_tried() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let dead = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addresses = [dead.local_addr().unwrap(), listener.local_addr().unwrap()];
    drop(dead);
    let tcp = first(&addresses, Instant::now() + Duration::from_secs(30)).await.unwrap();
    assert_eq!(tcp.peer_addr().unwrap(), addresses[1]);
}

#[test]
fn each_address_gets_its_share_of_the_time() {
    assert_eq!(share(Duration::from_secs(5), 5), Duration::from_secs(1));
    assert_eq!(share(Duration::from_secs(5), 0), Duration::from_secs(5));
}
