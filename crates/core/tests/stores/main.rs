//! Runs the stores against real servers, which it starts and kills itself.

mod cluster;
mod fixture;
mod sentinel;
mod server;
mod standalone;
mod tls;
