//! Runs the stores against real servers, which it starts and kills itself.

#![expect(clippy::unwrap_used, reason = "helpers outside of test functions may fail where they stand as well")]

mod cluster;
mod fixture;
mod sentinel;
mod server;
mod standalone;
mod tls;
