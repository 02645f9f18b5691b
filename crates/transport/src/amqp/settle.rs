//! Carries out verdicts: copies are confirmed before their originals are acked, acks go in groups.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use async_trait::async_trait;

use super::consume::Consuming;
use super::held::Claim;
use super::publish::{Outgoing, Untaken};
use super::retry;
use super::session::{Number, Session};
use super::suspects::parked;
use super::wire;
use crate::{Destination, Message, Replacement, Settler, Tag, TransportError, Verdict};

/// How long a delivery stays away whose copies are too large: at once it would come again and again.
const OVERSIZED_AWAY: Duration = Duration::from_secs(2);

/// Settles the deliveries of one consumer.
pub(super) struct Settling {
    pub(super) consuming: Arc<Consuming>,
}

#[async_trait]
impl Settler for Settling {
    async fn settle(&self, verdicts: &[(Tag, Verdict)]) -> Result<Vec<Tag>, TransportError> {
        let Some(session) = self.consuming.session() else { return Ok(Vec::new()) };
        let claims = verdicts.iter().filter_map(|(tag, verdict)| Some((session.number(*tag)?, verdict.clone())));
        let claims: Vec<_> = claims.collect();
        let under_way = UnderWay::begin(&self.consuming);
        // In a task of its own, which goes on when nobody waits for it any more: half of it would be worse than nothing.
        let work = tokio::spawn(async move {
            let settled = settle_all(&under_way.0, &session, claims).await;
            drop(under_way);
            settled
        });
        work.await.unwrap_or_else(|error| Err(TransportError::Unreachable(format!("settling: {error}"))))
    }

    fn connected(&self) -> bool {
        self.consuming.is_connected()
    }

    fn interruptions(&self) -> u64 {
        self.consuming.shared.interrupted.load(Ordering::Relaxed)
    }
}

impl Drop for Settling {
    fn drop(&mut self) {
        self.consuming.settler_gone.notify_one();
    }
}

/// A settle that has begun and not ended.
struct UnderWay(Arc<Consuming>);

impl UnderWay {
    fn begin(consuming: &Arc<Consuming>) -> Self {
        consuming.settling.send_modify(|count| *count += 1);
        Self(Arc::clone(consuming))
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.settling.send_modify(|count| *count -= 1);
    }
}

/// Carries out what may be, then what another call was about, should that have failed there.
async fn settle_all(
    consuming: &Consuming,
    session: &Arc<Session>,
    mut verdicts: Vec<(Number, Verdict)>,
) -> Result<Vec<Tag>, TransportError> {
    let mut oversized = Vec::new();
    let mut failed = Ok(());
    while !verdicts.is_empty() {
        let resolved = session.resolved();
        tokio::pin!(resolved);
        resolved.as_mut().enable();
        let mut plan = Plan::default();
        verdicts = plan.claim(session, verdicts);
        if plan.is_empty() {
            if !verdicts.is_empty() {
                resolved.await;
            }
            continue;
        }
        let settled = plan.carry_out(consuming, session).await;
        oversized.extend(settled.oversized.iter().map(|at| session.tag(*at)));
        if let Some(error) = settled.failed {
            failed = Err(error);
        }
        hand_out_again(session, settled.oversized);
    }
    failed.map(|()| oversized)
}

/// Deliveries whose copies are too large, and that nobody settles with smaller ones, come back by the broker.
fn hand_out_again(session: &Arc<Session>, mut oversized: Vec<Number>) {
    if !oversized.is_empty() {
        let session = Arc::clone(session);
        tokio::spawn(async move {
            tokio::time::sleep(OVERSIZED_AWAY).await;
            oversized.retain(|at| session.claim(*at, |_| ()) == Claim::Granted);
            session.requeue(&oversized).await;
        });
    }
}

/// What is to be done about deliveries that this call has claimed.
#[derive(Default)]
struct Plan {
    acked: Vec<Number>,
    replaced: Vec<(Number, Vec<Replacement>)>,
    released: Vec<(Number, Message)>,
}

/// What became of it.
#[derive(Default)]
struct Settled {
    oversized: Vec<Number>,
    failed: Option<TransportError>,
}

impl Plan {
    /// Takes over what nobody else settles; returns what somebody else does.
    fn claim(&mut self, session: &Session, verdicts: Vec<(Number, Verdict)>) -> Vec<(Number, Verdict)> {
        let mut busy = Vec::new();
        for (at, verdict) in verdicts {
            let mut message = None;
            let is_release = verdict == Verdict::Release;
            let claim = session.claim(at, |held| message = is_release.then(|| held.message.clone()));
            match (claim, verdict) {
                (Claim::Gone, _) => {}
                (Claim::Busy, verdict) => busy.push((at, verdict)),
                (Claim::Granted, Verdict::Ack) => self.acked.push(at),
                (Claim::Granted, Verdict::Replace(copies)) => self.replaced.push((at, copies)),
                (Claim::Granted, Verdict::Release) => self.released.push((at, message.unwrap_or_default())),
            }
        }
        busy
    }

    fn is_empty(&self) -> bool {
        self.acked.is_empty() && self.replaced.is_empty() && self.released.is_empty()
    }

    async fn carry_out(mut self, consuming: &Consuming, session: &Session) -> Settled {
        let mut settled = Settled::default();
        let mut untaken = Vec::new();
        let (copies, owners) = self.copies(consuming);
        if !copies.is_empty() {
            let outcomes = consuming.shared.publish_each(&copies).await;
            let mut done = std::mem::take(&mut self.acked);
            for (at, outcome) in whole(&owners, outcomes) {
                match outcome {
                    Ok(()) => done.push(at),
                    Err(Untaken::Oversized) => settled.oversized.push(at),
                    Err(other) => {
                        untaken.push(at);
                        settled.failed = Some(other.into());
                    }
                }
            }
            self.acked = done;
        }
        if !self.acked.is_empty() {
            session.ack(&self.acked).await;
        }
        // Whoever asks again, with smaller copies where they were too large, may settle them.
        untaken.extend(&settled.oversized);
        if !untaken.is_empty() {
            session.unclaim(&untaken);
        }
        settled
    }

    /// All copies, and beside each the delivery that it is of.
    fn copies<'a>(&'a self, consuming: &'a Consuming) -> (Vec<Outgoing<'a>>, Vec<Number>) {
        let shared = &consuming.shared;
        let mut outgoing = Vec::new();
        let mut owners = Vec::new();
        for (at, copies) in &self.replaced {
            for copy in copies {
                outgoing.push(match copy.to {
                    Destination::Later(delay) => parked(shared, &copy.message, retry::wait(delay, wire::now_ms())),
                    Destination::DeadLetters => shared.names.letter(&copy.message),
                });
                owners.push(*at);
            }
        }
        for (at, message) in &self.released {
            outgoing.push(Outgoing::plain(&shared.names.work, message));
            owners.push(*at);
        }
        (outgoing, owners)
    }
}

/// What became of each delivery as a whole: it is settled when all of its copies are taken. Copies of one are neighbours.
fn whole(owners: &[Number], outcomes: Vec<Result<(), Untaken>>) -> Vec<(Number, Result<(), Untaken>)> {
    let mut whole: Vec<(Number, Result<(), Untaken>)> = Vec::new();
    for (at, outcome) in owners.iter().zip(outcomes) {
        match whole.last_mut() {
            Some((last, so_far)) if last == at => {
                // That one is too large stays true whatever happened to the others.
                if outcome == Err(Untaken::Oversized) || so_far.is_ok() {
                    *so_far = outcome;
                }
            }
            _ => whole.push((*at, outcome)),
        }
    }
    whole
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::amqp::session::Origin;

    #[test]
    fn a_delivery_is_settled_when_all_its_copies_are_taken() {
        let at = |number| Number { origin: Origin::Work, number };
        let failed = || Err(Untaken::Failed(TransportError::Refused("no".into())));
        let cases = [
            (vec![Ok(()), Ok(())], Ok(())),
            (vec![Ok(()), failed()], failed()),
            (vec![failed(), Ok(())], failed()),
            (vec![failed(), Err(Untaken::Oversized)], Err(Untaken::Oversized)),
            (vec![Err(Untaken::Oversized), failed()], Err(Untaken::Oversized)),
        ];
        for (outcomes, expected) in cases {
            let mut all = vec![Ok(())];
            all.extend(outcomes.clone());
            let whole = whole(&[at(1), at(2), at(2)], all);
            assert_eq!(whole, [(at(1), Ok(())), (at(2), expected)], "{outcomes:?}");
        }
    }
}
