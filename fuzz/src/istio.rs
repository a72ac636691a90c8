//! Policies of another mesh, and requests.

use meshguard_core::policy::istio::{Imported, Protocol, Purpose, Workload, import};
use meshguard_core::{Access, Policy};

use crate::seeds::ISTIO;

/// The documents up to the first zero byte, then the path: an import never panics, what it
/// writes is read again as the same, and no reading of a request is allowed that upstream denies.
pub fn istio(data: &[u8]) {
    let cut = data.iter().position(|b| *b == 0).unwrap_or(data.len());
    let text = String::from_utf8_lossy(&data[..cut]);
    let path = String::from_utf8_lossy(data.get(cut + 1..).unwrap_or_default());
    for protocol in [Protocol::Http, Protocol::Tcp] {
        let mut workload = Workload::new("shop");
        workload.protocol = protocol;
        workload.purpose = Purpose::Decide;
        for text in [&*text, ISTIO] {
            if let Ok(imported) = import(text, &workload) {
                check(&imported, &path);
            }
        }
    }
}

fn check(imported: &Imported, path: &str) {
    let again: Policy = imported.text.parse().unwrap_or_else(|e| panic!("{e}\n{}", imported.text));
    assert_eq!(again.to_toml(), imported.policy.to_toml());
    for access in [Access::http("GET", path), Access::http("post", path), Access::tcp()] {
        let access = access.host(path).server_name(path).header("x-role", path);
        let upstream = imported.policy.decide(&access).is_allowed();
        assert_eq!(again.decide(&access).is_allowed(), upstream);
        assert!(upstream || !imported.policy.decide_hardened(&access).is_allowed());
    }
}
