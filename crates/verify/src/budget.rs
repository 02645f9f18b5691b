//! Says how many samples may be taken now; pure, the time is passed in.

use std::time::Duration;

use tokio::time::Instant;

/// Answers that the median is taken of.
const ANSWERS: usize = 63;
/// Fewer answers than this say nothing of what is usual.
const ANSWERS_MIN: usize = 9;
/// Samples that one step takes at most.
pub(crate) const STEP_MAX: usize = 64;

/// So many samples a second, and half of it while answers take twice of what they usually take.
pub(crate) struct Budget {
    rate: f64,
    saved: f64,
    at: Instant,
    took: Vec<Duration>,
    next: usize,
    is_slow: bool,
}

impl Budget {
    pub(crate) fn new(rate: u32, now: Instant) -> Self {
        Self { rate: f64::from(rate.max(1)), saved: 1.0, at: now, took: Vec::new(), next: 0, is_slow: false }
    }

    /// How many samples may be taken, at least one; else how long to wait for the next one.
    pub(crate) fn allowed(&mut self, now: Instant) -> Result<usize, Duration> {
        let rate = if self.is_slow { self.rate / 2.0 } else { self.rate };
        let saved = self.saved + rate * now.saturating_duration_since(self.at).as_secs_f64();
        // A tenth of a second is saved up, so that steps of a large budget are whole.
        self.saved = saved.min((rate / 10.0).clamp(1.0, STEP_MAX as f64));
        self.at = now;
        match self.saved {
            saved if saved >= 1.0 => Ok(saved as usize),
            saved => Err(Duration::from_secs_f64((1.0 - saved) / rate)),
        }
    }

    /// So many were taken.
    pub(crate) fn spend(&mut self, samples: usize) {
        self.saved -= samples as f64;
    }

    /// The server answered after so long.
    pub(crate) fn answered(&mut self, took: Duration) {
        let mut usual = self.took.clone();
        usual.sort_unstable();
        let median = usual.get(usual.len() / 2).copied().unwrap_or_default();
        self.is_slow = usual.len() >= ANSWERS_MIN && took > median * 2;
        if self.took.len() < ANSWERS {
            self.took.push(took);
        } else {
            self.took[self.next] = took;
            self.next = (self.next + 1) % ANSWERS;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many samples are taken in so many seconds by who asks every so often.
    fn taken(budget: &mut Budget, from: Instant, seconds: u64) -> usize {
        let (mut now, mut taken) = (from, 0);
        while now < from + Duration::from_secs(seconds) {
            match budget.allowed(now) {
                Ok(samples) => {
                    budget.spend(samples);
                    taken += samples;
                }
                Err(wait) => now += wait.max(Duration::from_nanos(1)),
            }
        }
        taken
    }

    #[test]
    fn no_more_than_the_budget_is_taken_however_often_somebody_asks() {
        let now = Instant::now();
        assert!((50..=51).contains(&taken(&mut Budget::new(5, now), now, 10)));
        let many = taken(&mut Budget::new(2000, now), now, 10);
        assert!((19_990..=20_064).contains(&many), "{many}");
        // What was not used for an hour is not saved up.
        assert_eq!(Budget::new(5, now).allowed(now + Duration::from_secs(3600)), Ok(1));
    }

    #[test]
    fn half_is_taken_while_answers_are_slow() {
        let now = Instant::now();
        let mut budget = Budget::new(10, now);
        (0..20).for_each(|_| budget.answered(Duration::from_millis(2)));
        budget.answered(Duration::from_millis(5));
        assert!((50..=51).contains(&taken(&mut budget, now, 10)));
        budget.answered(Duration::from_millis(3));
        assert!((100..=101).contains(&taken(&mut budget, now + Duration::from_secs(10), 10)));
    }
}
