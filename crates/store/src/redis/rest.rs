//! Says when passes over the keys of a server rest, and for how long; pure, the time is passed in.

use std::time::{Duration, Instant};

/// Rests are saved up to this many seconds: timers are not finer than a millisecond.
const REST_MIN: f64 = 0.002;

/// How many seconds of rest a quiet server is ahead at most. With the default pace that is a pass of a fifth of a second,
/// over half a million keys, which nobody has to wait for; pass upon pass is paced like one long one.
const AHEAD_MAX: f64 = 0.05;

/// What is owed to a server. All passes over its keys share it.
#[derive(Debug)]
pub(super) struct Rest {
    /// Seconds of rest that are due; below zero when the server had more than that.
    due: f64,
    /// When that was so.
    at: Instant,
}

impl Rest {
    /// A server that was left alone for long.
    pub(super) const fn new(now: Instant) -> Self {
        Self { due: -AHEAD_MAX, at: now }
    }

    /// How long to rest before the next step, if at all. Time in which nobody asked for anything counts as rest.
    pub(super) fn before_step(&mut self, now: Instant) -> Option<Duration> {
        self.due = (self.due - now.saturating_duration_since(self.at).as_secs_f64()).max(-AHEAD_MAX);
        self.at = now;
        (self.due >= REST_MIN).then(|| Duration::from_secs_f64(self.due))
    }

    /// A step that began at a time took until now.
    pub(super) fn after_step(&mut self, begun: Instant, now: Instant, pace: f64) {
        self.due += now.saturating_duration_since(begun).as_secs_f64() * pace;
        self.at = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How long so many steps of a millisecond rest in all.
    fn walk(rest: &mut Rest, now: &mut Instant, steps: u32, pace: f64) -> Duration {
        let mut rested = Duration::ZERO;
        for _ in 0..steps {
            while let Some(pause) = rest.before_step(*now) {
                rested += pause;
                *now += pause;
            }
            let begun = *now;
            *now += Duration::from_millis(1);
            rest.after_step(begun, *now, pace);
        }
        rested
    }

    #[test]
    fn a_short_pass_does_not_rest_and_a_long_one_does() {
        let mut now = Instant::now();
        let mut rest = Rest::new(now);
        assert_eq!(walk(&mut rest, &mut now, 200, 0.25), Duration::ZERO);
        let rested = walk(&mut rest, &mut now, 1_000, 0.25);
        assert!((0.24..=0.25).contains(&rested.as_secs_f64()), "a quarter of the time: {rested:?}");
    }

    #[test]
    fn pass_upon_pass_is_paced_like_one_long_one() {
        let mut now = Instant::now();
        let mut rest = Rest::new(now);
        let rested: Duration = (0..12).map(|_| walk(&mut rest, &mut now, 100, 0.25)).sum();
        assert!((0.24..=0.25).contains(&rested.as_secs_f64()), "{rested:?}");
        now += Duration::from_secs(60);
        assert_eq!(walk(&mut rest, &mut now, 200, 0.25), Duration::ZERO, "a quiet minute is one rest, and no more");
        assert!(walk(&mut rest, &mut now, 100, 0.25) > Duration::from_millis(20));
    }

    #[test]
    fn who_asks_for_no_rest_gets_none() {
        let mut now = Instant::now();
        let mut rest = Rest::new(now);
        assert_eq!(walk(&mut rest, &mut now, 10_000, 0.0), Duration::ZERO);
    }
}
