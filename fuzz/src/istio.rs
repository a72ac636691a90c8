//! Policies of another mesh, and requests.

use meshguard_core::policy::istio::{Imported, Protocol, Purpose, Workload, import};
use meshguard_core::{Access, Policy};

use crate::seeds::ISTIO;

/// The documents up to the first zero byte, then the path: an import never panics, what it
/// writes is read again as the same, and each stricter decision allows no more than the one before.
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
    let plain = || Access::http("GET", path).header("x-role", path);
    for access in [
        plain(),
        plain().host(path),
        plain().scheme(path).header(path, path),
        Access::http(path, "/admin/").header("x-http-method", path),
        Access::http("GET", "/").header("x_role", path).header("x-role", "user"),
        Access::tcp().host(path),
    ] {
        let access = access.server_name(path);
        let upstream = imported.policy.decide(&access).is_allowed();
        assert_eq!(again.decide(&access).is_allowed(), upstream);
        let hardened = imported.policy.decide_hardened(&access).is_allowed();
        assert!(upstream || !hardened);
        assert!(hardened || !imported.policy.decide_served(&access).is_allowed());
    }
}
