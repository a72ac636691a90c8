//! A service that passes on what its users send.
