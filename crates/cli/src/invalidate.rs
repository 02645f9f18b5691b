//! `quash invalidate`: publishes a direct command.

use bytes::Bytes;
use quash_core::event::{Format, Payload, decode};
use quash_core::resolve::{Request, Resolver};
use quash_transport::{Headers, Message};
use serde_json::{Map, Value, json};

use super::output::escape_for_terminal;
use super::{CliError, Exit, Global, Output, output, rules, source};
use quash_dispatch::config::Config;

/// Publishes a direct command: the worker removes what it names, wherever that is cached.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// What to invalidate
    #[command(subcommand)]
    what: What,
    /// Act on this target only
    #[arg(long, global = true)]
    target: Option<String>,
    /// Where to publish; needed when several sources are configured
    #[arg(long, global = true)]
    source: Option<String>,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Entries of a declared cache
    Cache {
        /// The cache's name
        name: String,
        /// Its arguments as `name=value`; those left out are any. Values are JSON where they parse as a number, `true`,
        /// `false` or `null`, else text
        #[arg(value_name = "ARG=VALUE", value_parser = argument)]
        args: Vec<(String, Value)>,
    },
    /// One key
    Key {
        /// The key, as the application spells it
        key: String,
    },
    /// Every key that begins with this
    Prefix {
        /// The prefix, as the application spells it
        prefix: String,
    },
    /// One generation token
    Tag {
        /// The tag, as the application spells it
        tag: String,
    },
}

/// Publishes a direct command.
///
/// # Errors
/// As [`CliError`] says.
pub async fn run(args: Args, global: &Global) -> Result<Exit, CliError> {
    let loaded = global.load()?;
    let config = &loaded.root;
    known_names(&args, config)?;
    let source = source::choose(config, args.source.as_deref())?;
    let command = command(args.what, args.target)?;
    let message = message(&command, source.format, config)?;
    accepted(&rules::compile(&loaded)?.0, &message)?;
    source.transport.prepare().await.map_err(|error| source.failed(error))?;
    source.transport.publish(&[message]).await.map_err(|error| source.failed(error))?;
    let line = match global.output {
        Output::Json => json!({ "published": 1, "source": source.name, "command": command }).to_string(),
        Output::Text => format!("published {} to {}", escape_for_terminal(&command.to_string()), source.name),
    };
    output::say(&line)?;
    Ok(Exit::Done)
}

/// What the rules refuse (an argument that the cache does not have, a key that is too long) would become a dead letter.
fn accepted(resolver: &Resolver, message: &Message) -> Result<(), CliError> {
    let payload = Payload { body: &message.payload, headers: &[] };
    let request = Request::fresh(payload, Format::Auto);
    let explanation = resolver.explain(&request).map_err(|error| CliError::Usage(error.to_string()))?;
    explanation.changes.into_iter().find_map(|change| change.refused).map_or(Ok(()), |why| Err(CliError::Usage(why)))
}

/// A misspelt name would be found out by the worker, and become a dead letter.
fn known_names(args: &Args, config: &Config) -> Result<(), CliError> {
    if let What::Cache { name, .. } = &args.what {
        known("cache", name, config.caches.keys())?;
    }
    args.target.as_deref().map_or(Ok(()), |target| known("target", target, config.targets.keys()))
}

fn known<'a>(kind: &str, name: &str, mut names: impl Iterator<Item = &'a String> + Clone) -> Result<(), CliError> {
    if names.clone().any(|known| known == name) {
        return Ok(());
    }
    let near = quash_config::nearest(name, names.by_ref().map(String::as_str));
    let hint = near.map_or_else(String::new, |near| format!("; did you mean `{near}`?"));
    Err(CliError::Usage(format!("no {kind} `{name}` is configured{hint}")))
}

fn command(what: What, target: Option<String>) -> Result<Value, CliError> {
    let mut command = match what {
        What::Cache { name, args } => {
            let mut map = Map::new();
            for (name, value) in args {
                if map.insert(name.clone(), value).is_some() {
                    return Err(CliError::Usage(format!("the argument `{name}` is there twice")));
                }
            }
            json!({ "cache": name, "args": map })
        }
        What::Key { key } => json!({ "key": key }),
        What::Prefix { prefix } => json!({ "prefix": prefix }),
        What::Tag { tag } => json!({ "tag": tag }),
    };
    if let Some(target) = target {
        command["target"] = target.into();
    }
    Ok(json!({ "invalidate": command }))
}

/// The command as a message that the source's worker understands.
fn message(command: &Value, format: Format, config: &Config) -> Result<Message, CliError> {
    if !matches!(format, Format::Auto | Format::Json) {
        return Err(CliError::Usage(
            "the source is configured with a format that has no direct commands; use one with format auto or json"
                .to_owned(),
        ));
    }
    let payload = Bytes::from(command.to_string());
    let decoded = decode(Payload { body: &payload, headers: &[] }, format, &config.limits.event(), &mut Vec::new());
    decoded.map_err(|error| CliError::Usage(error.to_string()))?;
    Ok(Message { payload, headers: Headers::default() })
}

fn argument(text: &str) -> Result<(String, Value), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), scalar(value))),
        _ => Err("expected name=value".to_owned()),
    }
}

/// Numbers, truth values and null as such, all else as text; `"42"` in quotes is text as well. A number that another
/// spelling would not survive (`007`, `1.50`) is text.
fn scalar(text: &str) -> Value {
    match serde_json::from_str(text) {
        Ok(value @ (Value::Number(_) | Value::Bool(_) | Value::Null)) if spelling(&value) == text => value,
        Ok(value @ Value::String(_)) => value,
        _ => text.into(),
    }
}

fn spelling(value: &Value) -> String {
    value.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_json_where_that_keeps_their_spelling() {
        let cases = [
            ("id=42", json!(42)),
            ("id=-1.5", json!(-1.5)),
            ("id=1.50", json!("1.50")),
            ("id=007", json!("007")),
            ("id=true", json!(true)),
            ("id=null", json!(null)),
            ("id=\"42\"", json!("42")),
            ("id=draft", json!("draft")),
            ("id=", json!("")),
            ("id=a=b", json!("a=b")),
            ("id=123456789012345678901234567890", json!("123456789012345678901234567890")),
        ];
        for (text, expected) in cases {
            assert_eq!(argument(text), Ok(("id".to_owned(), expected)), "{text}");
        }
        assert!(argument("id").is_err());
        assert!(argument("=1").is_err());
    }

    #[test]
    fn commands_are_what_the_worker_decodes() {
        let args = vec![("id".to_owned(), json!(1))];
        let cases = [
            (
                What::Cache { name: "product".into(), args },
                r#"{"invalidate":{"cache":"product","args":{"id":1},"target":"eu"}}"#,
            ),
            (What::Key { key: "a".into() }, r#"{"invalidate":{"key":"a","target":"eu"}}"#),
            (What::Prefix { prefix: "a".into() }, r#"{"invalidate":{"prefix":"a","target":"eu"}}"#),
            (What::Tag { tag: "a".into() }, r#"{"invalidate":{"tag":"a","target":"eu"}}"#),
        ];
        for (what, expected) in cases {
            let command = command(what, Some("eu".to_owned())).expect("a command");
            assert_eq!(command.to_string(), expected);
            let limits = quash_core::event::EventLimits::default();
            let mut changes = Vec::new();
            decode(Payload { body: expected.as_bytes(), headers: &[] }, Format::Auto, &limits, &mut changes)
                .expect(expected);
            assert_eq!(changes.len(), 1);
        }
        let twice = vec![("id".to_owned(), json!(1)), ("id".to_owned(), json!(2))];
        assert!(command(What::Cache { name: "product".into(), args: twice }, None).is_err());
    }
}
