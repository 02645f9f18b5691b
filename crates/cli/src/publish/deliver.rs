//! Hands messages to the broker and waits while it cannot be reached, so that no line is dropped.

use std::io::Write;
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
    wait_first: Duration,
    /// Whether the broker has answered before: then a refusal (memory full, read only) may pass as well.
    answered: bool,
}

impl<P: AsyncFn(&[Message]) -> Result<(), TransportError>> Delivery<P> {
    /// A delivery by this function.
    pub(super) const fn new(publish: P, stop: Stop) -> Self {
        Self { publish, stop, wait_first: WAIT_FIRST, answered: false }
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
        self.until_answered(prepare, 1, complaints).await.map_err(CliError::from)
    }

    /// Returns when the broker has the messages.
    ///
    /// # Errors
    /// When the broker refuses from the start, or somebody insists on stopping while it cannot be reached.
    pub(super) async fn send(&mut self, messages: &[Message], complaints: &mut impl Write) -> Result<(), CliError> {
        let sent = self.until_answered(async || (self.publish)(messages).await, 2, complaints).await;
        sent.map_err(|error| with_count(CliError::from(error), messages.len()))?;
        self.answered = true;
        Ok(())
    }

    async fn until_answered(
        &self,
        does: impl AsyncFn() -> Result<(), TransportError>,
        stops: u32,
        complaints: &mut impl Write,
    ) -> Result<(), TransportError> {
        let (mut wait, mut complained) = (self.wait_first, false);
        loop {
            let error = match does().await {
                Ok(()) => return Ok(()),
                Err(error @ TransportError::Refused(_)) if !self.answered => return Err(error),
                Err(error @ TransportError::TooLarge(_)) => return Err(error),
                Err(error) => error,
            };
            if !complained {
                complained = true;
                // Nobody may be reading stderr; that is no reason to stop.
                let _ = writeln!(complaints, "{error}; trying again until it answers");
            }
            tokio::select! {
                () = tokio::time::sleep(wait) => wait = (wait * 2).min(WAIT_MAX),
                () = self.stop.asked(stops) => return Err(error),
            }
        }
    }
}

fn with_count(error: CliError, events: usize) -> CliError {
    let words = format!("{error}; gave up with {events} events read and not known to be published");
    match error {
        CliError::Refused(_) => CliError::Refused(words),
        _ => CliError::Unreachable(words),
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    /// A broker that gives these answers, then takes everything.
    async fn deliver(answers: Vec<TransportError>, sends: usize) -> (Result<(), CliError>, usize, String) {
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
        let mut delivery = Delivery::new(publish, Stop::of(stop)).wait_first(Duration::from_micros(1));
        let mut complaints = Vec::new();
        let mut result = Ok(());
        for _ in 0..sends {
            result = delivery.send(&[Message::default()], &mut complaints).await;
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
        assert!(matches!(result, Err(CliError::Refused(_))));
        assert_eq!(taken, 0);
        let (result, taken, complaints) = deliver(vec![unreachable("fine"), refused(), refused()], 2).await;
        assert!(result.is_ok());
        assert_eq!(taken, 2);
        assert!(complaints.contains("OOM"), "{complaints}");
    }

    #[tokio::test]
    async fn only_insisting_gives_up_what_was_read() {
        let (ask, stop) = tokio::sync::watch::channel(1);
        let publish = async |_: &[Message]| {
            ask.send_modify(|count| *count += 1);
            Err(unreachable("refused"))
        };
        let mut delivery = Delivery::new(publish, Stop::of(stop)).wait_first(Duration::from_secs(3600));
        let Err(CliError::Unreachable(words)) = delivery.send(&[Message::default()], &mut Vec::new()).await else {
            panic!("it did not give up");
        };
        assert!(words.contains("1 events read"), "{words}");
    }
}
