//! Runs `quash dlq` commands in tests, on a broker that is none.

use std::io::BufRead;

use clap::{Args as _, FromArgMatches};

use super::{Args, Desk};
use crate::output::Screen;
use crate::{CliError, Exit, Output};
use quash_worker::dead_letter::testing::{Broker, NOW_MS};

/// How the command ended, and what it wrote to standard output and standard error. `answer` is who sits at the terminal.
pub(super) async fn run(
    broker: &Broker,
    command: &str,
    answer: Option<&str>,
) -> (Result<Exit, CliError>, String, String) {
    run_as(broker, command, answer, Output::Text).await
}

/// The JSON that the command printed.
pub(super) async fn json(broker: &Broker, command: &str) -> serde_json::Value {
    let (ended, out, err) = run_as(broker, command, None, Output::Json).await;
    ended.unwrap_or_else(|error| panic!("{command}: {error}"));
    assert_eq!(err, "", "{command}");
    serde_json::from_str(&out).unwrap_or_else(|error| panic!("{command}: {error} in {out}"))
}

/// Runs the command where nobody sits at a terminal.
pub(super) async fn check(broker: &Broker, command: &str, expect: Exit, expect_out: &str) {
    let (ended, out, err) = run(broker, command, None).await;
    assert_eq!(ended.unwrap_or_else(|error| panic!("{command}: {error}")), expect, "{command}: {err}");
    assert_eq!(out, expect_out, "{command}");
}

async fn run_as(
    broker: &Broker,
    command: &str,
    answer: Option<&str>,
    output: Output,
) -> (Result<Exit, CliError>, String, String) {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let mut answer = answer.map(str::as_bytes);
    let mut desk = Desk {
        source: "events".to_owned(),
        transport: broker,
        output,
        screen: Screen::PLAIN,
        now_ms: NOW_MS,
        hint: String::new(),
        out: &mut out,
        err: &mut err,
        answers: answer.as_mut().map(|answer| answer as &mut dyn BufRead),
    };
    let ended = desk.run(parse(command).command).await;
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (ended, text(out), text(err))
}

fn parse(command: &str) -> Args {
    let words = command.split(' ').map(|word| word.replace('~', " "));
    let matches = Args::augment_args(clap::Command::new("dlq").no_binary_name(true)).try_get_matches_from(words);
    Args::from_arg_matches(&matches.unwrap_or_else(|error| panic!("{command}: {error}"))).unwrap()
}
