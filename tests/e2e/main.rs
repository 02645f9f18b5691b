//! Runs every test against the built binary and real servers, one promise a file.

// What the promises are proven with.
mod harness;
mod scene;

// The promises.
mod bad_input;
mod cli;
mod commands;
mod dlq;
mod lifecycle;
mod outage;
mod postgres;

// The rules of the source tree.
mod tidy;
