//! Answers that come before their request has ended, and answers without a body.
