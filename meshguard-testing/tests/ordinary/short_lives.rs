//! Jobs that live for a few calls.
