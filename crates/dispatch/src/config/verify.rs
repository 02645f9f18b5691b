//! Declares how entries are compared with what is true, and how often.

use std::time::Duration;

use quash_config::{ConfigPath, Problem, Span};
use serde::Deserialize;

/// How samples of entries are compared with what is true of them.
///
/// ```
/// use quash_dispatch::config::{Config, VerifyConfig};
///
/// let config = Config::parse("{ version: 1, verify: { budget: 20 } }")?;
/// assert_eq!(config.verify, Some(VerifyConfig { budget: 20, ..VerifyConfig::default() }));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct VerifyConfig {
    /// Samples a second on each target at most.
    pub budget: u32,
    /// After how long an entry that differed must be right; each is counted by itself.
    pub within: Vec<Span>,
    /// How often an entry of Quash's own is made stale on purpose, to see whether that is found; `0s` never.
    pub canary: Span,
}

impl Default for VerifyConfig {
    fn default() -> Self {
        let within = [1, 60, 300].map(|seconds| Span(Duration::from_secs(seconds))).to_vec();
        Self { budget: 5, within, canary: Span(Duration::from_secs(3600)) }
    }
}

impl VerifyConfig {
    pub(super) fn check(&self, path: &ConfigPath) -> Vec<Problem> {
        let mut problems = Vec::new();
        if !(1..=100_000).contains(&self.budget) {
            problems.push(Problem::error(path.key("budget"), "budget is from 1 to 100000 samples a second"));
        }
        let rises = self.within.windows(2).all(|pair| pair[0].0 < pair[1].0);
        if self.within.first().is_none_or(|first| first.is_zero()) || !rises || self.within.len() > 8 {
            let message = "within has one to eight times, each longer than the one before";
            problems.push(Problem::error(path.key("within"), message));
        }
        problems
    }
}

#[cfg(test)]
mod tests {
    use crate::config::Config;

    #[test]
    fn times_rise_and_a_budget_is_bounded() {
        let problems = |verify: &str| {
            let yaml = format!("version: 1\nverify: {{ {verify} }}");
            Config::parse(&yaml).map_or_else(|error| error.to_string(), |_| String::new())
        };
        assert_eq!(problems("within: [5s], canary: 0s"), "");
        for (verify, expected) in [
            ("budget: 0", "budget is from 1"),
            ("within: []", "within has one to eight times"),
            ("within: [5s, 5s]", "within has one to eight times"),
            ("within: [0s]", "within has one to eight times"),
        ] {
            assert!(problems(verify).contains(expected), "{verify}");
        }
    }
}
