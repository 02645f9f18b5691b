//! A call on one screen: resolve, take seats, do what is to be done here, publish the rest, start what goes on.

use std::collections::BTreeMap;
use std::slice;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::future::try_join_all;
use quash_core::answer::AnswerId;
use quash_core::event::{Format, Payload};
use quash_core::resolve::{Refused, Remaining, Request, Resolution, Resolved};
use tokio::sync::OwnedSemaphorePermit;

use super::answered::{Pending, Waits};
use super::job::{self, Job};
use super::layout::Group;
use super::publish::Outgoing;
use super::receipt::{Cause, DispatchError, Receipt, Ticket};
use super::room::Seat;
use super::work::{Next, Work};
use super::{Inner, Running, now_ms};
use crate::event::Event;
use crate::event::pack::{Parcel, pack, pack_asking};
use quash_delivery::headers;
use quash_transport::Message;

/// What a call comes from.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Caller {
    /// A tokio runtime, which polls this.
    Tokio,
    /// Something else: the engine polls this.
    Foreign,
}

/// What the caller wants to know.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Wish {
    /// That the events are in good hands.
    Receipt,
    /// When they are done.
    Answer,
}

/// Work of one message, and where it runs.
struct Seated<'i> {
    running: &'i Running,
    work: Work,
    /// Nothing where the caller does it.
    seat: Option<OwnedSemaphorePermit>,
}

/// What is published at the end of a call.
#[derive(Default)]
struct Outbox {
    /// By source, with the time that the caller grants.
    sources: BTreeMap<String, (Outgoing, Duration)>,
    /// Messages for the buffer, where there is one.
    buffered: Vec<(Message, Arc<[Event]>)>,
}

impl Inner {
    /// Accepts events, or gives all of them back.
    pub(super) async fn accept(
        self: Arc<Self>,
        mut events: Arc<[Event]>,
        caller: Caller,
        wish: Wish,
    ) -> Result<Receipt, DispatchError> {
        if let Some(error) = events.iter().find_map(|event| event.check().err()) {
            return Err(DispatchError::of_events(Cause::Event(error), events.to_vec()));
        }
        for event in Arc::make_mut(&mut events) {
            event.sign(self.source.as_ref(), &self.origin);
        }
        let accepted = self.try_accept(&events, caller, wish).await;
        accepted.map_err(|cause| DispatchError::of_events(cause, events.to_vec()))
    }

    async fn try_accept(self: &Arc<Self>, all: &Arc<[Event]>, caller: Caller, wish: Wish) -> Result<Receipt, Cause> {
        if self.is_closed.load(Ordering::Acquire) {
            return Err(Cause::Closed);
        }
        let parcels = match wish {
            Wish::Receipt => pack(all, &self.limits)?,
            Wish::Answer => pack_asking(all, &self.limits)?,
        };
        let mut asked = Vec::new();
        let (mut receipt, mut outbox, mut jobs) = (Receipt::default(), Outbox::default(), Vec::new());
        for parcel in parcels {
            let found = self.resolve(&parcel);
            let (mut seated, is_refused) = found.map_or_else(|_| (Vec::new(), true), |works| (works, false));
            if wish == Wish::Receipt {
                self.seat(&mut seated, caller).await?;
            }
            let mut pending = parcel.answer.map(Pending::new);
            if self.always_publishes || is_refused {
                let done = seated.iter().flat_map(|seated| seated.work.caches().iter().map(String::as_str));
                self.leave_to_workers(&parcel, done.collect(), &mut outbox);
                receipt.is_queued = true;
                pending.iter_mut().for_each(|pending| pending.is_queued = true);
            }
            for Seated { running, work, seat } in seated {
                match seat {
                    None => {
                        let remains = self.here(running, work, &mut receipt).await;
                        pending.iter_mut().for_each(|pending| pending.add(remains.as_ref()));
                        remains.into_iter().for_each(|remains| outbox.add(remains, running.group.timeout));
                    }
                    Some(seat) => jobs.push((running, work, seat)),
                }
            }
            asked.extend(pending);
        }
        receipt.waits = (wish == Wish::Answer).then(|| Waits { inner: Arc::clone(self), messages: asked });
        if !outbox.is_empty() {
            self.publish(outbox, &mut receipt).await?;
        }
        for (running, work, seat) in jobs {
            receipt.background.extend(work.caches().iter().cloned());
            let ticket = Ticket::open(self, Arc::clone(&work.parcel().events));
            running.start(Job { work, group: Arc::clone(&running.group), ticket, seat });
        }
        Ok(receipt)
    }

    /// What the event asks of each dispatcher of this process.
    ///
    /// # Errors
    /// When a rule refuses it: that is for a worker, which makes a dead letter of it.
    fn resolve<'i>(&'i self, parcel: &Parcel) -> Result<Vec<Seated<'i>>, Refused> {
        let change = parcel.change();
        let mut works = Vec::new();
        for running in &self.groups {
            let resolution = match &change {
                Some(change) => self.resolver.resolve_changes(slice::from_ref(change), Some(&running.group.scope)),
                None => self.resolve_message(&parcel.message(), &running.group),
            };
            let work = self.work(parcel, &running.group, resolution)?;
            works.extend(work.map(|work| Seated { running, work, seat: None }));
        }
        Ok(works)
    }

    fn resolve_message(&self, message: &Message, group: &Group) -> Resolution {
        let payload = Payload { body: &message.payload, headers: &[] };
        let remaining = Remaining { scope: Some(&group.scope), ..Remaining::ALL };
        self.resolver.resolve(&[Request { payload, format: Format::Json, remaining }])
    }

    fn work(&self, parcel: &Parcel, group: &Group, mut resolution: Resolution) -> Result<Option<Work>, Refused> {
        let asked = match resolution.outcomes.pop() {
            Some(Resolved::Matched(matched)) => matched,
            Some(Resolved::Refused(refused)) => return Err(refused),
            Some(Resolved::Unmatched { .. }) | None => return Ok(None),
        };
        let names = self.resolver.caches();
        let caches: Vec<String> =
            resolution.cache_matches.iter().filter_map(|(cache, _)| names.get(cache.index()).cloned()).collect();
        // A direct command that names no cache is the default's, whoever else is asked.
        if caches.is_empty() && group.scope.only.is_some() {
            return Ok(None);
        }
        let has_later = asked.next_pass.is_some() && !self.always_publishes;
        Ok(Some(Work::new(parcel.clone(), resolution.plan.shares, caches, has_later)))
    }

    /// Takes a seat for everything that goes on in the background, before anything is done.
    async fn seat(&self, works: &mut [Seated<'_>], caller: Caller) -> Result<(), Cause> {
        for Seated { running, seat, .. } in works {
            let Some(background) = &running.background else { continue };
            // Where no runtime of the caller's goes on, he does it himself.
            if background.pool.is_some() || caller == Caller::Tokio {
                *seat = match background.room.seat(&self.hand).await? {
                    Seat::Taken(seat) => Some(seat),
                    Seat::Caller => None,
                };
            }
        }
        Ok(())
    }

    /// Leaves to workers what of the event is not done here.
    fn leave_to_workers(&self, parcel: &Parcel, done: Vec<&str>, outbox: &mut Outbox) {
        let mut message = parcel.message();
        if !done.is_empty() {
            message.headers.set(headers::CACHES_DONE, done.join(","));
        }
        match &self.buffer {
            Some(_) => outbox.buffered.push((message, Arc::clone(&parcel.events))),
            None => outbox.of(&self.home.source, self.home.timeout).messages.push(message),
        }
    }

    /// Does the work before the call returns, and gives what goes elsewhere of it.
    async fn here(&self, running: &Running, mut work: Work, receipt: &mut Receipt) -> Option<Outgoing> {
        let group = &*running.group;
        while let Next::Again(delay) = work.attempt(group, self.scene(), now_ms).await {
            tokio::time::sleep(delay).await;
        }
        receipt.is_handed_over |= !work.is_done();
        if work.is_done() {
            receipt.add_done(work.caches().to_vec());
        }
        work.remains(group, self.scene(), now_ms())
    }

    /// Publishes to all sources at once, and leaves in the buffer what goes there.
    async fn publish(self: &Arc<Self>, outbox: Outbox, receipt: &mut Receipt) -> Result<(), Cause> {
        let mut rooms = Vec::with_capacity(outbox.buffered.len());
        if let Some(buffer) = &self.buffer {
            for left in outbox.buffered {
                rooms.push((buffer.room(&self.hand).await?, left));
            }
        }
        let calls = outbox.sources.into_values().map(|(outgoing, limit)| self.publisher.publish(outgoing, limit));
        try_join_all(calls).await?;
        for (room, (message, events)) in rooms {
            receipt.waiting.push(room.leave(message, Ticket::open(self, events)));
        }
        Ok(())
    }
}

impl Outbox {
    fn is_empty(&self) -> bool {
        self.sources.is_empty() && self.buffered.is_empty()
    }

    fn add(&mut self, remains: Outgoing, limit: Duration) {
        let source = remains.source.clone();
        self.of(&source, limit).add(remains);
    }

    fn of(&mut self, source: &str, limit: Duration) -> &mut Outgoing {
        let fresh = || (Outgoing::new(source), limit);
        &mut self.sources.entry(source.to_owned()).or_insert_with(fresh).0
    }
}

impl Pending {
    const fn new(id: AnswerId) -> Self {
        Self { id, is_queued: false, handed_over: Vec::new(), is_letter: false }
    }

    /// Notes what went elsewhere. The first pass of what is only left its later ones is done.
    fn add(&mut self, remains: Option<&Outgoing>) {
        let Some(remains) = remains else { return };
        self.is_letter |= !remains.letters.is_empty();
        let is_undone = |message: &Message| message.headers.get(headers::CACHES_DONE).is_none();
        if remains.messages.iter().any(is_undone) {
            self.handed_over.push(remains.source.clone());
        }
    }
}

impl Outgoing {
    fn add(&mut self, mut more: Self) {
        self.messages.append(&mut more.messages);
        self.letters.append(&mut more.letters);
    }
}

impl Running {
    /// Starts work that somebody has a seat for.
    fn start(&self, job: Job) {
        match self.background.as_ref().and_then(|background| background.pool.as_ref()) {
            Some(pool) => pool.push(job),
            // Within the caller's runtime: seats are only taken there.
            None => drop(tokio::spawn(job::run(job))),
        }
    }
}
