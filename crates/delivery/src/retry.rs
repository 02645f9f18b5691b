//! Computes how long a share waits before it is tried again; pure, the randomness is passed in.

use std::time::Duration;

use quash_config::{ConfigPath, Problem, Span};
use quash_transport::backoff;
use serde::Deserialize;

/// The longest that a share waits for a target that was away for less than ten minutes: once it is back, everything is
/// done within this time.
pub const UNREACHABLE_MAX: Duration = Duration::from_secs(30);

/// Which part of a longer absence a share may wait at most. After a day of it millions of shares wait; if each of them
/// came back twice a minute, the other targets would have no worker left.
const UNREACHABLE_PART: u32 = 20;

/// When and how often failed shares are tried again.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct RetryConfig {
    /// Attempts on a target that answers with errors, the first included.
    pub max_attempts: u32,
    /// The delay after the first failed attempt.
    pub initial: Span,
    /// By what the delay grows with each attempt.
    pub factor: f64,
    /// The longest delay.
    pub max: Span,
    /// How much of the delay is random, from 0 to 1.
    pub jitter: f64,
    /// How long a share waits for a target that cannot be reached before it becomes a dead letter.
    pub give_up_after: Span,
}

impl Default for RetryConfig {
    fn default() -> Self {
        Self {
            max_attempts: 8,
            initial: Span(Duration::from_millis(200)),
            factor: 2.0,
            max: Span(Duration::from_secs(300)),
            jitter: 0.5,
            give_up_after: Span(Duration::from_secs(24 * 3600)),
        }
    }
}

impl RetryConfig {
    /// What does not fit together, relative to the place of this value.
    #[must_use]
    pub fn check(&self, path: &ConfigPath) -> Vec<Problem> {
        let attempts = (self.max_attempts > 0).then_some(());
        // Comparisons that are true for the right values, so that `.nan` is refused too.
        let factor = (self.factor >= 1.0 && self.factor.is_finite()).then_some(());
        let jitter = (self.jitter >= 0.0 && self.jitter <= 1.0).then_some(());
        let order = (self.initial <= self.max).then_some(());
        let wrong = [
            (attempts, "max_attempts", "max_attempts is at least 1".to_owned()),
            (factor, "factor", "a delay grows by a factor of at least 1".to_owned()),
            (jitter, "jitter", "jitter is a part, from 0 to 1".to_owned()),
            (order, "initial", format!("the first delay, {}, is longer than the longest, {}", self.initial, self.max)),
        ];
        let wrong = wrong.into_iter().filter(|(right, ..)| right.is_none());
        wrong.map(|(_, key, message)| Problem::error(path.key(key), message)).collect()
    }
}

/// When and how often failed shares are tried again.
#[derive(Debug, Clone, PartialEq)]
pub struct RetryPolicy {
    /// Attempts on a target that answers with errors, the first included; at least 1.
    pub max_attempts: u32,
    /// How long a share waits for a target that cannot be reached before it becomes a dead letter.
    pub give_up_after: Duration,
    delays: backoff::RetryPolicy,
    shortest: Duration,
    longest: Duration,
    jitter: f64,
}

impl From<&RetryConfig> for RetryPolicy {
    /// Nonsense that `check` refuses anyway is bent into range here, so that no method doubts its fields.
    #[expect(clippy::expect_used, reason = "the numbers are bent into the very ranges that are asked for")]
    fn from(config: &RetryConfig) -> Self {
        let longest = config.max.0.max(Duration::from_millis(1));
        let shortest = config.initial.0.clamp(Duration::from_millis(1), longest);
        let factor = if config.factor.is_finite() { config.factor.max(1.0) } else { 1.0 };
        let jitter = if config.jitter.is_finite() { config.jitter.clamp(0.0, 1.0) } else { 0.0 };
        let delays = backoff::RetryPolicy::try_new(shortest, factor, longest, jitter).expect("numbers in range");
        let (max_attempts, give_up_after) = (config.max_attempts.max(1), config.give_up_after.0);
        Self { max_attempts, give_up_after, delays, shortest, longest, jitter }
    }
}

impl RetryPolicy {
    /// The same delays, and no end: for who counts attempts itself.
    #[must_use]
    pub fn never_giving_up(&self) -> Self {
        Self { max_attempts: u32::MAX, give_up_after: Duration::MAX, ..self.clone() }
    }

    /// No further attempt, whatever went wrong.
    #[must_use]
    pub fn giving_up_at_once(&self) -> Self {
        Self { max_attempts: 0, give_up_after: Duration::ZERO, ..self.clone() }
    }

    /// The delay after this failed attempt, counted from 1. `random` is from 0 to 1; the configured maximum is never
    /// exceeded.
    #[must_use]
    pub fn delay(&self, attempt: u32, random: f64) -> Duration {
        self.delays.delay_with(attempt, random)
    }

    /// The delay of a share whose target could not be reached for `failing` so far: as long again, so that the waits
    /// double without a count, up to [`UNREACHABLE_MAX`] or a twentieth of the absence. Jitter only shortens it.
    #[must_use]
    pub fn delay_unreachable(&self, failing: Duration, random: f64) -> Duration {
        let bound = UNREACHABLE_MAX.max(failing / UNREACHABLE_PART).min(self.longest);
        failing.max(self.shortest).min(bound).mul_f64(1.0 - self.jitter * random.clamp(0.0, 1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(jitter: f64) -> RetryPolicy {
        RetryPolicy::from(&RetryConfig { jitter, ..RetryConfig::default() })
    }

    #[test]
    fn delays_double_up_to_the_maximum() {
        let expected_ms = [200, 400, 800, 1_600, 3_200, 6_400, 12_800, 25_600, 51_200, 102_400, 204_800, 300_000];
        for (attempt, ms) in (1..).zip(expected_ms) {
            assert_eq!(policy(0.0).delay(attempt, 0.7), Duration::from_millis(ms), "attempt {attempt}");
        }
        assert_eq!(policy(0.5).delay(u32::MAX, 1.0), Duration::from_secs(300));
    }

    #[test]
    fn waiting_for_a_target_doubles_and_stays_short() {
        let cases =
            [(0, 200), (150, 200), (5_000, 5_000), (600_000, 30_000), (3_600_000, 180_000), (86_400_000, 300_000)];
        for (failing, ms) in cases {
            let delay = policy(0.0).delay_unreachable(Duration::from_millis(failing), 0.0);
            assert_eq!(delay, Duration::from_millis(ms), "failing for {failing} ms");
        }
    }

    #[test]
    fn nonsense_is_bent_into_range() {
        let config = RetryConfig {
            max_attempts: 0,
            factor: f64::NAN,
            jitter: f64::INFINITY,
            max: Span(Duration::from_millis(50)),
            ..RetryConfig::default()
        };
        let policy = RetryPolicy::from(&config);
        assert_eq!((policy.max_attempts, policy.delay(9, 1.0)), (1, Duration::from_millis(50)));
        let zero = RetryConfig { initial: Span(Duration::ZERO), max: Span(Duration::ZERO), ..RetryConfig::default() };
        assert!(RetryPolicy::from(&zero).delay(9, 1.0) <= Duration::from_millis(1));
    }
}
