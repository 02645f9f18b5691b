//! Tests Redis Streams against real servers, which these tests start, kill, stop and restart themselves.

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
