//! Honest mistakes and limits: named as such, and never taken for forgery.

mod checks;
mod framing;
mod limits;
mod statuses;
mod tags;
mod words;
