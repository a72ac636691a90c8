//! What a service saved of its normal.

use meshguard_core::baseline::{Baselines, Settings};

/// A snapshot is taken over whole, or refused whole.
pub fn baseline(data: &[u8]) {
    let mut baselines = Baselines::new(Settings::default());
    match baselines.restore(data) {
        Ok(()) => assert_eq!(baselines.snapshot(), data, "a snapshot is not what it was"),
        Err(_) => assert!(baselines.is_empty(), "some of a refused snapshot was taken over"),
    }
}
