//! Defines what readers and workers write at a key so that no load under way can store what is stale: bytes and scripts.
//!
//! A reader that misses puts a *lease* where the value would stand, loads, and stores only if its own lease still stands
//! there. Whatever removes the key voids every load under way.

pub mod chunks;
pub mod effect;
pub mod frame;
pub mod scripts;

pub use chunks::Chunks;
pub use frame::{
    Codec, Entry, Form, Frame, HEADER, HOLD, KeyLetter, MAGIC, State, TAGS_MAX, Tag, Token, TooManyTags, lease,
};
pub use scripts::{Filled, Script, Taken, Voided, Want};
