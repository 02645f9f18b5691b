//! Counts what came of samples, and says what that proves.

use std::collections::BTreeMap;
use std::time::Duration;

use quash_config::Span;
use serde::{Deserialize, Serialize};

/// What came of a sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    /// It was as it should be.
    Fresh,
    /// It was not, and was served as if.
    Stale,
    /// It was old, and said so.
    StaleDeclared,
    /// There was nothing that would be served.
    Absent,
    /// Nothing may be stored there for a while.
    Held,
    /// Somebody did not answer, or its arguments cannot be told.
    Undecided,
    /// It cannot be read.
    Unreadable,
}

impl Outcome {
    /// All of them.
    pub const ALL: [Self; 7] =
        [Self::Fresh, Self::Stale, Self::StaleDeclared, Self::Absent, Self::Held, Self::Undecided, Self::Unreadable];

    /// Its name in metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Fresh => "fresh",
            Self::Stale => "stale",
            Self::StaleDeclared => "stale_declared",
            Self::Absent => "absent",
            Self::Held => "held",
            Self::Undecided => "undecided",
            Self::Unreadable => "unreadable",
        }
    }
}

/// An entry that was served as fresh and was not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Violation {
    /// Its cache.
    pub cache: String,
    /// Where it is.
    pub target: String,
    /// Its key.
    pub key: String,
    /// Within how long it should have been right, in milliseconds.
    pub within_ms: u64,
    /// Since when it is known to be stale, in milliseconds: it may have been before.
    pub stale_ms: u64,
    /// How long it has still to live, in milliseconds; `None` for ever.
    pub ttl_ms: Option<u64>,
    /// SHA-256 of what stands there.
    pub entry: String,
    /// SHA-256 of what should stand there, where that is told.
    pub truth: Option<String>,
}

/// How often what came of samples of one cache on one target.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Count {
    /// How often each outcome, by its name.
    pub outcomes: BTreeMap<String, u64>,
    /// How long an entry was known to be stale at most, in milliseconds.
    pub oldest_ms: u64,
}

/// The samples of some time, by cache, target and within how long, in milliseconds.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SampleCounts(pub BTreeMap<(String, String, u64), Count>);

impl Count {
    /// How often this came of one.
    #[must_use]
    pub fn of(&self, outcome: Outcome) -> u64 {
        self.outcomes.get(outcome.name()).copied().unwrap_or_default()
    }

    /// Samples of which it is known whether they were fresh.
    #[must_use]
    pub fn samples(&self) -> u64 {
        self.of(Outcome::Fresh) + self.of(Outcome::Stale)
    }

    /// What part was stale; where none was, what part at most may have been in truth, with 95 % confidence: 3/n. `None` where
    /// nothing is known.
    #[must_use]
    pub fn stale_part(&self) -> Option<f64> {
        let (samples, stale) = (self.samples() as f64, self.of(Outcome::Stale) as f64);
        (samples > 0.0).then(|| (if stale > 0.0 { stale } else { 3.0 } / samples).min(1.0))
    }

    /// What that proves, for people: `≥ 99.9986 % (4.8 nines)`.
    #[must_use]
    pub fn fresh(&self) -> String {
        let Some(part) = self.stale_part() else { return "unknown".to_owned() };
        let bound = if self.of(Outcome::Stale) > 0 { "" } else { "≥ " };
        let nines = (-part.log10()).max(0.0) + 0.0;
        // As many digits as the nines, and two: rounded down, since it is a promise.
        let digits = (nines as usize).clamp(1, 9);
        let scale = 10_f64.powi(i32::try_from(digits).unwrap_or(9));
        let percent = ((1.0 - part) * 100.0 * scale).floor() / scale;
        format!("{bound}{percent:.digits$} % ({:.1} nines)", (nines * 10.0).floor() / 10.0)
    }
}

impl SampleCounts {
    /// One more.
    pub fn add(&mut self, cache: &str, target: &str, within: Duration, outcome: Outcome) {
        let count = self.at(cache, target, within);
        *count.outcomes.entry(outcome.name().to_owned()).or_default() += 1;
    }

    /// An entry was known to be stale for so long.
    pub fn stale_for(&mut self, cache: &str, target: &str, within: Duration, stale_ms: u64) {
        let count = self.at(cache, target, within);
        count.oldest_ms = count.oldest_ms.max(stale_ms);
    }

    fn at(&mut self, cache: &str, target: &str, within: Duration) -> &mut Count {
        let within = u64::try_from(within.as_millis()).unwrap_or(u64::MAX);
        self.0.entry((cache.to_owned(), target.to_owned(), within)).or_default()
    }

    /// Adds those of another time.
    pub fn merge(&mut self, other: &Self) {
        for (of, count) in &other.0 {
            let sum = self.0.entry(of.clone()).or_default();
            for (outcome, times) in &count.outcomes {
                *sum.outcomes.entry(outcome.clone()).or_default() += times;
            }
            sum.oldest_ms = sum.oldest_ms.max(count.oldest_ms);
        }
    }

    /// How many entries were stale.
    #[must_use]
    pub fn stale(&self) -> u64 {
        self.0.values().map(|count| count.of(Outcome::Stale)).sum()
    }

    /// One row each, for people.
    #[must_use]
    pub fn rows(&self) -> Vec<[String; 7]> {
        let row = |((cache, target, within), count): (&(String, String, u64), &Count)| {
            let span = |ms: u64| Span(Duration::from_millis(ms)).to_string();
            [
                cache.clone(),
                target.clone(),
                span(*within),
                count.samples().to_string(),
                count.of(Outcome::Stale).to_string(),
                count.fresh(),
                if count.oldest_ms > 0 { span(count.oldest_ms / 1000 * 1000) } else { String::new() },
            ]
        };
        self.0.iter().map(row).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fresh(fresh: u64, stale: u64) -> String {
        let outcomes = [(Outcome::Fresh, fresh), (Outcome::Stale, stale), (Outcome::Absent, 7)];
        let outcomes = outcomes.into_iter().map(|(outcome, times)| (outcome.name().to_owned(), times)).collect();
        Count { outcomes, oldest_ms: 0 }.fresh()
    }

    #[test]
    fn a_promise_is_bounded_by_its_sample_and_rounded_down() {
        assert_eq!(fresh(214_002, 0), "≥ 99.9985 % (4.8 nines)");
        assert_eq!(fresh(198_072, 41), "99.979 % (3.6 nines)");
        assert_eq!(fresh(0, 0), "unknown");
        assert_eq!(fresh(1, 0), "≥ 0.0 % (0.0 nines)");
        assert_eq!(fresh(0, 5), "0.0 % (0.0 nines)");
        assert_eq!(fresh(99_990, 10), "99.9900 % (4.0 nines)");
    }

    #[test]
    fn counts_of_two_times_are_added() {
        let second = Duration::from_secs(1);
        let mut one = SampleCounts::default();
        one.add("a", "main", second, Outcome::Fresh);
        one.stale_for("a", "main", second, 5);
        let mut two = one.clone();
        two.add("b", "main", second, Outcome::Stale);
        two.merge(&one);
        assert_eq!(two.0.len(), 2);
        let sum = &two.0[&("a".to_owned(), "main".to_owned(), 1000)];
        assert_eq!((sum.of(Outcome::Fresh), sum.oldest_ms, two.stale()), (2, 5, 1));
    }
}
