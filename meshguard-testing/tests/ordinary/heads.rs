//! Heads are the application's: what it sets arrives, and what it reads is true.
