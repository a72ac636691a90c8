//! A plain TCP balancer before two instances of a direct callee.
