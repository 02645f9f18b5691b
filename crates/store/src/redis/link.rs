//! Holds the connections to all masters of a cache, one for a standalone server, and shares out commands among them.

use futures_util::future::try_join_all;
use redis::Value;

use super::node::Node;
use super::order::{Key, Order, Tally, unlinks, voids};
use super::slot::{Slots, slot};
use super::topology::topology;
use crate::StoreError;
use quash_core::action::Void;

/// How many commands travel in one write at most: the response timeout bounds the whole write.
const ROUND_COMMANDS_MAX: usize = 1024;

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
        try_join_all(rounds).await?.into_iter().for_each(|part| tally.merge(part));
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
    /// have missed what moved meanwhile. All of them are asked, since a master that lost its slots while it was cut off
    /// lets itself be scanned, and shows itself as their owner.
    ///
    /// # Errors
    /// When they have moved, or a node is not in step with the others.
    pub(super) async fn still_whole(&self) -> Result<(), StoreError> {
        let Some(slots) = &self.slots else { return Ok(()) };
        for (node, (standing, now)) in self.nodes.iter().zip(try_join_all(self.nodes.iter().map(topology)).await?) {
            if !standing.whole {
                let why = format!("the node at {} says that its cluster is down", node.address);
                return Err(StoreError::Unreachable(why));
            }
            if !slots.same(&now) {
                let why = "slots of the cluster moved while its keys were scanned".to_owned();
                return Err(StoreError::Unreachable(why));
            }
        }
        Ok(())
    }
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
