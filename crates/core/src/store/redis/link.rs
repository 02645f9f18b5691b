//! Holds the connections to all masters of a cache, one for a standalone server, and sends pipelines over them.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use redis::aio::MultiplexedConnection;
use redis::{Cmd, Pipeline, Value};

use super::order::{Key, Order, Tally, unlinks};
use super::reply::{answer, down};
use super::rest::Rest;
use super::slot::{Slots, parse, slot};
use crate::store::StoreError;

/// How many commands travel in one write at most: the response timeout bounds the whole write.
const ROUND_COMMANDS_MAX: usize = 1024;

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
    pub(super) async fn send(&self, commands: Vec<Cmd>) -> Result<Vec<Value>, StoreError> {
        if commands.is_empty() {
            return Ok(Vec::new());
        }
        let mut pipeline = Pipeline::with_capacity(commands.len());
        for command in commands {
            pipeline.add_command(command);
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
        Ok(self.send(vec![command]).await?.pop().unwrap_or(Value::Nil))
    }
}

/// The connections to a cache.
pub(super) struct Link {
    /// All masters; one for a standalone server.
    pub(super) nodes: Vec<Node>,
    /// Which of them serves which key; `None` outside of a cluster.
    pub(super) slots: Option<Slots>,
}

impl Link {
    /// The place of the node that serves a key.
    ///
    /// # Errors
    /// When the cluster has no node for it now.
    pub(super) fn node(&self, key: Option<&[u8]>) -> Result<usize, StoreError> {
        match (&self.slots, key) {
            (Some(slots), Some(key)) => slots
                .node(slot(key))
                .filter(|node| *node < self.nodes.len())
                .ok_or_else(|| StoreError::Unreachable(format!("no node serves slot {} of the cluster", slot(key)))),
            _ => Ok(0),
        }
    }

    /// Puts keys into as few commands as the servers allow: in a cluster, all keys of one must be of one slot.
    pub(super) fn unlinks<'a>(&self, keys: Vec<Key<'a>>) -> Vec<Order<'a>> {
        unlinks(keys, |key| self.slots.as_ref().map(|_| slot(&key.name)))
    }

    /// Sends orders to the nodes that serve their keys, all nodes at once, and books the replies.
    ///
    /// # Errors
    /// When a node does not answer or cannot work now.
    pub(super) async fn round<'a>(&self, orders: Vec<Order<'a>>, actions: usize) -> Result<Tally<'a>, StoreError> {
        let mut shares: Vec<Vec<Order<'a>>> = self.nodes.iter().map(|_| Vec::new()).collect();
        for order in orders {
            shares[self.node(order.key())?].push(order);
        }
        let rounds = self.nodes.iter().zip(shares).map(|(node, share)| node_round(node, share, actions));
        let mut tally = Tally::new(actions);
        futures_util::future::try_join_all(rounds).await?.into_iter().for_each(|part| tally.merge(part));
        Ok(tally)
    }

    /// Sends one order to the node that the server named for it while its slot is being moved.
    ///
    /// # Errors
    /// As [`Link::round`].
    pub(super) async fn redirected<'a>(
        &self,
        order: Order<'a>,
        address: &str,
        tally: &mut Tally<'a>,
    ) -> Result<(), StoreError> {
        let node = self.nodes.iter().find(|node| node.address == address);
        let node =
            node.ok_or_else(|| StoreError::Unreachable(format!("slots are moving to unknown node {address}")))?;
        let mut replies = node.send(vec![redis::cmd("ASKING"), order.command()]).await?;
        tally.book(order, replies.pop().unwrap_or(Value::Nil))
    }

    /// Makes sure that the slots are still where they were when the connections were made: a pass over all nodes may
    /// have missed what moved meanwhile.
    ///
    /// # Errors
    /// When they have moved.
    pub(super) async fn still_whole(&self) -> Result<(), StoreError> {
        let (Some(slots), Some(node)) = (&self.slots, self.nodes.first()) else { return Ok(()) };
        let host = node.address.rsplit_once(':').map_or("", |(host, _)| host);
        let now = parse(&answer(node.ask(cluster_slots()).await?)?, host);
        if slots.same(&now) {
            return Ok(());
        }
        Err(StoreError::Unreachable("slots of the cluster moved while its keys were scanned".to_owned()))
    }
}

/// The question which node serves which slots.
pub(super) fn cluster_slots() -> Cmd {
    let mut command = redis::cmd("CLUSTER");
    command.arg("SLOTS");
    command
}

async fn node_round<'a>(node: &Node, orders: Vec<Order<'a>>, actions: usize) -> Result<Tally<'a>, StoreError> {
    let mut tally = Tally::new(actions);
    let mut waiting = orders.into_iter().peekable();
    while waiting.peek().is_some() {
        let part: Vec<_> = waiting.by_ref().take(ROUND_COMMANDS_MAX).collect();
        let replies = node.send(part.iter().map(|order| order.command()).collect()).await?;
        for (order, reply) in part.into_iter().zip(replies) {
            tally.book(order, reply)?;
        }
    }
    Ok(tally)
}
