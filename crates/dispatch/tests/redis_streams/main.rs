//! Tests Redis Streams against real servers, which these tests start, kill, stop and restart themselves.

mod conformance;
mod server;
