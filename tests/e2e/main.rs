//! Runs every test against the built binary and real servers, one promise a file.

// What the promises are proven with.
mod foreign;
mod harness;
mod put_back;
mod scene;

// The promises.
mod answers;
mod bad_input;
mod borders;
mod chaos;
mod check;
mod cli;
mod cloud_events;
mod commands;
mod denied;
mod dispatch;
mod dlq;
mod example;
mod freshness;
mod hand_over;
mod later;
mod lifecycle;
mod live;
mod outage;
mod outbox;
mod oversized;
mod page;
mod poison;
mod postgres;
mod recorded;
mod relay;
mod sources;
mod types;

// The rules of the source tree.
mod tidy;
mod tidy_names;
mod unreadable;
mod verify;
mod watching;
