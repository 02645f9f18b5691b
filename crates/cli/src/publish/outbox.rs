//! `quash publish --outbox`: relays the events of a table in PostgreSQL.

pub mod layout;
mod relay;

// What it talks to.
mod database;

use std::time::Duration;

use quash_config::{Environment, Secret, Span};
use quash_relay::postgres::Address;

use super::{CliError, Tally, Work};
use database::Database;
use layout::Table;
use relay::Relay;

/// Where the URL is looked up that the command line does not have; with `_FILE` behind it, the name of a file with it.
const VARIABLE: &str = "QUASH_OUTBOX_URL";

/// How the outbox is relayed.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Outbox")]
pub(super) struct Options {
    /// Relay the events of a table in PostgreSQL; without a URL, QUASH_OUTBOX_URL or the file QUASH_OUTBOX_URL_FILE has it
    #[arg(long, value_name = "URL", num_args = 0..=1, default_missing_value = "", value_parser = secret)]
    #[arg(conflicts_with_all = ["file", "whole", "strict"])]
    outbox: Option<Secret>,
    /// The table, with its schema or without
    #[arg(long, requires = "outbox", value_name = "NAME", default_value = "quash_outbox")]
    table: Table,
    /// End when the table is empty
    #[arg(long, requires = "outbox")]
    once: bool,
    /// How long to wait before an empty table is looked at again
    #[arg(long, requires = "outbox", value_name = "TIME", default_value = "1s", value_parser = interval)]
    interval: Duration,
}

/// Relays until somebody wants to stop, or until the table is empty where that is asked for.
///
/// # Errors
/// As [`CliError`] says.
pub(super) async fn relay(url: &Secret, options: Options, work: Work) -> Result<Tally, CliError> {
    let address = Address::parse(url, "quash publish").map_err(|error| CliError::Usage(error.to_string()))?;
    let database = Database::new(address, options.table);
    Relay { database, work, interval: options.interval, once: options.once }.run().await
}

impl Options {
    /// The URL of the database, if there is an outbox to relay.
    ///
    /// # Errors
    /// When it should stand in the environment and does not.
    pub(super) fn url(&self, environment: &dyn Environment) -> Result<Option<Secret>, CliError> {
        match &self.outbox {
            Some(url) if url.expose().is_empty() => from_environment(environment).map(Some),
            given => Ok(given.clone()),
        }
    }
}

fn from_environment(environment: &dyn Environment) -> Result<Secret, CliError> {
    if let Some(url) = environment.get(VARIABLE).filter(|url| !url.is_empty()) {
        return Ok(Secret::new(url));
    }
    let Some(file) = environment.get(&format!("{VARIABLE}_FILE")) else {
        return Err(CliError::Usage(format!("no URL of the outbox: write --outbox URL, or set {VARIABLE}")));
    };
    let url = environment.read(&file).map_err(|error| CliError::file("read", &file, &error))?;
    Ok(Secret::new(url.trim()))
}

#[expect(clippy::unnecessary_wraps, reason = "the form that the command line asks for")]
fn secret(text: &str) -> Result<Secret, String> {
    Ok(Secret::new(text))
}

fn interval(text: &str) -> Result<Duration, String> {
    match text.parse::<Span>()?.0 {
        Duration::ZERO => Err("it must be longer than zero".to_owned()),
        interval => Ok(interval),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Variables(Vec<(&'static str, String)>);

    impl Environment for Variables {
        fn get(&self, name: &str) -> Option<String> {
            self.0.iter().find(|(known, _)| *known == name).map(|(_, value)| value.clone())
        }
    }

    #[test]
    fn the_url_need_not_stand_on_the_command_line() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("url");
        std::fs::write(&file, "postgres://file\n").expect("a file");
        let file = file.display().to_string();
        let variable = (VARIABLE, "postgres://variable".to_owned());
        let named = ("QUASH_OUTBOX_URL_FILE", file);
        let cases = [
            (None, vec![variable.clone()], Some(None)),
            (Some("postgres://given"), vec![variable.clone()], Some(Some("postgres://given"))),
            (Some(""), vec![variable, named.clone()], Some(Some("postgres://variable"))),
            (Some(""), vec![named], Some(Some("postgres://file"))),
            (Some(""), vec![], None),
        ];
        for (given, variables, expect) in cases {
            let table = "quash_outbox".parse().expect("a table");
            let outbox = given.map(Secret::new);
            let options = Options { outbox, table, once: false, interval: Duration::from_secs(1) };
            let found = options.url(&Variables(variables)).ok();
            assert_eq!(found.as_ref().map(|url| url.as_ref().map(Secret::expose)), expect, "{given:?}");
        }
    }
}
