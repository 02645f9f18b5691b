//! Replays and discards in the background: one piece of work a source at a time, which can be looked at and stopped.

use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::http::StatusCode;
use futures_util::FutureExt;
use quash_transport::TransportError;
use quash_worker::dead_letter::Letter;
use quash_worker::dead_letter::discard::{Discarded, discard};
use quash_worker::dead_letter::replay::{Rate, Replayed, replay};
use quash_worker::dead_letter::report::{DiscardReport, ReplayReport};
use quash_worker::dead_letter::select::{Choice, Selection, select};
use serde::Serialize;
use tokio::sync::watch;
use tokio::time::timeout;

use crate::ask::{Ask, UNCONFIRMED_MAX};
use crate::clock::now_ms;
use crate::refusal::Refusal;
use crate::shelf::Outline;
use crate::source::Source;
use crate::token::Who;

/// Pieces of work that are remembered after their end.
const REMEMBERED: usize = 20;
/// Letters of a set that are shown: enough to see whether the right ones are meant.
const SHOWN: usize = 20;
/// Names of letters that were left out which are remembered.
const NAMES_MAX: usize = 1000;

/// What is done with letters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Deed {
    Replay,
    Discard,
}

/// How far a piece of work is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Stage {
    /// It takes the set: it looks which letters are meant.
    Selecting,
    Running,
    Done,
    /// Somebody stopped it.
    Stopped,
    /// The set is another one than was confirmed: nothing was done.
    Refused,
    /// The broker broke it off.
    Failed,
}

/// The pieces of work of this process, the newest last.
#[derive(Default)]
pub(crate) struct Jobs {
    list: Mutex<VecDeque<Arc<Job>>>,
    numbered: AtomicU64,
}

/// One piece of work.
pub(crate) struct Job {
    pub(crate) id: u64,
    pub(crate) deed: Deed,
    pub(crate) source: String,
    pub(crate) who: Arc<str>,
    pub(crate) ask: Ask,
    begun_ms: i64,
    stop: watch::Sender<bool>,
    progress: Mutex<Progress>,
    ended: watch::Sender<bool>,
}

struct Progress {
    stage: Stage,
    ended_ms: Option<i64>,
    looked_at: u64,
    /// What was done of the set so far, while it runs.
    done: u64,
    /// The set, while it runs.
    selection: Arc<Selection>,
    report: Option<Report>,
    error: Option<String>,
    sample: Vec<Arc<Outline>>,
}

/// What came of it, as the commands say it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub(crate) enum Report {
    Replay(ReplayReport),
    Discard(DiscardReport),
}

/// A piece of work as it is shown.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct JobSeen {
    pub(crate) job: u64,
    pub(crate) action: Deed,
    pub(crate) stage: Stage,
    pub(crate) who: String,
    pub(crate) asked: Ask,
    pub(crate) begun_ms: i64,
    pub(crate) ended_ms: Option<i64>,
    /// Letters that were looked at while the set was taken.
    pub(crate) looked_at: u64,
    pub(crate) error: Option<String>,
    #[serde(flatten)]
    pub(crate) report: Report,
}

impl Jobs {
    /// Begins a piece of work.
    pub(crate) fn begin(&self, deed: Deed, ask: Ask, who: &Who, source: &Source) -> Result<Arc<Job>, Refusal> {
        let (choice, rate) = (ask.choice(deed == Deed::Replay)?, ask.rate()?);
        let job = Arc::new(Job {
            id: self.numbered.fetch_add(1, Relaxed) + 1,
            deed,
            source: source.name.clone(),
            who: Arc::clone(&who.name),
            ask,
            begun_ms: now_ms(),
            stop: watch::Sender::new(false),
            progress: Mutex::new(Progress::begins()),
            ended: watch::Sender::new(false),
        });
        let mut list = self.lock();
        if let Some(other) = list.iter().find(|other| other.source == source.name && !other.has_ended()) {
            let message = format!(
                "job {} by {} works on the letters of {} already: wait for it, or stop it",
                other.id, other.who, source.name
            );
            return Err(Refusal::new(StatusCode::CONFLICT, message));
        }
        while list.len() >= REMEMBERED {
            // One that has not ended is kept; there are as many of these as sources, at most.
            let Some(oldest) = list.iter().position(|job| job.has_ended()) else { break };
            list.remove(oldest);
        }
        list.push_back(Arc::clone(&job));
        drop(list);
        let (transport, shelf, working) = (Arc::clone(&source.transport), Arc::clone(&source.shelf), Arc::clone(&job));
        tokio::spawn(async move {
            let work = Work { job: &working, transport: &*transport, choice, rate };
            if AssertUnwindSafe(work.finish()).catch_unwind().await.is_err() {
                working.lock().fails("it broke off: see the log");
            }
            shelf.spoil();
            working.ended.send_replace(true);
        });
        Ok(job)
    }

    /// The job of that number, while it is remembered.
    pub(crate) fn get(&self, id: u64) -> Result<Arc<Job>, Refusal> {
        let found = self.lock().iter().find(|job| job.id == id).cloned();
        found.ok_or_else(|| Refusal::missing(format!("there is no job {id}, or it is forgotten by now")))
    }

    /// All that are remembered, the newest first.
    pub(crate) fn all(&self) -> Vec<Arc<Job>> {
        self.lock().iter().rev().cloned().collect()
    }

    /// Stops all of them between two batches, and waits so long for that.
    pub(crate) async fn stop_all(&self, limit: Duration) {
        let jobs = self.all();
        jobs.iter().for_each(|job| job.stop());
        for job in jobs {
            job.ended_within(limit).await;
        }
    }

    /// Held for moments only, never across an await.
    fn lock(&self) -> MutexGuard<'_, VecDeque<Arc<Job>>> {
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Job {
    /// Ends it between two batches.
    pub(crate) fn stop(&self) {
        self.stop.send_replace(true);
    }

    pub(crate) fn has_ended(&self) -> bool {
        *self.ended.borrow()
    }

    /// Waits for its end, so long at most.
    pub(crate) async fn ended_within(&self, limit: Duration) {
        let mut ended = self.ended.subscribe();
        // Whoever waited in vain looks again later.
        let _ = timeout(limit, ended.wait_for(|ended| *ended)).await;
    }

    /// How far it is.
    pub(crate) fn seen(&self) -> JobSeen {
        let progress = self.lock();
        JobSeen {
            job: self.id,
            action: self.deed,
            stage: progress.stage,
            who: self.who.to_string(),
            asked: self.ask.clone(),
            begun_ms: self.begun_ms,
            ended_ms: progress.ended_ms,
            looked_at: progress.looked_at,
            error: progress.error.clone(),
            report: progress.report.clone().unwrap_or_else(|| self.report_so_far(&progress)),
        }
    }

    /// The first letters of the set.
    pub(crate) fn sample(&self) -> Vec<Arc<Outline>> {
        self.lock().sample.clone()
    }

    fn report_so_far(&self, progress: &Progress) -> Report {
        let (selection, done) = (&progress.selection, progress.done);
        let left = (selection.chosen.len() as u64).saturating_sub(done);
        match self.deed {
            Deed::Replay => self.report_replay(selection, Replayed { replayed: done, left, ..Replayed::default() }),
            Deed::Discard => {
                self.report_discard(selection, Discarded { discarded: done, left, ..Discarded::default() })
            }
        }
    }

    fn report_replay(&self, selection: &Selection, so_far: Replayed) -> Report {
        Report::Replay(ReplayReport::of(&self.source, self.ask.dry_run, selection, so_far))
    }

    fn report_discard(&self, selection: &Selection, so_far: Discarded) -> Report {
        Report::Discard(DiscardReport::of(&self.source, self.ask.dry_run, selection, so_far))
    }

    fn lock(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Progress {
    fn begins() -> Self {
        Self {
            stage: Stage::Selecting,
            ended_ms: None,
            looked_at: 0,
            done: 0,
            selection: Arc::default(),
            report: None,
            error: None,
            sample: Vec::new(),
        }
    }

    fn fails(&mut self, error: &str) {
        (self.stage, self.error, self.ended_ms) = (Stage::Failed, Some(error.to_owned()), Some(now_ms()));
    }
}

/// What a job works with.
struct Work<'a> {
    job: &'a Job,
    transport: &'a dyn quash_transport::Transport,
    choice: Choice,
    rate: Option<Rate>,
}

impl Work<'_> {
    async fn finish(self) {
        let (stage, error, report) = match self.select().await {
            Ok(selection) => self.with(&Arc::new(selection)).await,
            Err(error) => (Stage::Failed, Some(error.to_string()), None),
        };
        let mut progress = self.job.lock();
        (progress.stage, progress.error, progress.ended_ms) = (stage, error, Some(now_ms()));
        let report = report.unwrap_or_else(|| self.job.report_so_far(&progress));
        (progress.report, progress.selection) = (Some(report), Arc::default());
        drop(progress);
        let seen = self.job.seen();
        let (job, error) = (seen.job, seen.error.as_deref());
        let report = serde_json::to_string(&seen.report).unwrap_or_default();
        tracing::info!(job, who = %self.job.who, stage = ?stage, error, report, "work on dead letters ended");
    }

    async fn select(&self) -> Result<Selection, TransportError> {
        let (job, stopped) = (self.job, self.job.stop.subscribe());
        let mut found = |letter: Letter| {
            let mut progress = job.lock();
            if progress.sample.len() < SHOWN {
                progress.sample.push(Arc::new(Outline::of(letter)));
            }
            if *stopped.borrow() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        let mut looked_at = |letters| job.lock().looked_at = letters;
        let letters = self.transport.dead_letters();
        let mut selection = select(letters, &self.choice, now_ms(), &mut found, &mut looked_at).await?;
        job.lock().looked_at = selection.looked_at;
        selection.circling.truncate(NAMES_MAX);
        selection.missing.truncate(NAMES_MAX);
        Ok(selection)
    }

    /// Does it with the set, if that is the one that was confirmed.
    async fn with(&self, selection: &Arc<Selection>) -> (Stage, Option<String>, Option<Report>) {
        let job = self.job;
        let is_stopped = || *job.stop.borrow();
        {
            let mut progress = job.lock();
            progress.selection = Arc::clone(selection);
            if !job.ask.dry_run && !is_stopped() {
                progress.stage = Stage::Running;
            }
        }
        if job.ask.dry_run {
            return (Stage::Done, None, Some(self.nothing_done(selection, 0)));
        }
        let left = selection.chosen.len() as u64;
        if is_stopped() {
            return (Stage::Stopped, None, Some(self.nothing_done(selection, left)));
        }
        if let Some(why) = self.unconfirmed(left) {
            return (Stage::Refused, Some(why), Some(self.nothing_done(selection, left)));
        }
        let (ended, left, report) = match job.deed {
            Deed::Replay => self.replay(selection).await,
            Deed::Discard => self.discard(selection).await,
        };
        match ended {
            Ok(()) if left > 0 => (Stage::Stopped, None, Some(report)),
            Ok(()) => (Stage::Done, None, Some(report)),
            Err(error) => (Stage::Failed, Some(error.to_string()), Some(report)),
        }
    }

    fn nothing_done(&self, selection: &Selection, left: u64) -> Report {
        match self.job.deed {
            Deed::Replay => self.job.report_replay(selection, Replayed { left, ..Replayed::default() }),
            Deed::Discard => self.job.report_discard(selection, Discarded { left, ..Discarded::default() }),
        }
    }

    /// Why the set is not the one that somebody meant, if so.
    fn unconfirmed(&self, letters: u64) -> Option<String> {
        let needs_it = self.job.deed == Deed::Discard && letters > UNCONFIRMED_MAX;
        match self.job.ask.confirm {
            Some(confirmed) if confirmed != letters => {
                Some(format!("the set has {letters} letters by now, and not {confirmed}: nothing was done"))
            }
            None if needs_it => Some(format!(
                "this would discard {letters} letters: confirm that number (more than {UNCONFIRMED_MAX} need it); nothing was done"
            )),
            _ => None,
        }
    }

    async fn replay(&self, selection: &Selection) -> (Result<(), TransportError>, u64, Report) {
        let (mut stopped, mut so_far) = (self.job.stop.subscribe(), Replayed::default());
        let mut progress = |done| self.job.lock().done = done;
        let ended = async {
            self.transport.prepare().await?;
            replay(self.transport, selection, self.rate, &mut stopped, &mut so_far, &mut progress).await
        };
        let ended = ended.await;
        (ended, so_far.left, self.job.report_replay(selection, so_far))
    }

    async fn discard(&self, selection: &Selection) -> (Result<(), TransportError>, u64, Report) {
        let (stopped, mut so_far) = (self.job.stop.subscribe(), Discarded::default());
        let mut progress = |done| self.job.lock().done = done;
        let letters = self.transport.dead_letters();
        let ended = discard(letters, selection, &stopped, &mut so_far, &mut progress).await;
        (ended, so_far.left, self.job.report_discard(selection, so_far))
    }
}
