//! Asks for answers on behalf of the lines that are published, and waits for them.

use std::collections::BTreeSet;
use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use quash_core::answer::{AnswerId, Awaited, Heard};
use quash_dispatch::config::Config;
use quash_store::{Answers, Store};
use tokio::time::Instant;

use crate::CliError;
use crate::output::escape_for_terminal;

/// How many messages are waited for at most: each is remembered.
const ASKED_MAX: usize = 10_000;

/// The answers that are asked for, in the order of the lines.
#[derive(Debug, Default)]
pub(super) struct Asked {
    asked: Vec<(u64, AnswerId)>,
    /// How many lines could not ask.
    pub(super) unasked: u64,
}

impl Asked {
    /// The line with a question for an answer, under the identifier that it names itself or another; as it is where it cannot
    /// ask, with why among its warnings.
    pub(super) fn ask(
        &mut self,
        line: u64,
        bytes: Vec<u8>,
        own: Option<AnswerId>,
        warnings: &mut Vec<String>,
    ) -> Vec<u8> {
        let start = if is_native(&bytes) { bytes.iter().position(|byte| *byte == b'{') } else { None };
        let why = match (own, start) {
            _ if self.asked.len() >= ASKED_MAX => "it is not waited for: ten thousand are, at most",
            (Some(own), _) => {
                self.asked.push((line, own));
                return bytes;
            }
            (None, Some(start)) => {
                let id = AnswerId::new(fastrand::u128(..));
                self.asked.push((line, id));
                let (before, rest) = bytes.split_at(start + 1);
                return [before, format!("\"answer\":\"{id}\",").as_bytes(), rest].concat();
            }
            (None, None) => "it is not waited for: only the native format can ask for an answer",
        };
        self.unasked += 1;
        warnings.push(why.to_owned());
        bytes
    }
}

fn is_native(bytes: &[u8]) -> bool {
    serde_json::from_slice::<serde_json::Map<String, serde_json::Value>>(bytes)
        .is_ok_and(|object| ["entity", "events", "invalidate"].iter().any(|name| object.contains_key(*name)))
}

/// Where answers are waited for.
pub(super) struct Ears {
    targets: Vec<(String, Arc<dyn Store>)>,
    limit: Duration,
}

impl Ears {
    /// The targets of a configuration, or those of them that are named.
    ///
    /// # Errors
    /// For a target that is not declared, or whose kind takes no answers.
    pub(super) fn new(config: &Config, named: &[String], limit: Duration) -> Result<Self, CliError> {
        if let Some(name) = named.iter().find(|name| !config.targets.contains_key(*name)) {
            let known: Vec<&str> = config.targets.keys().map(String::as_str).collect();
            return Err(CliError::Usage(format!("no target is called `{name}`; there are: {}", known.join(", "))));
        }
        let wanted = config.targets.iter().filter(|(name, _)| named.is_empty() || named.contains(name));
        let targets = wanted.map(|(name, target)| {
            let store = target.kind.build();
            let store = store.map_err(|problem| CliError::Configuration(format!("target `{name}`: {problem}")))?;
            match store.can().answers {
                true => Ok((name.clone(), store)),
                false => Err(CliError::Usage(format!("target `{name}` takes no answers: leave `--wait` out"))),
            }
        });
        let targets = targets.collect::<Result<Vec<_>, _>>()?;
        match targets.is_empty() {
            true => Err(CliError::Usage("`--wait` needs a target, and none is configured".to_owned())),
            false => Ok(Self { targets, limit }),
        }
    }

    /// Waits for all of it, says in lines what is not known to be invalidated, and gives how many messages are, on all targets.
    pub(super) async fn hear(&self, asked: &Asked, complaints: &mut impl Write) -> u64 {
        let until = Instant::now() + self.limit;
        let heard = self.targets.iter().map(async |(name, store)| match store.answers() {
            Some(answers) => self.on(name, answers, asked, until).await,
            None => Vec::new(),
        });
        let heard = join_all(heard).await;
        let undone: BTreeSet<u64> = heard.iter().flatten().map(|(line, _)| *line).collect();
        for (line, words) in heard.into_iter().flatten() {
            // Nobody may be reading stderr; that is no reason to stop.
            let _ = writeln!(complaints, "line {line}: {}", escape_for_terminal(&words));
        }
        asked.asked.iter().filter(|(line, _)| !undone.contains(line)).count() as u64
    }

    async fn on(&self, target: &str, answers: &dyn Answers, asked: &Asked, until: Instant) -> Vec<(u64, String)> {
        let mut undone = Vec::new();
        for (line, id) in &asked.asked {
            let said = match wait(*id, answers, until).await {
                Ok(Heard::Invalidated) => continue,
                Ok(Heard::DeadLetter(letter)) => {
                    let (reason, error) = (letter.reason.unwrap_or_default(), letter.error.unwrap_or_default());
                    format!("it is a dead letter ({reason}): {error}")
                }
                Ok(Heard::Waiting) => format!("no answer within {:?}; it is published all the same", self.limit),
                Err(error) => error,
            };
            undone.push((*line, format!("target {target}: {said}")));
        }
        undone
    }
}

async fn wait(id: AnswerId, answers: &dyn Answers, until: Instant) -> Result<Heard, String> {
    let mut awaited = Awaited::new(true, []);
    loop {
        let left = until.saturating_duration_since(Instant::now());
        let Some(answer) = answers.hear(id, left).await.map_err(|error| error.to_string())? else {
            return Ok(Heard::Waiting);
        };
        match awaited.hear(&answer) {
            Heard::Waiting => {}
            heard => return Ok(heard),
        }
    }
}
