//! Calls that their caller gives up.
