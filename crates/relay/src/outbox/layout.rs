//! Holds the layout of the outbox as SQL.

/// The table with its index; the Django app of the Python client makes the same.
pub const LAYOUT: &str = include_str!("layout.sql");
/// The trigger that wakes relays.
pub const NOTIFY: &str = include_str!("notify.sql");
/// What that trigger notifies, whatever the table is called.
pub(super) const CHANNEL: &str = "quash_outbox";
