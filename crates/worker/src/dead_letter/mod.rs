//! Keeps what could not be done, and explains it.
//!
//! A dead letter is a [`Message`](quash_transport::Message) in the broker that carried the event; its
//! `Record` says why it is there. [`Letter`] reads one, whoever wrote it; [`filter`] and [`select`] say which are meant;
//! [`replay`] sends them back.

// What a letter says.
pub mod letter;
pub mod pretty;

// Which letters are meant.
pub mod filter;
pub mod groups;
pub mod select;

// What can be done with them.
pub mod archive;
pub mod discard;
pub mod replay;

// What programs are told of all that.
pub mod report;

#[cfg(any(test, feature = "testing"))]
#[expect(clippy::unwrap_used, reason = "a double that cannot go on fails its test")]
pub mod testing;

pub use letter::{About, Legibility, Letter};
