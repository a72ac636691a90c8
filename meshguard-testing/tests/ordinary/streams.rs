//! Streams as gRPC uses them: many small messages, budgets of both ends, deadlines.
