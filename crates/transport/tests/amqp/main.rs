//! Tests RabbitMQ against real nodes, which these tests start, kill, stop and restart themselves.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test fails where its steps do, helpers included")]

mod conformance;
mod dead_letters;
mod deleted;
mod ending;
mod faults;
mod inspection;
mod lost_connections;
mod node;
mod refusals;
mod silent;
mod tls;
mod topology;
mod unreadable;
