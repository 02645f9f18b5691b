//! Reads with the crate as applications do: in memory, and on a real Redis.

#![expect(clippy::unwrap_used, reason = "helpers outside of test functions may fail where they stand as well")]

mod arguments;
mod failures;
mod fresh;
mod l1;
mod many;
mod packed;
mod races;
mod scene;
mod schedules;
mod waiting;
