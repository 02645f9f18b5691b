//! Relays the events of a table in PostgreSQL that the application's own transactions write: an outbox.

// The flow: from the table to the broker.
mod session;

// The table, and how it is talked to.
mod database;
pub mod layout;

use quash_config::Finding;
use quash_dispatch::config::OutboxTable;

use crate::error::RelayError;
use crate::postgres::Address;
pub(crate) use session::Session;

/// What `check --connect` says of it. Changes nothing.
///
/// # Errors
/// When the database cannot be asked, or has no such table.
pub(crate) async fn inspect(address: &Address, table: &OutboxTable) -> Result<Vec<Finding>, RelayError> {
    database::Database::open(address, table).await?.look().await
}
