//! `quash explain`: shows what one message would invalidate and why, or what a key is. Removes nothing.

mod change;
mod hint;
mod key;
mod live;
mod story;

use std::io::Read;

use quash_config::Loaded;
use quash_core::event::{Format, Payload, decode};
use quash_core::explain::Explanation;
use quash_core::resolve::{Request, Resolver};

use self::change::Seen;
use self::live::Asked;
use self::story::Story;
use super::format::format;
use super::output::{self, Screen};
use super::screen;
use super::{CliError, Exit, Global, Output, rules};
use quash_dispatch::config::Config;

/// Shows what one event would invalidate and why, or which caches write a key.
#[derive(Debug, clap::Args)]
#[command(group(clap::ArgGroup::new("what").required(true).args(["key", "event"])))]
pub struct Args {
    /// A key as it is on the target, to see which caches write such keys
    #[arg(value_name = "KEY")]
    pub key: Option<String>,
    /// The message: a file, `-` for standard input, or JSON itself
    #[arg(short, long, value_name = "FILE|-|JSON", allow_hyphen_values = true)]
    pub event: Option<String>,
    /// The message's format: auto, json, cloud_events, debezium or wal2json
    #[arg(long, default_value = "auto", value_parser = format)]
    pub format: Format,
    /// Also asks the targets which of the entries exist, and looks for them elsewhere where none does
    #[arg(long)]
    pub live: bool,
    /// Shows long lists whole
    #[arg(long)]
    pub all: bool,
}

/// Shows what one event would invalidate and why, or which caches write a key.
///
/// # Errors
/// [`CliError::Configuration`] when the configuration is wrong, [`CliError::Io`] when the message cannot be read,
/// [`CliError::Unreachable`] when `--live` reaches a target not at all.
pub async fn run(args: Args, global: &Global) -> Result<Exit, CliError> {
    let loaded = global.load()?;
    let (resolver, _) = rules::compile(&loaded)?;
    if let Some(key) = &args.key {
        return key::run(key, args.live, global, &loaded.root, &resolver).await;
    }
    let body = read(args.event.as_deref().unwrap_or_default())?;
    let payload = Payload { body: &body, headers: &[] };
    let request = Request::fresh(payload, args.format);
    match resolver.explain(&request) {
        Ok(explanation) => explained(&args, global, &loaded, &resolver, &request, explanation).await,
        Err(error) => {
            let reason = story::reason_of(&error);
            match global.output {
                Output::Json => {
                    output::print_json(&serde_json::json!({ "refused": reason, "error": error.to_string() }))?
                }
                Output::Text => screen::print(&story::undecodable(&error, Screen::stdout().paint))?,
            }
            Ok(Exit::Failures)
        }
    }
}

async fn explained(
    args: &Args,
    global: &Global,
    loaded: &Loaded<Config>,
    resolver: &Resolver,
    request: &Request<'_>,
    explanation: Explanation,
) -> Result<Exit, CliError> {
    let asked = if args.live { Some(live::ask(&loaded.root, resolver, &explanation).await?) } else { None };
    match global.output {
        Output::Json => output::print_json(&Json { explanation: &explanation, asked: asked.as_ref() })?,
        Output::Text => {
            let story = Story {
                seen: seen(request, loaded),
                explanation: &explanation,
                entities: entities(resolver),
                asked: asked.as_ref(),
                all: args.all,
                paint: Screen::stdout().paint,
            };
            screen::print(&story.tell())?;
        }
    }
    let refused = explanation.changes.iter().any(|change| change.refused.is_some());
    Ok(if refused { Exit::Failures } else { Exit::Done })
}

#[derive(serde::Serialize)]
struct Json<'e> {
    #[serde(flatten)]
    explanation: &'e Explanation,
    #[serde(flatten)]
    asked: Option<&'e Asked>,
}

/// What the message itself says, one per explained change.
fn seen(request: &Request<'_>, loaded: &Loaded<Config>) -> Vec<Seen> {
    let mut changes = Vec::new();
    // It was decoded for the explanation already, so this cannot fail; without it just the details are missing.
    let _ = decode(request.payload, request.format, &loaded.root.limits.event(), &mut changes);
    changes.iter().map(Seen::of).collect()
}

/// The entities and relations that rules know.
fn entities(resolver: &Resolver) -> Vec<String> {
    let from = resolver.graph().into_iter().map(|dependence| dependence.from);
    let named = from.filter_map(|from| from.split_once(' ').map(|(kind, name)| (kind.to_owned(), name.to_owned())));
    let mut names: Vec<_> = named.filter(|(kind, _)| kind != "cache").map(|(_, name)| name).collect();
    names.sort_unstable();
    names.dedup();
    names
}

fn read(event: &str) -> Result<Vec<u8>, CliError> {
    let fails = |what: &str, error: std::io::Error| CliError::Io(format!("cannot read {what}: {error}"));
    if event.trim_start().starts_with(['{', '[']) {
        return Ok(event.as_bytes().to_vec());
    }
    if event == "-" {
        let mut body = Vec::new();
        std::io::stdin().lock().read_to_end(&mut body).map_err(|error| fails("standard input", error))?;
        return Ok(body);
    }
    std::fs::read(event).map_err(|error| fails(event, error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_may_stand_on_the_command_line() {
        assert_eq!(read(" {\"a\": 1}").unwrap(), b" {\"a\": 1}");
        assert_eq!(read("/nowhere/event.json").unwrap_err().code(), 74);
    }
}
