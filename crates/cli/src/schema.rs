//! `quash schema`: prints the JSON Schema of the configuration, and the table of the outbox as SQL.

use std::io::Write;

use quash_dispatch::config::Config;
use quash_relay::outbox::layout;

use super::{CliError, Exit, Global, output};

/// Prints the JSON Schema of the configuration, or the table of the outbox as SQL for PostgreSQL.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Of what
    #[arg(value_enum, default_value_t = Subject::Config)]
    pub subject: Subject,
}

/// What there is a schema of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Subject {
    /// The configuration files, as JSON Schema.
    Config,
    /// The table that a relay with `outbox` relays, as SQL.
    Outbox,
    /// The trigger that wakes relays when something was written to it, as SQL.
    OutboxNotify,
}

/// Prints the JSON Schema of the configuration, or the table of the outbox as SQL.
///
/// # Errors
/// [`CliError::Io`] when standard output cannot be written.
pub async fn run(args: Args, _global: &Global) -> Result<Exit, CliError> {
    let text = match args.subject {
        Subject::Config => format!("{:#}", config_schema()),
        Subject::Outbox => layout::LAYOUT.to_owned(),
        Subject::OutboxNotify => layout::NOTIFY.to_owned(),
    };
    let mut out = output::stdout();
    writeln!(out, "{}", text.trim_end())?;
    out.flush()?;
    Ok(Exit::Done)
}

/// The JSON Schema of the configuration, draft 2020-12, with the documentation of every key.
#[must_use]
pub fn config_schema() -> serde_json::Value {
    let mut schema = schemars::schema_for!(Config).to_value();
    if let Some(root) = schema.as_object_mut() {
        root.insert("title".to_owned(), "Quash configuration".into());
    }
    schema
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schema_knows_every_section_and_no_other_key() {
        let schema = config_schema();
        assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
        assert_eq!(schema["additionalProperties"], false);
        for section in ["version", "targets", "sources", "caches", "retry", "limits", "tests", "admin", "worker"] {
            let documented = schema["properties"][section]["description"].is_string();
            assert!(documented, "{section}: {}", schema["properties"][section]);
        }
    }

    #[test]
    fn a_target_is_one_kind_with_its_options_beside_it() {
        let schema = config_schema();
        let reference = schema["properties"]["targets"]["additionalProperties"]["$ref"].as_str().expect("a reference");
        let target = schema.pointer(reference.trim_start_matches('#')).expect("the definition");
        assert!(target["properties"]["redis"]["description"].is_string(), "{target}");
        assert_eq!(target["properties"]["concurrency"]["default"], 4, "{target}");
        assert_eq!(target["additionalProperties"], false);
    }
}
