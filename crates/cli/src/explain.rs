//! `quash explain`: shows what one message would invalidate and why, or what a key is. Removes nothing.

mod change;
mod hint;
mod key;
mod live;
mod story;

use std::io::Read;
use std::path::{Path, PathBuf};

use quash_config::Loaded;
use quash_core::event::{Format, Payload, decode};
use quash_core::explain::Explanation;
use quash_core::resolve::{Request, Resolver};

use self::change::Seen;
use self::live::Answers;
use self::story::Story;
use super::format::format;
use super::output::{self, Screen};
use super::screen;
use super::{CliError, Exit, Global, Output, rules};
use quash_delivery::record::Reason;
use quash_dispatch::config::Config;

/// Shows what one event would invalidate and why, or which caches write a key.
#[derive(Debug, clap::Args)]
#[command(override_usage = "quash explain [OPTIONS] [FILE.yaml]... <KEY|--event <FILE|-|JSON>>")]
pub struct Args {
    /// A key as it is on the target, to see which caches write such keys; files that end with .yaml or .yml are the
    /// configuration, as with -c
    #[arg(value_name = "KEY|FILE.yaml")]
    pub arguments: Vec<String>,
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
    let (files, what) = what_for(&args)?;
    let loaded = global.with(&files).load()?;
    let (resolver, _) = rules::compile(&loaded)?;
    let event = match what {
        What::Key(key) => return key::run(key, args.live, global, &loaded.root, &resolver).await,
        What::Event(event) => event,
    };
    let body = read(event)?;
    let payload = Payload { body: &body, headers: &[] };
    let request = Request::fresh(payload, args.format);
    match resolver.explain(&request) {
        Ok(explanation) => explained(&args, global, &loaded, &resolver, &request, explanation).await,
        Err(error) => {
            let reason = Reason::of_undecodable(&error);
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

/// What is to be explained.
#[derive(Debug, PartialEq)]
enum What<'a> {
    Key(&'a str),
    Event(&'a str),
}

/// Tells configuration files among the arguments from the key.
fn what_for(args: &Args) -> Result<(Vec<PathBuf>, What<'_>), CliError> {
    let is_file = |argument: &&String| {
        let name = argument.to_lowercase();
        (name.ends_with(".yaml") || name.ends_with(".yml")) && Path::new(argument.as_str()).exists()
    };
    let (files, keys): (Vec<_>, Vec<_>) = args.arguments.iter().partition(is_file);
    let what = match (keys.as_slice(), &args.event) {
        ([key], None) => What::Key(key),
        ([], Some(event)) => What::Event(event),
        ([], None) => return Err(CliError::Usage("say what to explain: a key, or an event with --event".to_owned())),
        ([key, ..], Some(_)) => {
            return Err(CliError::Usage(format!("either a key or --event, not both; there is no file `{key}`")));
        }
        ([one, other, ..], None) => {
            return Err(CliError::Usage(format!("one key at a time, and `{one}` and `{other}` are two")));
        }
    };
    Ok((files.into_iter().map(PathBuf::from).collect(), what))
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
    asked: Option<&'e Answers>,
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
    fn files_of_the_configuration_are_told_from_keys() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("quash.yaml");
        std::fs::write(&file, "").unwrap();
        let file = file.to_str().unwrap();
        let told_of = |arguments: &[&str], event: Option<&str>| {
            let arguments = arguments.iter().map(|&argument| argument.to_owned()).collect();
            let args =
                Args { arguments, event: event.map(str::to_owned), format: Format::Auto, live: false, all: false };
            what_for(&args)
                .map(|(files, what)| format!("{} files, {what:?}", files.len()))
                .map_err(|error| error.code())
        };
        assert_eq!(told_of(&["shop:1"], None), Ok("0 files, Key(\"shop:1\")".to_owned()));
        assert_eq!(told_of(&[file, "shop:1"], None), Ok("1 files, Key(\"shop:1\")".to_owned()));
        assert_eq!(told_of(&[file], Some("{}")), Ok("1 files, Event(\"{}\")".to_owned()));
        assert_eq!(told_of(&["a.yaml"], None), Ok("0 files, Key(\"a.yaml\")".to_owned()), "it is not there");
        for (arguments, event) in [(vec![], None), (vec![file], None), (vec!["a", "b"], None), (vec!["a"], Some("{}"))]
        {
            assert_eq!(told_of(&arguments, event), Err(2), "{arguments:?}");
        }
    }

    #[test]
    fn a_message_may_stand_on_the_command_line() {
        assert_eq!(read(" {\"a\": 1}").unwrap(), b" {\"a\": 1}");
        assert_eq!(read("/nowhere/event.json").unwrap_err().code(), 74);
    }
}
