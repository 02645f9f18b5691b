//! The commands: one file each, one line each in [`Command`].

// The commands.
pub mod check;
pub mod completions;
pub mod dev;
pub mod dlq;
pub mod explain;
pub mod graph;
pub mod health;
pub mod init;
pub mod invalidate;
pub mod man;
pub mod publish;
pub mod relay;
pub mod run;
pub mod schema;
pub mod test;
pub mod ui;
pub mod verify;

// What they share.
mod absence;
pub mod error;
mod format;

pub mod help;
mod logging;
pub mod output;
pub mod progress;
mod refused;
mod relays;

pub mod rules;
mod screen;
mod source;
pub mod table;
mod verifiers;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{FromArgMatches, Parser};
use quash_config::{LoadError, Loaded, Loader, ProcessEnvironment};

pub use self::error::{CliError, Exit};
use quash_dispatch::config::Config;

/// The configuration when none is named.
const CONFIG: &str = "quash.yaml";

/// Invalidates what was cached from data that changed.
#[derive(Debug, Parser)]
#[command(name = "quash", version, max_term_width = 100)]
pub struct Cli {
    /// Options of every command.
    #[command(flatten)]
    pub global: Global,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Options of every command.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Everywhere")]
pub struct Global {
    /// Configuration files and directories; several merge [env: QUASH_CONFIG] [default: quash.yaml]
    #[arg(short, long, global = true, value_name = "PATH", value_delimiter = ',')]
    pub config: Vec<PathBuf>,
    /// How results and errors are printed: text or json
    #[arg(short, long, global = true, value_enum, value_name = "FORM", hide_possible_values = true)]
    #[arg(default_value_t = Output::Text)]
    pub output: Output,
    /// How logs are written to stderr: human, json, or auto, which is human on a terminal
    #[arg(long, global = true, env = "QUASH_LOG_FORMAT", hide_env_values = true, value_name = "FORM")]
    #[arg(value_enum, hide_possible_values = true, default_value_t = LogFormat::Auto)]
    pub log_format: LogFormat,
    /// Which logs are written, as info or quash_worker=debug
    #[arg(
        long,
        global = true,
        env = "QUASH_LOG",
        hide_env_values = true,
        value_name = "FILTER",
        default_value = "info"
    )]
    pub log: String,
}

/// How results are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Output {
    /// For people.
    Text,
    /// For programs.
    Json,
}

/// How logs are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// Human on a terminal, else JSON.
    Auto,
    /// For people.
    Human,
    /// One JSON object a line.
    Json,
}

/// What to do.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Runs a worker.
    Run(run::Args),
    /// Serves the page of dead letters without consuming.
    Ui(ui::Args),
    /// Relays what was committed from databases to brokers.
    Relay(relay::Args),
    /// Runs everything in one process, with a small shop that reads and writes.
    Dev(dev::Args),
    /// Checks the configuration, and with `--connect` what it names.
    Check(check::Args),
    /// Runs the cases in the configuration.
    Test(test::Args),
    /// Shows what one event would invalidate and why, or which caches write a key.
    Explain(explain::Args),
    /// Draws what depends on what.
    Graph(graph::Args),
    /// Publishes events from a file or standard input.
    Publish(publish::Args),
    /// Publishes a direct command.
    Invalidate(invalidate::Args),
    /// Lists, shows, replays and discards dead letters.
    Dlq(dlq::Args),
    /// Compares cached entries with what is true, or tells what came of it.
    Verify(verify::Args),
    /// Asks a running worker whether it is well.
    Health(health::Args),
    /// Writes a commented configuration to start from.
    Init(init::Args),
    /// Prints the JSON Schema of the configuration, or the table of the outbox.
    Schema(schema::Args),
    /// Prints completions for a shell.
    Completions(completions::Args),
    /// Prints the manual page.
    Man(man::Args),
}

impl Command {
    /// Whether it talks to servers or runs for long, so that somebody may want logs of it.
    const fn logs(&self) -> bool {
        !matches!(
            self,
            Self::Dev(_)
                | Self::Init(_)
                | Self::Schema(_)
                | Self::Completions(_)
                | Self::Man(_)
                | Self::Graph(_)
                | Self::Test(_)
        )
    }

    async fn run(self, global: &Global) -> Result<Exit, CliError> {
        match self {
            Self::Run(args) => run::run(args, global).await,
            Self::Ui(args) => ui::run(args, global).await,
            Self::Relay(args) => relay::run(args, global).await,
            Self::Dev(args) => dev::run(args, global).await,
            Self::Check(args) => check::run(args, global).await,
            Self::Test(args) => test::run(args, global).await,
            Self::Explain(args) => explain::run(args, global).await,
            Self::Graph(args) => graph::run(args, global).await,
            Self::Publish(args) => publish::run(args, global).await,
            Self::Invalidate(args) => invalidate::run(args, global).await,
            Self::Dlq(args) => dlq::run(args, global).await,
            Self::Verify(args) => verify::run(args, global).await,
            Self::Health(args) => health::run(args, global).await,
            Self::Init(args) => init::run(args, global).await,
            Self::Schema(args) => schema::run(args, global).await,
            Self::Completions(args) => completions::run(args, global).await,
            Self::Man(args) => man::run(args, global).await,
        }
    }
}

impl Global {
    /// The files and directories that make up the configuration: those on the command line, else those of `QUASH_CONFIG`,
    /// else `quash.yaml`.
    #[must_use]
    pub fn paths(&self) -> Vec<PathBuf> {
        if !self.config.is_empty() {
            return self.config.clone();
        }
        let named = std::env::var("QUASH_CONFIG").unwrap_or_default();
        let named: Vec<PathBuf> = named.split(',').filter(|path| !path.is_empty()).map(PathBuf::from).collect();
        if named.is_empty() { vec![PathBuf::from(CONFIG)] } else { named }
    }

    /// The same with more configuration files, which a command took as arguments.
    #[must_use]
    pub fn with(&self, files: &[PathBuf]) -> Self {
        let mut more = self.clone();
        more.config.extend_from_slice(files);
        more
    }

    /// Loads the configuration.
    ///
    /// # Errors
    /// [`CliError::Io`] when a file cannot be read, [`CliError::Configuration`] with all problems when it is wrong.
    pub fn load(&self) -> Result<Loaded<Config>, CliError> {
        Ok(self.read()?)
    }

    fn read(&self) -> Result<Loaded<Config>, LoadError> {
        Loader::load(&self.paths(), &ProcessEnvironment)
    }
}

/// Parses the command line, runs the command and says how the process ends.
pub async fn main() -> ExitCode {
    let (global, command) = match parse(std::env::args_os()) {
        Ok(Cli { global, command }) => (global, command),
        Err(exit) => return exit,
    };
    let is_logged =
        matches!(command, Command::Run(_) | Command::Relay(_) | Command::Ui(_)) && logging::is_json(global.log_format);
    match start(&global, command).await {
        Ok(Exit::Done) => ExitCode::SUCCESS,
        Ok(Exit::Failures) => ExitCode::from(1),
        Err(error) => {
            if is_logged && logging::is_set_up() {
                tracing::error!(kind = error.kind(), exit = error.code(), "{error}");
            }
            // Whoever reads the logs of a worker by a program reads nothing else of it.
            if !(is_logged && logging::is_set_up() && global.output == Output::Text) {
                error.print(global.output);
            }
            ExitCode::from(error.code())
        }
    }
}

async fn start(global: &Global, command: Command) -> Result<Exit, CliError> {
    if command.logs() {
        logging::init(global.log_format, &global.log).map_err(|error| CliError::Usage(error.to_string()))?;
    }
    command.run(global).await
}

/// Help and version are printed here, and so is what is wrong with the command line.
fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Cli, ExitCode> {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    let parsed = help::command().try_get_matches_from(&arguments).and_then(|matches| Cli::from_arg_matches(&matches));
    parsed.map_err(|error| {
        match error.use_stderr() && wants_json(&arguments) {
            true => CliError::Usage(usage_message(&error)).print(Output::Json),
            // Nobody can be told that the output is gone.
            false => drop(error.print()),
        }
        u8::try_from(error.exit_code()).map_or(ExitCode::FAILURE, ExitCode::from)
    })
}

/// What clap says before it repeats the usage, on one line.
fn usage_message(error: &clap::Error) -> String {
    let text = error.render().to_string();
    let is_usage = |paragraph: &str| paragraph.starts_with("Usage:") || paragraph.starts_with("For more information");
    let said = text.split("\n\n").take_while(|paragraph| !is_usage(paragraph));
    let lines = said.map(|paragraph| paragraph.split_whitespace().collect::<Vec<_>>().join(" "));
    let message = lines.collect::<Vec<_>>().join("; ");
    message.strip_prefix("error: ").unwrap_or(&message).to_owned()
}

/// Whether the output was to be JSON, as far as can be told from a command line that is wrong.
fn wants_json(arguments: &[OsString]) -> bool {
    let is = |argument: &OsString, known: &[&str]| known.iter().any(|known| argument == known);
    arguments.iter().any(|argument| is(argument, &["-ojson", "-o=json", "--output=json"]))
        || arguments.windows(2).any(|pair| is(&pair[0], &["-o", "--output"]) && is(&pair[1], &["json"]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_recognised_on_a_wrong_command_line() {
        let cases = [
            (vec!["quash", "nonsense", "-o", "json"], true),
            (vec!["quash", "-ojson", "nonsense"], true),
            (vec!["quash", "--output=json"], true),
            (vec!["quash", "-o", "text", "json"], false),
            (vec!["quash"], false),
        ];
        for (arguments, expect) in cases {
            let arguments: Vec<OsString> = arguments.into_iter().map(OsString::from).collect();
            assert_eq!(wants_json(&arguments), expect, "{arguments:?}");
        }
    }

    #[test]
    fn a_wrong_command_line_is_one_line_of_json() {
        let cases = [
            ("dlq rplay", "unrecognized subcommand 'rplay'; tip: a similar subcommand exists: 'replay'"),
            ("dlq show", "the following required arguments were not provided: <ID>..."),
            ("dlq replay --rate x", "invalid value 'x' for '--rate <RATE>': `x` is no rate; write 100/s, 30/m or 5/h"),
        ];
        for (line, expect) in cases {
            let arguments = std::iter::once("quash").chain(line.split(' '));
            let error = help::command().try_get_matches_from(arguments).unwrap_err();
            assert_eq!(usage_message(&error), expect, "{line}");
        }
    }
}
