//! Promises that no sequence of receiving, settling, parking, releasing and dying loses a message.

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;
use fastrand::Rng;

use super::Harness;
use super::tools::{LIMIT, ack, consume, dead, holding, later, numbered, ok, payloads_of, set_of};
use crate::{Backlog, Consumer, Delivery, Message, Transport, Verdict};

/// Whatever consumers do and whenever they die, each message is acked in the end or a dead letter; nothing remains.
pub async fn nothing_is_lost_in_random_histories(harness: &dyn Harness) {
    for seed in 0..4 {
        let mut history = History::begin(harness, seed).await;
        for _ in 0..150 {
            history.step().await;
        }
        history.end().await;
    }
}

struct History {
    random: Rng,
    seed: u64,
    transport: std::sync::Arc<dyn Transport>,
    published: Vec<Message>,
    acked: BTreeSet<Bytes>,
    buried: BTreeSet<Bytes>,
    consumers: Vec<(Consumer, Vec<Delivery>)>,
    born: usize,
}

impl History {
    async fn begin(harness: &dyn Harness, seed: u64) -> Self {
        Self {
            random: Rng::with_seed(seed),
            seed,
            transport: holding(harness, &[]).await,
            published: Vec::new(),
            acked: BTreeSet::new(),
            buried: BTreeSet::new(),
            consumers: Vec::new(),
            born: 0,
        }
    }

    async fn step(&mut self) {
        match self.random.u8(0..20) {
            0..5 => self.publish().await,
            5..7 => self.be_born().await,
            7..13 => self.receive().await,
            13..18 => self.settle().await,
            _ => self.die(),
        }
    }

    async fn publish(&mut self) {
        let first = self.published.len();
        let messages = numbered(first..first + self.random.usize(1..20));
        ok(self.transport.publish(&messages).await, "publish");
        self.published.extend(messages);
    }

    async fn be_born(&mut self) {
        if self.consumers.len() < 3 {
            self.born += 1;
            let name = format!("c{}-{}", self.seed, self.born);
            self.consumers.push((consume(&*self.transport, &name, self.random.usize(1..9)).await, Vec::new()));
        }
    }

    async fn receive(&mut self) {
        let patience = Duration::from_millis(self.random.u64(0..20));
        let Some((consumer, held)) = self.random.choice(&mut self.consumers) else { return };
        if let Ok(batch) = tokio::time::timeout(patience, consumer.receiver.receive()).await {
            held.extend(ok(batch, "receive"));
        }
    }

    async fn settle(&mut self) {
        let index = self.random.usize(0..self.consumers.len().max(1));
        let Some((_, held)) = self.consumers.get_mut(index) else { return };
        self.random.shuffle(held);
        let count = self.random.usize(0..=held.len());
        let settled: Vec<_> = held.drain(..count).collect();
        let verdicts: Vec<_> = settled.iter().map(|delivery| (delivery.tag, self.verdict(delivery))).collect();
        if let Some((consumer, _)) = self.consumers.get(index) {
            ok(consumer.settler.settle(&verdicts).await, "settle");
        }
    }

    fn verdict(&mut self, delivery: &Delivery) -> Verdict {
        let payload = delivery.message.payload.clone();
        match self.random.u8(0..10) {
            0..5 => {
                self.acked.insert(payload);
                Verdict::Ack
            }
            5..7 => later(delivery, Duration::from_millis(self.random.u64(0..100))),
            7 => Verdict::Release,
            8 => {
                self.buried.insert(payload);
                dead(delivery)
            }
            _ => self.split(delivery),
        }
    }

    /// Part of the work is parked, another part is dead.
    fn split(&mut self, delivery: &Delivery) -> Verdict {
        self.buried.insert(delivery.message.payload.clone());
        match (later(delivery, Duration::from_millis(20)), dead(delivery)) {
            (Verdict::Replace(mut copies), Verdict::Replace(more)) => {
                copies.extend(more);
                Verdict::Replace(copies)
            }
            (verdict, _) => verdict,
        }
    }

    fn die(&mut self) {
        if !self.consumers.is_empty() {
            let index = self.random.usize(0..self.consumers.len());
            self.consumers.swap_remove(index);
        }
    }

    async fn end(mut self) {
        self.consumers.clear();
        let mut last = consume(&*self.transport, &format!("last{}", self.seed), 16).await;
        let (transport, acked) = (&self.transport, &mut self.acked);
        let draining = async {
            while ok(transport.backlog().await, "backlog") != Backlog::default() {
                let batch = tokio::time::timeout(Duration::from_millis(100), last.receiver.receive()).await;
                if let Ok(batch) = batch {
                    let batch = ok(batch, "receive");
                    ack(&last, &batch).await;
                    acked.extend(super::tools::payloads(&batch));
                }
            }
        };
        let drained = tokio::time::timeout(LIMIT, draining).await;
        assert!(drained.is_ok(), "seed {}: not drained after {LIMIT:?}", self.seed);
        let letters = ok(self.transport.dead_letters().scan(None, 10_000).await, "scan");
        let dead: BTreeSet<_> = payloads_of(&letters).into_iter().collect();
        assert!(dead.is_subset(&self.buried), "seed {}: a dead letter that nobody buried", self.seed);
        let ended: BTreeSet<_> = self.acked.union(&dead).cloned().collect();
        assert_eq!(ended, set_of(&self.published), "seed {}: not everything ended", self.seed);
        let ids: Vec<_> = letters.into_iter().map(|(id, _)| id).collect();
        ok(self.transport.dead_letters().remove(&ids).await, "remove");
    }
}
