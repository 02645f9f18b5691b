//! The commands: one file each, one line each in [`Command`].

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
pub mod run;
pub mod schema;
pub mod test;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use quash_core::config::{LoadError, Loaded, Loader, ProcessEnvironment};

use crate::config::Config;

/// Invalidates what was cached from data that changed.
#[derive(Debug, Parser)]
#[command(name = "quash", version, about, max_term_width = 100)]
pub struct Cli {
    /// Options of every command.
    #[command(flatten)]
    pub global: Global,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Options of every command.
#[derive(Debug, clap::Args)]
pub struct Global {
    /// Configuration files and directories; several merge
    #[arg(short, long, global = true, env = "QUASH_CONFIG", default_value = "quash.yaml", value_delimiter = ',')]
    pub config: Vec<PathBuf>,
    /// How results are printed
    #[arg(short, long, global = true, value_enum, default_value_t = Output::Text)]
    pub output: Output,
    /// How logs are written to stderr
    #[arg(long, global = true, env = "QUASH_LOG_FORMAT", value_enum, default_value_t = LogFormat::Auto)]
    pub log_format: LogFormat,
    /// Which logs are written, as `info` or `quash_worker=debug`
    #[arg(long, global = true, env = "QUASH_LOG", default_value = "info")]
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
    /// Runs everything in one process, with a small shop that reads and writes.
    Dev(dev::Args),
    /// Checks the configuration, and with `--connect` what it names.
    Check(check::Args),
    /// Runs the cases in the configuration.
    Test(test::Args),
    /// Shows what one event would invalidate, and why.
    Explain(explain::Args),
    /// Draws what depends on what.
    Graph(graph::Args),
    /// Publishes events from a file or standard input.
    Publish(publish::Args),
    /// Publishes a direct command.
    Invalidate(invalidate::Args),
    /// Lists, shows, replays and discards dead letters.
    Dlq(dlq::Args),
    /// Asks a running worker whether it is well.
    Health(health::Args),
    /// Writes a commented configuration to start from.
    Init(init::Args),
    /// Prints the JSON Schema of the configuration.
    Schema(schema::Args),
    /// Prints completions for a shell.
    Completions(completions::Args),
    /// Prints the manual page.
    Man(man::Args),
}

/// How a command ended well enough to say so; the codes are API.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Everything was done: 0.
    Done,
    /// It ran and found failures: 1.
    Failures,
}

/// Why a command could not do its work; each kind has its exit code.
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    /// Wrong usage: 2.
    #[error("{0}")]
    Usage(String),
    /// Something cannot be reached: 69.
    #[error("{0}")]
    Unreachable(String),
    /// A file or stream cannot be read or written: 74.
    #[error("{0}")]
    Io(String),
    /// Refused: rights, or a safety check: 77.
    #[error("{0}")]
    Refused(String),
    /// The configuration is wrong: 78.
    #[error("{0}")]
    Configuration(String),
}

impl CliError {
    const fn code(&self) -> u8 {
        match self {
            Self::Usage(_) => 2,
            Self::Unreachable(_) => 69,
            Self::Io(_) => 74,
            Self::Refused(_) => 77,
            Self::Configuration(_) => 78,
        }
    }
}

impl Global {
    /// Loads the configuration.
    ///
    /// # Errors
    /// [`CliError::Io`] when a file cannot be read, [`CliError::Configuration`] with all problems when it is wrong.
    pub fn load(&self) -> Result<Loaded<Config>, CliError> {
        Loader::load(&self.config, &ProcessEnvironment).map_err(|error| match error {
            LoadError::Read { .. } => CliError::Io(error.to_string()),
            LoadError::Invalid(_) => CliError::Configuration(error.to_string()),
        })
    }
}

/// Parses the command line, runs the command and says how the process ends.
pub async fn main() -> ExitCode {
    let cli = Cli::parse();
    let ended = match cli.command {
        Command::Run(args) => run::run(args, &cli.global).await,
        Command::Dev(args) => dev::run(args, &cli.global).await,
        Command::Check(args) => check::run(args, &cli.global).await,
        Command::Test(args) => test::run(args, &cli.global).await,
        Command::Explain(args) => explain::run(args, &cli.global).await,
        Command::Graph(args) => graph::run(args, &cli.global).await,
        Command::Publish(args) => publish::run(args, &cli.global).await,
        Command::Invalidate(args) => invalidate::run(args, &cli.global).await,
        Command::Dlq(args) => dlq::run(args, &cli.global).await,
        Command::Health(args) => health::run(args, &cli.global).await,
        Command::Init(args) => init::run(args, &cli.global).await,
        Command::Schema(args) => schema::run(args, &cli.global).await,
        Command::Completions(args) => completions::run(args, &cli.global).await,
        Command::Man(args) => man::run(args, &cli.global).await,
    };
    match ended {
        Ok(Exit::Done) => ExitCode::SUCCESS,
        Ok(Exit::Failures) => ExitCode::from(1),
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(error.code())
        }
    }
}
