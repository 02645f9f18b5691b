//! Says when an entry is made stale on purpose, and whether that was found: pure, the time is passed in.

use std::time::Duration;

use tokio::time::Instant;

/// How much longer than the first of the times it may take to be found.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);
/// Where it stands, followed by the name of the cache.
pub(crate) const KEY: &str = "quash:canary:";

/// The canary of one cache.
pub(crate) struct Canary {
    every: Duration,
    due: Option<Instant>,
    /// Until when one that was planted must be found.
    until: Option<Instant>,
}

impl Canary {
    /// One that is due at once, and then every so often; never where that is nothing.
    pub(crate) fn new(every: Duration, now: Instant) -> Self {
        Self { every, due: (!every.is_zero()).then_some(now), until: None }
    }

    /// Whether one is to be planted.
    pub(crate) fn is_due(&self, now: Instant) -> bool {
        self.until.is_none() && self.due.is_some_and(|due| due <= now)
    }

    /// One was planted, which must be found within this.
    pub(crate) fn planted(&mut self, now: Instant, within: Duration) {
        self.until = Some(now + within + PATIENCE);
        self.due = now.checked_add(self.every);
    }

    /// It was found. Whether one was looked for.
    pub(crate) fn found(&mut self) -> bool {
        self.until.take().is_some()
    }

    /// Whether one was looked for and not found in time; says so once.
    pub(crate) fn is_missed(&mut self, now: Instant) -> bool {
        self.until.take_if(|until| *until <= now).is_some()
    }

    /// Whether one is looked for.
    pub(crate) const fn is_out(&self) -> bool {
        self.until.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_at_a_time_is_planted_and_missed_once() {
        let (now, second) = (Instant::now(), Duration::from_secs(1));
        let mut canary = Canary::new(second * 60, now);
        assert!(canary.is_due(now));
        canary.planted(now, second);
        assert!(!canary.is_due(now + second * 3600) && canary.is_out());
        assert!(!canary.is_missed(now + second * 10) && canary.is_missed(now + second * 11));
        assert!(!canary.is_missed(now + second * 12) && !canary.found());
        assert!(!canary.is_due(now + second * 59) && canary.is_due(now + second * 60));
        canary.planted(now, second);
        assert!(canary.found() && !canary.is_missed(now + second * 99));
        assert!(!Canary::new(Duration::ZERO, now).is_due(now + second));
    }
}
