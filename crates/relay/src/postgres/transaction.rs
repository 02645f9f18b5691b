//! Makes messages of the log's transactions: one each, or several parts where it is too large for one. Pure.

use std::collections::{BTreeSet, HashMap};

use bytes::Bytes;
use quash_core::event::{EventLimits, Op};

use super::pgoutput::{Malformed, Message};
use super::position::{Epochs, Lsn};
use super::table::{Bounds, Change, Table};
use super::types::Names;

/// Larger transactions are cut into parts of this size: one bad event then costs only its part.
const PART_BYTES: usize = 256 * 1024;
/// What stands around the events of a part, at most: ids of 20 digits, the relay's name is counted beside it.
const AROUND_BYTES: usize = 300;
/// An event alone may be larger than a part; every broker takes this much unless it was told not to.
const EVENT_BYTES: usize = 512 * 1024;
/// Levels of nesting around a column's value: the message, its list, the event, the image.
const LEVELS_AROUND: usize = 4;
/// What messages in the log are prefixed with that are meant for Quash.
const PREFIX: &str = "quash";
/// From 1970-01-01 to 2000-01-01, where PostgreSQL's time begins.
const EPOCH_US: i64 = 946_684_800_000_000;

/// Gathers the changes of transactions into messages.
pub(super) struct Assembler {
    /// How the relay is called in its events.
    source: String,
    /// The identifier of the database system.
    system: String,
    epochs: Epochs,
    bounds: Bounds,
    part_bytes: usize,
    part_events: usize,
    purge_on_schema_change: bool,
    tables: HashMap<u32, Table>,
    names: Names,
    open: Option<Open>,
    out: Made,
}

/// What came of the log since it was last asked for.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Made {
    /// The messages, in order.
    pub(super) messages: Vec<Bytes>,
    /// How far the log is told whole by these messages and those before.
    pub(super) reached: Option<u64>,
    /// Changes of rows.
    pub(super) rows: u64,
    /// Transactions.
    pub(super) transactions: u64,
    /// When the last of them was committed, in microseconds since 1970.
    pub(super) committed_us: Option<i64>,
    /// Tables whose columns changed since the stream first described them.
    pub(super) altered: BTreeSet<String>,
}

/// A transaction of which not all is told.
struct Open {
    lsn: Lsn,
    time_us: i64,
    id: u64,
    part: u32,
    /// Events so far, in all parts.
    events: u64,
    /// Events of this part, with commas between them.
    body: Vec<u8>,
    in_part: usize,
}

impl Assembler {
    /// Begins at any place of the log; a whole transaction id of about now is near.
    pub(super) fn new(
        source: &str,
        system: &str,
        near: u64,
        limits: &EventLimits,
        purge_on_schema_change: bool,
    ) -> Self {
        let around = AROUND_BYTES + source.len();
        let event_bytes = EVENT_BYTES.min(limits.max_message_bytes).saturating_sub(around);
        Self {
            source: serde_json::Value::from(source).to_string(),
            system: system.to_owned(),
            epochs: Epochs::near(near),
            bounds: Bounds { event_bytes, value_depth: limits.depth().saturating_sub(LEVELS_AROUND) },
            part_bytes: PART_BYTES.min(limits.max_message_bytes).saturating_sub(around),
            part_events: limits.max_events,
            purge_on_schema_change,
            tables: HashMap::new(),
            names: Names::new(),
            open: None,
            out: Made::default(),
        }
    }

    /// Whether a transaction has begun that has not ended.
    pub(super) const fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// What was made since this was last asked.
    pub(super) fn made(&mut self) -> Made {
        std::mem::take(&mut self.out)
    }

    /// Takes the next message of the log.
    ///
    /// # Errors
    /// When it is none, or does not follow from those before.
    pub(super) fn take(&mut self, bytes: &[u8]) -> Result<(), Misread> {
        match super::pgoutput::decode(bytes)? {
            Message::Begin { commit_lsn, time, xid } => self.begin(commit_lsn, time, xid),
            Message::Commit { end_lsn } => self.commit(end_lsn),
            Message::Relation(columns) => self.described(&Table::new(&columns, &self.names), columns.oid),
            Message::Type { oid, schema, name } => {
                self.names.insert(oid, (schema.is_empty(), name.to_owned()));
                Ok(())
            }
            Message::Insert { relation, new } => {
                self.changed(relation, &Change { op: Op::Create, old: None, new: Some(&new) })
            }
            Message::Update { relation, old, new } => {
                self.changed(relation, &Change { op: Op::Update, old: old.as_ref(), new: Some(&new) })
            }
            Message::Delete { relation, old } => {
                self.changed(relation, &Change { op: Op::Delete, old: Some(&old), new: None })
            }
            Message::Truncate { relations } => relations.into_iter().try_for_each(|relation| self.emptied(relation)),
            Message::Logical { transactional, prefix: PREFIX, content, .. } => self.notice(transactional, content),
            Message::Logical { .. } | Message::Origin => Ok(()),
        }
    }

    fn begin(&mut self, commit_lsn: u64, time: i64, xid: u32) -> Result<(), Misread> {
        if self.open.is_some() {
            return Err(Misread::Order("a transaction begins inside of another"));
        }
        let (lsn, id) = (Lsn(commit_lsn), self.epochs.whole(xid));
        let time_us = time.saturating_add(EPOCH_US);
        self.open = Some(Open { lsn, time_us, id, part: 1, events: 0, body: Vec::new(), in_part: 0 });
        Ok(())
    }

    fn commit(&mut self, end_lsn: u64) -> Result<(), Misread> {
        let mut open = self.open.take().ok_or(Misread::Order("a commit without its transaction"))?;
        if open.in_part > 0 {
            let message = self.part(&mut open, true);
            self.out.messages.push(message);
        }
        self.out.reached = Some(end_lsn);
        self.out.transactions += 1;
        self.out.committed_us = Some(open.time_us);
        Ok(())
    }

    fn described(&mut self, table: &Table, oid: u32) -> Result<(), Misread> {
        let altered = self.tables.get(&oid).is_some_and(|known| known.differs_from(table));
        self.tables.insert(oid, table.clone());
        if !altered {
            return Ok(());
        }
        self.out.altered.insert(table.entity.clone());
        if self.purge_on_schema_change { self.emptied(oid) } else { Ok(()) }
    }

    fn changed(&mut self, relation: u32, change: &Change<'_>) -> Result<(), Misread> {
        self.event(relation, |table, id, bounds, out| table.spell(change, id, bounds, out))
    }

    fn emptied(&mut self, relation: u32) -> Result<(), Misread> {
        self.event(relation, |table, id, _, out| table.emptied(id, out))
    }

    /// Adds an event to the part, or to the next one where it does not fit. What is full is closed only when more follows, so that
    /// the last part is known to be the last.
    fn event(&mut self, relation: u32, spell: impl FnOnce(&Table, &str, Bounds, &mut Vec<u8>)) -> Result<(), Misread> {
        let table = self.tables.get(&relation).ok_or(Misread::Order("a row of a table that was not described"))?;
        let mut open = self.open.take().ok_or(Misread::Order("a row outside of transactions"))?;
        open.events += 1;
        let id = format!("{}:{}:{}", self.system, open.lsn, open.events);
        let before = open.body.len();
        if before > 0 {
            open.body.push(b',');
        }
        spell(table, &id, self.bounds, &mut open.body);
        self.out.rows += 1;
        if before > 0 && (open.body.len() > self.part_bytes || open.in_part >= self.part_events) {
            let event = open.body.split_off(before + 1);
            open.body.truncate(before);
            let message = self.part(&mut open, false);
            self.out.messages.push(message);
            open.body = event;
        }
        open.in_part += 1;
        self.open = Some(open);
        Ok(())
    }

    /// Closes the part.
    fn part(&self, open: &mut Open, last: bool) -> Bytes {
        let Self { source, system, .. } = self;
        let Open { lsn, time_us, id, part, .. } = open;
        let time = jiff::Timestamp::from_microsecond(*time_us)
            .map(|time| format!(",\"time\":\"{time:.6}\""))
            .unwrap_or_default();
        let head = format!(
            "{{\"id\":\"{system}:{lsn}/{part}\",\"source\":{source}{time},\"transaction\":{{\"id\":\"{id}\",\
             \"system\":\"{system}\",\"lsn\":\"{lsn}\",\"part\":{part},\"last\":{last}}},\"events\":["
        );
        let body = std::mem::take(&mut open.body);
        (open.part, open.in_part) = (open.part + 1, 0);
        [head.as_bytes(), &body, b"]}"].concat().into()
    }

    /// A message that an application wrote into the log goes as it is: what is wrong with it becomes a dead letter.
    fn notice(&mut self, transactional: bool, content: &[u8]) -> Result<(), Misread> {
        if transactional && self.open.is_none() {
            return Err(Misread::Order("a message outside of its transaction"));
        }
        self.out.messages.push(Bytes::copy_from_slice(content));
        Ok(())
    }
}

/// Why the log cannot be read on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Misread {
    /// Bytes that are no message.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// A message that does not follow from those before.
    #[error("the messages of the log cannot be understood: {0}")]
    Order(&'static str),
}

#[cfg(test)]
mod tests;
