//! `quash publish`: publishes events from a file or standard input.

mod answers;
mod deliver;
mod flow;
mod input;
mod stop;
mod validate;
mod warnings;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use quash_config::Span;
use quash_core::event::Format;
use quash_transport::{Headers, Message};
use serde::Serialize;

use super::format::format;
use super::output::thousands;
use super::{CliError, Exit, Global, Output, output, rules, source};
use answers::{Asked, Ears};
use deliver::Delivery;
use flow::{Flow, Pace};
use stop::Stop;
use validate::Validator;
use warnings::Warnings;

/// Publishes events from a file or standard input, one JSON document a line.
///
/// Every line is decoded first. One that a worker cannot read is reported and published all the same, so that it becomes a dead
/// letter with its reason; only what is larger than the broker takes is left out. The exit code is then 1. Lines that carry
/// nothing to invalidate (transaction boundaries) are left out in silence. While the broker cannot be reached, publishing waits;
/// no line is dropped. Ctrl-C, SIGTERM and the end of the input finish what was read. What the broker has not taken within
/// `worker.drain` of the first Ctrl-C, or at a second one, is given up: 69, or 77 where the broker refuses.
///
/// With `--wait`, it returns when workers have invalidated everything, so that what is read then is new. What is not heard of in
/// time is said, with exit code 1; it is published all the same, and done when a worker comes to it.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The file to read; `-` is standard input
    #[arg(short, long, default_value = "-")]
    file: PathBuf,
    /// The format of the events; that of the source when left out
    #[arg(long, value_parser = format)]
    format: Option<Format>,
    /// Where to publish; needed when several sources are configured
    #[arg(long)]
    source: Option<String>,
    /// Take the whole input as one document
    #[arg(long)]
    whole: bool,
    /// Stop at the first line that is wrong, and do not publish it
    #[arg(long)]
    strict: bool,
    /// Compare entities with the rules, and warn of each that no cache depends on before it is sent
    #[arg(long)]
    check: bool,
    /// Lines published together at most
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    batch: u32,
    /// Events a second at most
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    rate: Option<u32>,
    /// A header of every message, as `name=value`; may be repeated
    #[arg(long = "header", value_name = "NAME=VALUE", value_parser = header)]
    headers: Vec<(String, String)>,
    /// Wait, up to this long, until workers say that everything is invalidated; only native JSON can ask for that
    #[arg(long, value_name = "TIME", value_parser = wait)]
    wait: Option<Duration>,
    /// A target to wait for; may be repeated. All, when left out
    #[arg(long = "wait-target", value_name = "TARGET", requires = "wait")]
    wait_targets: Vec<String>,
}

/// What was done with the input.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
struct Tally {
    /// Messages that the broker has; those that cannot be read are among them.
    published: u64,
    /// Lines that no worker can read: they become dead letters.
    unreadable: u64,
    /// Lines with nothing to invalidate in them.
    nothing: u64,
    /// Lines that did not go to the broker, because they are no events or because it takes none so large.
    refused: u64,
    /// Messages that are invalidated on all targets that were waited for; absent where none was.
    #[serde(skip_serializing_if = "Option::is_none")]
    invalidated: Option<u64>,
}

/// Publishes events from a file or standard input.
///
/// # Errors
/// As [`CliError`] says.
pub async fn run(args: Args, global: &Global) -> Result<Exit, CliError> {
    let loaded = global.load()?;
    let warnings = args.check.then(|| rules::compile(&loaded)).transpose()?.map(|(rules, _)| Warnings::new(rules));
    let config = loaded.root;
    let source = source::choose(&config, args.source.as_deref())?;
    let format = agreed_format(args.format, source.format, &source.name)?;
    let mut headers = Headers::default();
    for (name, value) in args.headers {
        headers.set(name, value);
    }
    let ears = args.wait.map(|limit| Ears::new(&config, &args.wait_targets, limit)).transpose()?;
    let started = Instant::now();
    let (stop, about) = (Stop::on_signals(), |error: CliError| source.about(error));
    let send = async |messages: &[Message]| source.transport.publish(messages).await;
    let batch = args.rate.map_or(args.batch, |rate| args.batch.min((rate / 10).max(1)));
    let mut flow = Flow {
        lines: input::open(&args.file, args.whole).await?,
        validator: Validator {
            format,
            limits: config.limits.event(),
            headers,
            warnings,
            asked: ears.is_some().then(Asked::default),
        },
        delivery: Delivery::new(send, stop.clone(), config.worker.drain.0),
        stop,
        pace: args.rate.map(Pace::new),
        batch: usize::try_from(batch).unwrap_or(usize::MAX),
        strict: args.strict,
        complaints: std::io::stderr(),
    };
    flow.delivery.prepare(async || source.transport.prepare().await, &mut std::io::stderr()).await.map_err(about)?;
    let mut tally = flow.run().await.map_err(about)?;
    if let Some((ears, asked)) = ears.zip(flow.validator.asked) {
        tally.invalidated = Some(ears.hear(&asked, &mut flow.complaints).await);
    }
    summarise(tally, &source.name, started.elapsed(), global.output)?;
    let is_heard = tally.invalidated.is_none_or(|invalidated| invalidated == tally.published);
    Ok(if tally.refused == 0 && tally.unreadable == 0 && is_heard { Exit::Done } else { Exit::Failures })
}

fn wait(text: &str) -> Result<Duration, String> {
    let Span(time) = text.parse()?;
    if time.is_zero() { Err("this must be longer than nothing".to_owned()) } else { Ok(time) }
}

/// What a worker could not decode must not be published to it.
fn agreed_format(asked: Option<Format>, configured: Format, source: &str) -> Result<Format, CliError> {
    match asked {
        Some(asked) if asked != configured && asked != Format::Auto && configured != Format::Auto => {
            let (asked, configured) = (asked.name(), configured.name());
            Err(CliError::Usage(format!("the source `{source}` is configured with format {configured}, not {asked}")))
        }
        Some(Format::Auto) | None => Ok(configured),
        Some(asked) => Ok(asked),
    }
}

fn summarise(tally: Tally, source: &str, took: Duration, output: Output) -> Result<(), CliError> {
    let seconds = took.as_secs_f64();
    let line = match output {
        Output::Json => {
            let mut value = serde_json::json!(tally);
            value["source"] = source.into();
            value["seconds"] = seconds.into();
            value.to_string()
        }
        Output::Text => in_words(tally, seconds),
    };
    output::say(&line)
}

fn in_words(tally: Tally, seconds: f64) -> String {
    let were = |count: u64| if count == 1 { "was" } else { "were" };
    let lines = |count: u64| if count == 1 { "line" } else { "lines" };
    let events = if tally.published == 1 { "event" } else { "events" };
    let asides: Vec<String> = [
        (tally.nothing > 0).then(|| format!("{} {} carried nothing", thousands(tally.nothing), lines(tally.nothing))),
        (tally.unreadable == 1).then(|| "1 cannot be read and becomes a dead letter".to_owned()),
        (tally.unreadable > 1)
            .then(|| format!("{} cannot be read and become dead letters", thousands(tally.unreadable))),
        (tally.refused > 0).then(|| format!("{} {} refused", thousands(tally.refused), were(tally.refused))),
    ]
    .into_iter()
    .flatten()
    .collect();
    let asides = if asides.is_empty() { String::new() } else { format!(" ({})", asides.join(", ")) };
    let heard = tally.invalidated.map(|count| format!(", {} invalidated", thousands(count))).unwrap_or_default();
    format!("published {} {events} in {seconds:.1} s{heard}{asides}", thousands(tally.published))
}

fn header(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_lowercase(), value.to_owned())),
        _ => Err("expected name=value".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summary_reads_as_a_sentence() {
        let cases = [
            (Tally { published: 1, ..Tally::default() }, "published 1 event in 2.1 s"),
            (
                Tally { published: 2, invalidated: Some(1), ..Tally::default() },
                "published 2 events in 2.1 s, 1 invalidated",
            ),
            (
                Tally { published: 3, unreadable: 1, ..Tally::default() },
                "published 3 events in 2.1 s (1 cannot be read and becomes a dead letter)",
            ),
            (
                Tally { published: 1234, nothing: 12, refused: 1, ..Tally::default() },
                "published 1,234 events in 2.1 s (12 lines carried nothing, 1 was refused)",
            ),
            (
                Tally { published: 1_234_567, unreadable: 3, nothing: 1, refused: 2, invalidated: None },
                "published 1,234,567 events in 2.1 s (1 line carried nothing, 3 cannot be read and become dead letters, \
                 2 were refused)",
            ),
        ];
        for (tally, expected) in cases {
            assert_eq!(in_words(tally, 2.1), expected);
        }
    }

    #[test]
    fn a_format_that_the_worker_would_not_decode_is_refused() {
        let agreed = |asked, configured| agreed_format(asked, configured, "events").ok();
        assert_eq!(agreed(None, Format::Wal2json), Some(Format::Wal2json));
        assert_eq!(agreed(Some(Format::Wal2json), Format::Auto), Some(Format::Wal2json));
        assert_eq!(agreed(Some(Format::Auto), Format::Json), Some(Format::Json));
        assert_eq!(agreed(Some(Format::Wal2json), Format::Json), None);
    }
}
