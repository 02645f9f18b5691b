//! Tests Redis Streams against real servers, which these tests start, kill, stop and restart themselves.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test fails where its steps do, helpers included")]

mod conformance;
mod faults;
mod groups;
mod inspection;
mod layouts;
mod losses;
mod refusals;
mod rights;
mod server;
mod taking_over;
mod tls;
