//! Hands messages to the broker and waits while it cannot be reached, so that no line is dropped.

use std::future::Future;
use std::io::Write;
use std::pin::pin;
use std::time::Duration;

use quash_transport::{Message, TransportError};

use super::stop::Stop;
use crate::CliError;

/// The first wait, which doubles up to [`WAIT_MAX`].
const WAIT_FIRST: Duration = Duration::from_millis(100);
/// Long enough not to load a broker that comes back, short enough to go on soon after.
const WAIT_MAX: Duration = Duration::from_secs(5);

/// Publishes, again and again if need be.
pub(super) struct Delivery<P> {
    publish: P,
    stop: Stop,
    /// How long it goes on trying after somebody wants to stop.
    drain: Duration,
    wait_first: Duration,
    /// Whether the broker has answered before: then a refusal (memory full, read only) may pass as well.
    answered: bool,
}

impl<P: AsyncFn(&[Message]) -> Result<(), TransportError>> Delivery<P> {
    /// A delivery by this function, which goes on for so long after somebody wants to stop.
    pub(super) const fn new(publish: P, stop: Stop, drain: Duration) -> Self {
        Self { publish, stop, drain, wait_first: WAIT_FIRST, answered: false }
    }

    /// The same with another first wait.
    #[cfg(test)]
    pub(super) const fn wait_first(mut self, wait: Duration) -> Self {
        self.wait_first = wait;
        self
    }

    /// Returns when the broker has what it needs.
    ///
    /// # Errors
    /// When it refuses, or somebody wants to stop while it cannot be reached.
    pub(super) async fn prepare(
        &self,
        prepare: impl AsyncFn() -> Result<(), TransportError>,
        complaints: &mut impl Write,
    ) -> Result<(), CliError> {
        // Nothing was read yet, so that there is nothing to finish.
        self.until_answered(prepare, self.stop.asked(1), complaints).await.map_err(CliError::from)
    }

    /// Returns when the broker has the messages, with the places of those that are larger than it takes; why it does not
    /// take one stands beside it.
    ///
    /// # Errors
    /// When the broker refuses from the start, or somebody wants to stop and it cannot be reached for as long as draining may
    /// take.
    pub(super) async fn send(
        &mut self,
        messages: &[Message],
        complaints: &mut impl Write,
    ) -> Result<Vec<(usize, String)>, TransportError> {
        let mut too_large = Vec::new();
        match self.send_together(messages, complaints).await {
            Err(TransportError::TooLarge(why)) if messages.len() == 1 => too_large.push((0, why)),
            Err(TransportError::TooLarge(_)) => {
                for (index, message) in messages.iter().enumerate() {
                    match self.send_together(std::slice::from_ref(message), complaints).await {
                        Err(TransportError::TooLarge(why)) => too_large.push((index, why)),
                        sent => sent?,
                    }
                }
            }
            sent => sent?,
        }
        self.answered = true;
        Ok(too_large)
    }

    async fn send_together(&self, messages: &[Message], complaints: &mut impl Write) -> Result<(), TransportError> {
        let given_up = self.stop.insisted(self.drain);
        self.until_answered(async || (self.publish)(messages).await, given_up, complaints).await
    }

    async fn until_answered(
        &self,
        does: impl AsyncFn() -> Result<(), TransportError>,
        given_up: impl Future<Output = ()>,
        complaints: &mut impl Write,
    ) -> Result<(), TransportError> {
        let mut given_up = pin!(given_up);
        let (mut wait, mut complained) = (self.wait_first, false);
        let mut last = TransportError::Unreachable("no answer yet".to_owned());
        loop {
            let done = tokio::select! {
                done = does() => done,
                () = &mut given_up => return Err(last),
            };
            last = match done {
                Ok(()) => return Ok(()),
                Err(error @ TransportError::Refused(_)) if !self.answered => return Err(error),
                Err(error @ TransportError::TooLarge(_)) => return Err(error),
                Err(error) => error,
            };
            if !complained {
                complained = true;
                // Nobody may be reading stderr; that is no reason to stop.
                let _ = writeln!(complaints, "{last}; trying again until it answers");
            }
            tokio::select! {
                () = tokio::time::sleep(wait) => wait = (wait * 2).min(WAIT_MAX),
                () = &mut given_up => return Err(last),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    /// A broker that gives these answers, then takes everything.
    async fn deliver(answers: Vec<TransportError>, sends: usize) -> (Result<(), TransportError>, usize, String) {
        let (_ask, stop) = tokio::sync::watch::channel(0);
        let (answers, taken) = (RefCell::new(answers.into_iter()), RefCell::new(0));
        let publish = async |messages: &[Message]| {
            match answers.borrow_mut().next() {
                Some(TransportError::Unreachable(why)) if why == "fine" => {}
                Some(error) => return Err(error),
                None => {}
            }
            *taken.borrow_mut() += messages.len();
            Ok(())
        };
        let mut delivery = Delivery::new(publish, Stop::of(stop), Duration::ZERO).wait_first(Duration::from_micros(1));
        let mut complaints = Vec::new();
        let mut result = Ok(());
        for _ in 0..sends {
            result = delivery.send(&[Message::default()], &mut complaints).await.map(|_| ());
            if result.is_err() {
                break;
            }
        }
        drop(delivery);
        (result, taken.into_inner(), String::from_utf8_lossy(&complaints).into_owned())
    }

    fn unreachable(why: &str) -> TransportError {
        TransportError::Unreachable(why.to_owned())
    }

    #[tokio::test]
    async fn nothing_is_dropped_while_the_broker_is_away_and_it_is_said_once() {
        let (result, taken, complaints) = deliver(vec![unreachable("refused"); 5], 1).await;
        assert!(result.is_ok());
        assert_eq!(taken, 1);
        assert_eq!(complaints, "cannot reach the broker: refused; trying again until it answers\n");
    }

    #[tokio::test]
    async fn a_refusal_ends_it_only_before_the_broker_ever_answered() {
        let refused = || TransportError::Refused("OOM".to_owned());
        let (result, taken, _) = deliver(vec![refused()], 1).await;
        assert!(matches!(result, Err(TransportError::Refused(_))));
        assert_eq!(taken, 0);
        let (result, taken, complaints) = deliver(vec![unreachable("fine"), refused(), refused()], 2).await;
        assert!(result.is_ok());
        assert_eq!(taken, 2);
        assert!(complaints.contains("OOM"), "{complaints}");
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_read_is_given_up_at_a_second_signal_or_when_draining_took_too_long() {
        const DRAIN: Duration = Duration::from_secs(25);
        for (signals, after) in [(2, Duration::ZERO), (1, DRAIN)] {
            for answers in [true, false] {
                let (_ask, stop) = tokio::sync::watch::channel(signals);
                let publish = async |_: &[Message]| match answers {
                    true => Err(unreachable("refused")),
                    false => std::future::pending().await,
                };
                let started = tokio::time::Instant::now();
                let mut delivery = Delivery::new(publish, Stop::of(stop), DRAIN);
                let sent = delivery.send(&[Message::default()], &mut Vec::new()).await;
                assert!(matches!(sent, Err(TransportError::Unreachable(_))), "{signals} {answers}");
                // The clock of a paused runtime ticks by the millisecond.
                let took = started.elapsed().saturating_sub(after);
                assert!(started.elapsed() >= after && took <= Duration::from_millis(5), "{signals} {answers} {took:?}");
            }
        }
    }

    #[tokio::test]
    async fn what_is_larger_than_the_broker_takes_does_not_keep_the_others_back() {
        let (_ask, stop) = tokio::sync::watch::channel(0);
        let taken = RefCell::new(Vec::new());
        let publish = async |messages: &[Message]| {
            if messages.iter().any(|message| message.payload.len() > 3) {
                return Err(TransportError::TooLarge("3 bytes at most".to_owned()));
            }
            taken.borrow_mut().extend(messages.iter().map(|message| message.payload.clone()));
            Ok(())
        };
        let message = |payload: &'static str| Message { payload: payload.into(), ..Message::default() };
        let mut delivery = Delivery::new(publish, Stop::of(stop), Duration::ZERO);
        let sent = delivery.send(&[message("one"), message("three"), message("two")], &mut Vec::new()).await;
        assert_eq!(sent.unwrap(), [(1, "3 bytes at most".to_owned())]);
        assert_eq!(delivery.send(&[message("four")], &mut Vec::new()).await.unwrap().len(), 1);
        drop(delivery);
        assert_eq!(taken.into_inner(), ["one", "two"]);
    }
}
