//! One authority per trust domain and process, so that meshes made apart trust each other.

use std::collections::BTreeMap;
use std::sync::{LazyLock, Mutex, PoisonError};

use super::{DevCa, DevCaError};

/// How many trust domains one process can share authorities for.
pub const MAX_SHARED: usize = 64;

static SHARED: LazyLock<Mutex<BTreeMap<String, DevCa>>> = LazyLock::new(Mutex::default);

/// The authority of `trust_domain` in this process: made on first use, the same ever after.
///
/// # Errors
/// As [`DevCa::new`]; [`DevCaError::TooManyShared`] for one domain more than [`MAX_SHARED`].
pub fn shared(trust_domain: &str) -> Result<DevCa, DevCaError> {
    // The map is changed by one insertion only, so a poisoned lock guards a sound map.
    let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
    lookup(&mut shared, trust_domain)
}

fn lookup(shared: &mut BTreeMap<String, DevCa>, name: &str) -> Result<DevCa, DevCaError> {
    if let Some(ca) = shared.get(name) {
        return Ok(ca.clone());
    }
    if shared.len() >= MAX_SHARED {
        return Err(DevCaError::TooManyShared);
    }
    let ca = DevCa::new(name)?;
    shared.insert(name.to_owned(), ca.clone());
    Ok(ca)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_trust_domain_has_one_authority() {
        let first = shared("registry.example").unwrap();
        let second = shared("registry.example").unwrap();
        assert_eq!(first.bundle_pem(), second.bundle_pem());
        assert_ne!(shared("other.example").unwrap().bundle_pem(), first.bundle_pem());
    }

    #[test]
    fn the_map_is_bounded() {
        let mut map = BTreeMap::new();
        for i in 0..MAX_SHARED {
            lookup(&mut map, &format!("d{i}")).unwrap();
        }
        assert!(matches!(lookup(&mut map, "one-more"), Err(DevCaError::TooManyShared)));
        assert!(lookup(&mut map, "d0").is_ok());
    }
}
