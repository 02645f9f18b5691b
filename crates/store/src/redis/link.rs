//! Holds the connections to all masters of a cache, one for a standalone server, and sends pipelines over them.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use redis::aio::MultiplexedConnection;
use redis::{Cmd, Pipeline, Value};

use super::order::{Key, Order, Tally, unlinks, voids};
use super::reply::{answer, down};
use super::rest::Rest;
use super::slot::{Slots, parse, slot};
use crate::StoreError;
use quash_core::action::Void;

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

    /// Puts keys into as few calls of the script as the servers allow, in a cluster each of one slot.
    pub(super) fn voids<'a>(&self, keys: Vec<(Void, Key<'a>)>) -> Vec<Order<'a>> {
        voids(keys, |key| self.slots.as_ref().map(|_| slot(&key.name)))
    }

    /// Sends orders to the nodes that serve their keys, all nodes at once, and books the replies.
    ///
    /// # Errors
    /// When a node does not answer or cannot work now; what is booked then is not all.
    pub(super) async fn round<'a>(&self, orders: Vec<Order<'a>>, tally: &mut Tally<'a>) -> Result<(), StoreError> {
        if let [node] = &self.nodes[..] {
            return node_round(node, orders, tally).await;
        }
        let mut shares: Vec<Vec<Order<'a>>> = self.nodes.iter().map(|_| Vec::new()).collect();
        for order in orders {
            shares[self.node(order.key())?].push(order);
        }
        let actions = tally.len();
        let rounds = self.nodes.iter().zip(shares).map(|(node, share)| async move {
            let mut part = Tally::new(actions);
            node_round(node, share, &mut part).await.map(|()| part)
        });
        futures_util::future::try_join_all(rounds).await?.into_iter().for_each(|part| tally.merge(part));
        Ok(())
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
        let mut replies = node.send([redis::cmd("ASKING"), order.command()]).await?;
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

async fn node_round<'a>(node: &Node, orders: Vec<Order<'a>>, tally: &mut Tally<'a>) -> Result<(), StoreError> {
    let mut waiting = orders;
    while !waiting.is_empty() {
        let later = waiting.split_off(waiting.len().min(ROUND_COMMANDS_MAX));
        let replies = match &waiting[..] {
            [alone] => vec![node.ask(alone.command()).await?],
            several => node.send(several.iter().map(Order::command)).await?,
        };
        for (order, reply) in waiting.into_iter().zip(replies) {
            tally.book(order, reply)?;
        }
        waiting = later;
    }
    Ok(())
}
