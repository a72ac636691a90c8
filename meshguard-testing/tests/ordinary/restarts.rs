//! A callee that went and came back: calls renew their session, whatever their kind.
