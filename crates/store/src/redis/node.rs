//! Sends commands over the connection to one master.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use redis::aio::MultiplexedConnection;
use redis::{Cmd, Pipeline, Value};

use super::reply::down;
use super::rest::Rest;
use crate::StoreError;

/// One master.
pub(super) struct Node {
    /// `host:port`, or the path of a socket.
    pub(super) address: String,
    pub(super) connection: MultiplexedConnection,
    rest: Mutex<Rest>,
}

impl Node {
    /// A master behind a connection that was just made.
    pub(super) fn new(address: String, connection: MultiplexedConnection) -> Self {
        Self { address, connection, rest: Mutex::new(Rest::new(Instant::now())) }
    }

    /// What passes over its keys owe it. Held for moments only, never across an await.
    pub(super) fn rest(&self) -> MutexGuard<'_, Rest> {
        self.rest.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends commands in one write and returns their replies, errors of the server among them.
    ///
    /// # Errors
    /// When the connection broke or the server did not answer in time. It must not be used again then: a late reply
    /// would be taken for that of another command.
    pub(super) async fn send(&self, commands: impl IntoIterator<Item = Cmd>) -> Result<Vec<Value>, StoreError> {
        let mut pipeline = Pipeline::new();
        for command in commands {
            pipeline.add_command(command);
        }
        if pipeline.is_empty() {
            return Ok(Vec::new());
        }
        let count = pipeline.len();
        let replies = self.connection.clone().send_packed_commands(&pipeline, 0, count).await;
        replies.map_err(|error| down(&error))
    }

    /// Sends one command.
    ///
    /// # Errors
    /// As [`Node::send`].
    pub(super) async fn ask(&self, command: Cmd) -> Result<Value, StoreError> {
        self.connection.clone().send_packed_command(&command).await.map_err(|error| down(&error))
    }
}
