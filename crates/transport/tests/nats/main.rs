//! Tests NATS JetStream against real servers, which these tests start, kill, stop and restart themselves.

#![expect(clippy::unwrap_used, reason = "a test fails where its steps do, helpers included")]

mod conformance;
mod dropped;
mod faults;
mod flow;
mod limits;
mod losses;
mod rights;
mod server;
mod stranded;
mod tls;
mod topology;
mod unreadable;
