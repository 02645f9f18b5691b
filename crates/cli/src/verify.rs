//! `quash verify`: compares cached entries with what is true, or tells what came of it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use quash_config::Span;
use quash_dispatch::config::{Config, VerifyConfig};
use quash_store::StoreError;
use quash_verify::{Outcome, SampleCounts, Verifier, Violation, Watch, read_counts};
use serde_json::json;

use super::output::{self, Screen, escape_for_terminal};
use super::table::Table;
use super::verifiers::failed;
use super::{CliError, Exit, Global, Output, rules, screen};

/// Tells how many of the sampled entries were fresh, by cache, target and within how long.
///
/// Workers take samples where the configuration has a section `verify`; without `--once` this tells what came of them. With
/// `--once` it takes samples itself and ends with 1 if one of them was stale, or if it would not have found one that is. What did
/// not answer is unknown and counts for nothing.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Take samples now, as in CI or after a deployment
    #[arg(long)]
    pub once: bool,
    /// Only entries of this cache; may be repeated
    #[arg(long, value_name = "CACHE", requires = "once")]
    pub cache: Vec<String>,
    /// How many samples on each target, unless all keys were seen before
    #[arg(short = 'n', long, value_name = "COUNT", default_value_t = 1000, requires = "once")]
    pub samples: u64,
    /// After how long an entry that differed must be right
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = span, requires = "once")]
    pub within: Span,
    /// Samples a second on each target at most
    #[arg(long, value_name = "COUNT", default_value_t = 200, requires = "once")]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub budget: u32,
    /// How much of the past is shown, a week at most
    #[arg(long, value_name = "TIME", default_value = "24h", value_parser = span, conflicts_with = "once")]
    pub since: Span,
}

fn span(text: &str) -> Result<Span, String> {
    text.parse::<Span>().map_err(|error| error.to_string())
}

/// Takes samples, or tells what came of those of others.
///
/// # Errors
/// [`CliError::Configuration`] when the configuration does not say what is true; [`CliError::Unreachable`] and
/// [`CliError::Refused`] as a target says.
pub async fn run(args: Args, global: &Global) -> Result<Exit, CliError> {
    let loaded = global.read()?;
    if args.once {
        return once(&args, &loaded.root, Arc::new(rules::compile(&loaded)?.0), global).await;
    }
    let mut counts = SampleCounts::default();
    for (name, target) in &loaded.root.targets {
        let about = |error: &dyn std::fmt::Display| format!("target {name}: {error}");
        let store = target.kind.build().map_err(|problem| CliError::Configuration(about(&problem.message)))?;
        counts.merge(&read_counts(&*store, *args.since).await.map_err(|error| match error {
            StoreError::Unreachable(_) => CliError::Unreachable(about(&error)),
            _ => CliError::Refused(about(&error)),
        })?);
    }
    if counts.0.is_empty() && global.output == Output::Text {
        output::say("no samples were taken; a worker takes them where the configuration has a section `verify`")?;
        return Ok(Exit::Done);
    }
    tell(&counts, global)?;
    Ok(if counts.stale() > 0 { Exit::Failures } else { Exit::Done })
}

async fn once(
    args: &Args,
    config: &Config,
    rules: Arc<quash_core::resolve::Resolver>,
    global: &Global,
) -> Result<Exit, CliError> {
    if args.within.is_zero() {
        return Err(CliError::Usage("--within is longer than nothing".to_owned()));
    }
    let how = VerifyConfig { budget: args.budget, within: vec![args.within], ..VerifyConfig::default() };
    let mut verifiers = Verifier::all(config, &rules, &args.cache, &how).map_err(failed)?;
    let heard = Heard { output: global.output, findings: Mutex::default() };
    for verifier in &mut verifiers {
        while verifier.progress().samples < args.samples && verifier.progress().rounds == 0 {
            verifier.step(args.samples - verifier.progress().samples, &heard).await.map_err(failed)?;
        }
        while !verifier.progress().is_settled {
            verifier.step(0, &heard).await.map_err(failed)?;
        }
    }
    let findings = heard.findings.into_inner().unwrap_or_else(PoisonError::into_inner);
    findings.printed?;
    tell(&findings.counts, global)?;
    for blind in &findings.blind {
        tracing::error!("{blind}: blind, the entry made stale on purpose was not found");
    }
    let known: u64 = findings.counts.0.values().map(quash_verify::Count::samples).sum();
    if known == 0 && !findings.counts.0.is_empty() {
        tracing::error!("of no entry it is known whether it is fresh");
    }
    let is_known = known > 0 || findings.counts.0.is_empty();
    let is_good = findings.counts.stale() == 0 && findings.blind.is_empty() && is_known;
    Ok(if is_good { Exit::Done } else { Exit::Failures })
}

/// Prints each violation when it is found, and counts.
struct Heard {
    output: Output,
    findings: Mutex<Findings>,
}

struct Findings {
    counts: SampleCounts,
    blind: Vec<String>,
    printed: Result<(), CliError>,
}

impl Default for Findings {
    fn default() -> Self {
        Self { counts: SampleCounts::default(), blind: Vec::new(), printed: Ok(()) }
    }
}

impl Heard {
    fn findings(&self) -> std::sync::MutexGuard<'_, Findings> {
        self.findings.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Watch for Heard {
    fn sampled(&self, cache: &str, target: &str, within: Duration, outcome: Outcome) {
        self.findings().counts.add(cache, target, within, outcome);
    }

    fn violated(&self, violation: &Violation) {
        let Violation { cache, target, key, within_ms, stale_ms, .. } = violation;
        let within = Duration::from_millis(*within_ms);
        let printed = match self.output {
            Output::Json => line(&json!({ "violation": violation })),
            Output::Text => {
                let key = escape_for_terminal(key);
                output::say(&format!("stale: {key} of cache {cache} on target {target}, after {}", Span(within)))
            }
        };
        let mut findings = self.findings();
        findings.counts.stale_for(cache, target, within, *stale_ms);
        if findings.printed.is_ok() {
            findings.printed = printed;
        }
    }

    fn canary(&self, cache: &str, target: &str, found: bool) {
        if !found {
            self.findings().blind.push(format!("cache {cache} on target {target}"));
        }
    }

    fn skipped(&self, _: &str, _: &str) {}
}

/// One JSON object, in a line.
fn line(value: &serde_json::Value) -> Result<(), CliError> {
    output::say(&output::escape_json(&value.to_string()))
}

/// Prints what came of samples: a table, or one JSON object a row.
fn tell(counts: &SampleCounts, global: &Global) -> Result<(), CliError> {
    if global.output == Output::Json {
        return counts.0.iter().try_for_each(|((cache, target, within_ms), count)| {
            let part = count.stale_part();
            line(&json!({ "count": {
                "cache": cache, "target": target, "within_ms": within_ms, "samples": count.samples(),
                "outcomes": count.outcomes, "oldest_ms": count.oldest_ms, "stale_part": part,
            }}))
        });
    }
    let mut table = Table::new(&["CACHE", "TARGET", "WITHIN", "SAMPLES", "STALE", "FRESH", "OLDEST"]).right(&[3, 4]);
    counts.rows().into_iter().for_each(|row| table.row(row));
    let mut text = Vec::new();
    table.write(&mut text, Screen::stdout()).map_err(|error| CliError::Io(error.to_string()))?;
    screen::print(&String::from_utf8_lossy(&text))
}
