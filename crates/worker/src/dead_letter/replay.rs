//! Sends dead letters back to where they came from, a fixed set at a given rate.

use std::collections::HashSet;
use std::str::FromStr;
use std::time::Duration;

use quash_transport::message::UNREADABLE;
use quash_transport::{LetterId, Message, Transport, TransportError};
use tokio::sync::watch;
use tokio::time::Instant;

use super::Letter;
use super::select::{PAGE, Pages, Selection};
use quash_delivery::headers;

/// A letter that was replayed so often and still is here goes in circles: what it waits for did not change. It is then
/// replayed only when somebody insists.
pub const REPLAYS_MAX: u32 = 3;

/// The message that takes the place of a letter: the same payload, only the targets that are still to do, a fresh start
/// of the attempts, and the history of the earlier ones.
#[must_use]
pub fn replacement(letter: &Letter) -> Message {
    let Letter { message, about, .. } = letter;
    let mut message = message.clone();
    let headers = &mut message.headers;
    for stale in [headers::RECORD, headers::ATTEMPT, headers::FIRST_FAILURE, UNREADABLE] {
        headers.remove(stale);
    }
    if let Some(target) = &about.target {
        headers.set(headers::TARGETS, target.clone());
    }
    if let Some(history) = history(letter) {
        headers.set(headers::ATTEMPTS, history);
    }
    headers.set(headers::REPLAYS, about.replays.saturating_add(1).to_string());
    message
}

fn history(letter: &Letter) -> Option<String> {
    match letter.about.attempts.as_slice() {
        [] => None,
        attempts => serde_json::to_string(attempts).ok(),
    }
}

/// How many letters in how much time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rate {
    /// More than zero, and finite.
    per_second: f64,
}

impl Rate {
    /// Letters of one batch: small enough for ten batches a second, so that a slow replay flows, and can be stopped.
    fn batch(self) -> usize {
        // A float beyond the range of an integer becomes the nearest one; the clamp does the rest.
        ((self.per_second / 10.0) as usize).clamp(1, PAGE)
    }

    /// How long so many letters take.
    fn time_of(self, letters: usize) -> Duration {
        Duration::try_from_secs_f64(letters as f64 / self.per_second).unwrap_or(Duration::MAX)
    }
}

impl FromStr for Rate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is no rate; write 100/s, 30/m or 5/h");
        let (number, unit) = text.split_once('/').unwrap_or((text, "s"));
        let seconds = match unit {
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            _ => return Err(wrong()),
        };
        let number: f64 = number.parse().map_err(|_| wrong())?;
        let per_second = number / seconds;
        if per_second.is_normal() && per_second > 0.0 { Ok(Self { per_second }) } else { Err(wrong()) }
    }
}

/// How far a replay came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Replayed {
    /// Letters whose replacement is with the broker, and which are removed.
    pub replayed: u64,
    /// Letters of the set that somebody else had removed before.
    pub gone: u64,
    /// Letters of the set that were not tried, since it was stopped.
    pub left: u64,
    /// Letters whose replacement may be with the broker while they are still there: it broke between the two. Replaying
    /// them again is harmless.
    pub unclear: u64,
}

/// Replays the letters of a set, batch by batch, until it is done or `stop` says so. A letter is removed once its
/// replacement is with the broker; broken off in between, it is there twice, never not at all.
///
/// # Errors
/// When the broker cannot be reached or refuses; `so_far` then holds what was done.
pub async fn replay(
    transport: &dyn Transport,
    selection: &Selection,
    rate: Option<Rate>,
    stop: &mut watch::Receiver<bool>,
    so_far: &mut Replayed,
    progress: &mut (dyn FnMut(u64) + Send),
) -> Result<(), TransportError> {
    let mut wanted: HashSet<&LetterId> = selection.chosen.iter().collect();
    let mut pages = Pages::of_first(transport.dead_letters(), selection.looked_at);
    let mut pace = Pace { rate, next: None };
    so_far.left = wanted.len() as u64;
    while !wanted.is_empty() {
        let mut page = pages.next().await?;
        if page.is_empty() {
            break;
        }
        page.retain(|letter| wanted.remove(&letter.id));
        for batch in page.chunks(rate.map_or(PAGE, Rate::batch)) {
            if !pace.wait(batch.len(), stop).await {
                return Ok(());
            }
            send(transport, batch, so_far).await?;
            progress(so_far.replayed);
        }
    }
    so_far.gone = so_far.left;
    so_far.left = 0;
    Ok(())
}

async fn send(transport: &dyn Transport, batch: &[Letter], so_far: &mut Replayed) -> Result<(), TransportError> {
    let replacements: Vec<Message> = batch.iter().map(replacement).collect();
    let ids: Vec<LetterId> = batch.iter().map(|letter| letter.id.clone()).collect();
    let count = batch.len() as u64;
    (so_far.left, so_far.unclear) = (so_far.left - count, count);
    transport.publish(&replacements).await?;
    transport.dead_letters().remove(&ids).await?;
    (so_far.replayed, so_far.unclear) = (so_far.replayed + count, 0);
    Ok(())
}

/// Spreads batches over time. What was late is not caught up: a broker that comes back must not get all at once what it missed.
struct Pace {
    rate: Option<Rate>,
    /// When the next batch may go.
    next: Option<Instant>,
}

impl Pace {
    /// Waits until a batch of so many letters may go; the next one then waits as long as the rate gives these. `false` when
    /// it was stopped.
    async fn wait(&mut self, letters: usize, stop: &mut watch::Receiver<bool>) -> bool {
        let Some(rate) = self.rate else { return !*stop.borrow() };
        let now = Instant::now();
        let due = self.next.map_or(now, |next| next.max(now));
        self.next = due.checked_add(rate.time_of(letters)).or(self.next);
        tokio::select! {
            biased;
            _ = wait_for_stop(stop) => false,
            () = tokio::time::sleep_until(due) => true,
        }
    }
}

/// Returns when it was stopped; never when nobody can stop it any more.
async fn wait_for_stop(stop: &mut watch::Receiver<bool>) {
    if stop.wait_for(|stopped| *stopped).await.is_err() {
        std::future::pending::<()>().await;
    }
}

#[cfg(test)]
mod tests {
    use std::ops::ControlFlow;

    use super::super::select::{Choice, select};
    use quash_delivery::record::Reason;

    use super::super::testing;
    use super::*;

    fn letters(count: usize) -> Vec<Message> {
        (0..count).map(|_| testing::message(&testing::record(Reason::TargetError), "{\"id\": 1}")).collect()
    }

    async fn all(broker: &testing::Broker) -> Selection {
        select(broker, &Choice::default(), testing::NOW_MS, &mut |_| ControlFlow::Continue(()), &mut |_| ())
            .await
            .unwrap()
    }

    #[test]
    fn a_replacement_starts_afresh_and_keeps_its_history() {
        let mut letter = testing::letter("1", &testing::record(Reason::TargetError), "\u{0}\n{}");
        letter.message.headers.set(headers::ATTEMPT, "8");
        letter.message.headers.set(headers::FIRST_FAILURE, "1");
        letter.message.headers.set(headers::TARGETS, "main,eu");
        letter.message.headers.set(headers::PASS, "1000");
        letter.message.headers.set("traceparent", "00-1");
        let message = replacement(&letter);

        let attempts = serde_json::to_string(&testing::record(Reason::TargetError).attempts).unwrap();
        let expect = [
            (headers::TARGETS, Some("main")),
            (headers::REPLAYS, Some("1")),
            (headers::ATTEMPTS, Some(attempts.as_str())),
            (headers::PASS, Some("1000")),
            ("traceparent", Some("00-1")),
            (headers::RECORD, None),
            (headers::ATTEMPT, None),
            (headers::FIRST_FAILURE, None),
        ];
        expect.into_iter().for_each(|(name, value)| assert_eq!(message.headers.get(name), value, "{name}"));
        assert_eq!(message.payload, letter.message.payload);
    }

    #[test]
    fn a_letter_that_failed_before_any_target_keeps_those_it_had_to_do() {
        let mut record = testing::record(Reason::Rule);
        record.target = None;
        let mut letter = testing::letter("1", &record, "{}");
        assert_eq!(replacement(&letter).headers.get(headers::TARGETS), None);
        letter.message.headers.set(headers::TARGETS, "main,eu");
        assert_eq!(replacement(&letter).headers.get(headers::TARGETS), Some("main,eu"));
    }

    #[test]
    fn rates_are_read_and_nonsense_is_refused() {
        let cases =
            [("100/s", Some(100.0)), ("30/m", Some(0.5)), ("1800/h", Some(0.5)), ("7", Some(7.0)), ("0.5", Some(0.5))];
        cases.into_iter().for_each(|(text, per_second)| {
            assert_eq!(text.parse::<Rate>().ok().map(|rate| rate.per_second), per_second, "{text}");
        });
        for text in ["", "0", "-1/s", "fast", "1/d", "/s", "inf", "NaN/s", "1/s/s"] {
            assert!(text.parse::<Rate>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_rate_says_how_long_letters_take() {
        let rate: Rate = "100/s".parse().unwrap();
        assert_eq!((rate.batch(), rate.time_of(250)), (10, Duration::from_millis(2500)));
        let slow: Rate = "1e-300".parse().unwrap();
        assert_eq!((slow.batch(), slow.time_of(1)), (1, Duration::MAX));
        let fast: Rate = "1e300".parse().unwrap();
        assert_eq!((fast.batch(), fast.time_of(usize::MAX)), (PAGE, Duration::ZERO));
    }

    #[tokio::test(start_paused = true)]
    async fn a_rate_begins_with_no_burst_and_catches_nothing_up() {
        let (_stop, mut stopped) = watch::channel(false);
        let mut pace = Pace { rate: Some("100/s".parse().unwrap()), next: None };
        let started = Instant::now();
        for due_ms in [0, 100, 200] {
            assert!(pace.wait(10, &mut stopped).await);
            assert_eq!(started.elapsed().as_millis(), due_ms);
        }
        tokio::time::advance(Duration::from_secs(60)).await;
        for due_ms in [60_200, 60_300, 60_400] {
            assert!(pace.wait(10, &mut stopped).await);
            assert_eq!(started.elapsed().as_millis(), due_ms);
        }
    }

    #[tokio::test]
    async fn every_letter_of_the_set_goes_back_once_also_if_it_fails_again() {
        let broker = testing::Broker::with(letters(300)).returning();
        let (_stop, mut stopped) = watch::channel(false);
        let (selection, mut so_far) = (all(&broker).await, Replayed::default());
        replay(&broker, &selection, None, &mut stopped, &mut so_far, &mut |_| ()).await.unwrap();
        assert_eq!(so_far, Replayed { replayed: 300, ..Replayed::default() });
        assert_eq!(broker.ids(), (301..=600).collect::<Vec<_>>());
        assert!(broker.letters().iter().all(|letter| letter.headers.get(headers::REPLAYS) == Some("1")));
    }

    #[tokio::test]
    async fn letters_leave_only_after_their_replacements_are_with_the_broker() {
        let broker = testing::Broker::with(letters(300)).fail_after(1);
        let (_stop, mut stopped) = watch::channel(false);
        let (selection, mut so_far) = (all(&broker).await, Replayed::default());
        let ended = replay(&broker, &selection, None, &mut stopped, &mut so_far, &mut |_| ()).await;
        assert_eq!(ended, Err(TransportError::Unreachable("connection refused".to_owned())));
        assert_eq!(so_far, Replayed { replayed: 128, unclear: 128, left: 44, gone: 0 });
        assert_eq!(broker.ids(), (129..=300).collect::<Vec<_>>());
    }

    #[tokio::test]
    async fn a_replay_can_be_stopped_between_batches() {
        for rate in [None, Some("1000000/s".parse().unwrap())] {
            let broker = testing::Broker::with(letters(300));
            let (stop, mut stopped) = watch::channel(false);
            let (selection, mut so_far) = (all(&broker).await, Replayed::default());
            let mut stop_at_once = |_| stop.send(true).unwrap();
            replay(&broker, &selection, rate, &mut stopped, &mut so_far, &mut stop_at_once).await.unwrap();
            assert_eq!(so_far, Replayed { replayed: 128, left: 172, ..Replayed::default() });
            assert_eq!(broker.ids().len(), 172);
        }
    }

    #[tokio::test]
    async fn a_slow_replay_is_stopped_while_it_waits() {
        let broker = testing::Broker::with(letters(3));
        let (stop, mut stopped) = watch::channel(false);
        let (selection, mut so_far) = (all(&broker).await, Replayed::default());
        let mut stop_at_once = |_| stop.send(true).unwrap();
        let rate = Some("1/h".parse().unwrap());
        replay(&broker, &selection, rate, &mut stopped, &mut so_far, &mut stop_at_once).await.unwrap();
        assert_eq!(so_far, Replayed { replayed: 1, left: 2, ..Replayed::default() });
    }

    #[tokio::test]
    async fn letters_that_somebody_removed_meanwhile_are_not_replayed() {
        let broker = testing::Broker::with(letters(3));
        let (_stop, mut stopped) = watch::channel(false);
        let (selection, mut so_far) = (all(&broker).await, Replayed::default());
        transport_remove(&broker, "3").await;
        broker.add(letters(1).remove(0));
        replay(&broker, &selection, None, &mut stopped, &mut so_far, &mut |_| ()).await.unwrap();
        assert_eq!(so_far, Replayed { replayed: 2, gone: 1, ..Replayed::default() });
        assert_eq!(broker.ids(), [4]);
    }

    async fn transport_remove(broker: &testing::Broker, id: &str) {
        broker.dead_letters().remove(&[LetterId(id.to_owned())]).await.unwrap();
    }
}
