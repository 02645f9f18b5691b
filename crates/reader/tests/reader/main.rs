//! Reads with the crate as applications do: in memory, and on a real Redis.

mod arguments;
mod failures;
mod fresh;
mod l1;
mod many;
mod races;
mod scene;
mod waiting;
