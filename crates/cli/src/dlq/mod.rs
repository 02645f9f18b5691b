//! `quash dlq`: lists, shows, replays and discards dead letters.

mod carry;
mod change;
mod list;
mod show;

#[cfg(test)]
mod testing;

use std::collections::HashSet;
use std::io::{self, BufRead, BufReader, IsTerminal, Write};

use jiff::Timestamp;
use quash_transport::{DeadLetters, LetterId, Transport};
use tokio::sync::watch;

use super::output::{self, Screen, escape_for_terminal};
use super::source::{self, Source};
use super::{CliError, Exit, Global, Output};
use quash_worker::dead_letter::filter::Filter;
use quash_worker::dead_letter::select::Choice;

/// Lists, shows, replays and discards dead letters.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The source whose dead letters are meant; needed when several are declared
    #[arg(long, global = true, value_name = "NAME")]
    source: Option<String>,
    /// What to do with them.
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Lists dead letters, the oldest first.
    Ls(list::LsArgs),
    /// Counts dead letters by cause, the biggest first.
    Groups(list::GroupsArgs),
    /// Shows all that is known of a letter, on one screen.
    Show(show::Args),
    /// Sends letters back to the source; each leaves once its replacement is confirmed.
    Replay(change::ReplayArgs),
    /// Removes letters for good.
    Discard(change::DiscardArgs),
    /// Writes letters as lines of JSON, and leaves them where they are.
    Export(carry::ExportArgs),
    /// Reads such lines, and appends them as dead letters.
    Import(carry::ImportArgs),
    /// Removes all letters for good.
    Purge(change::PurgeArgs),
}

/// Which letters a command means.
#[derive(Debug, Clone, Default, clap::Args)]
struct Chosen {
    /// Only letters like this: reason:decode -cache:product age:<1h "text of the error"
    #[arg(long, value_name = "FILTER", allow_hyphen_values = true)]
    filter: Vec<String>,
    /// So many at most, the oldest first; 0 is all
    #[arg(long, value_name = "N", default_value_t = 0)]
    limit: usize,
}

impl Chosen {
    fn choice(&self, ids: &[String]) -> Result<Choice, CliError> {
        let wrong = |error| CliError::Usage(format!("the filter is wrong {error}"));
        Ok(Choice {
            ids: (!ids.is_empty()).then(|| ids.iter().cloned().map(LetterId).collect::<HashSet<_>>()),
            filter: self.filter.join(" ").parse::<Filter>().map_err(wrong)?,
            replays_below: None,
            limit: (self.limit > 0).then_some(self.limit),
        })
    }
}

/// Lists, shows, replays and discards dead letters.
///
/// # Errors
/// As [`CliError`] says.
pub async fn run(args: Args, global: &Global) -> Result<Exit, CliError> {
    let config = global.load()?.root;
    let chosen = source::choose(&config, args.source.as_deref())?;
    let Source { name: source, transport, .. } = &chosen;
    let source = source.clone();
    // Not locked: an import reads standard input too.
    let (mut out, mut input) = (output::stdout(), BufReader::new(io::stdin()));
    let asks = io::stdin().is_terminal() && io::stderr().is_terminal();
    let mut desk = Desk {
        hint: if config.sources.len() > 1 { format!(" --source {source}") } else { String::new() },
        source,
        transport: transport.as_ref(),
        output: global.output,
        screen: Screen::stdout(),
        now_ms: Timestamp::now().as_millisecond(),
        out: &mut out,
        err: &mut io::stderr(),
        answers: asks.then_some(&mut input),
    };
    // A refusal is Quash's own, or names the command that the broker refused.
    let unreachable = |error| if matches!(error, CliError::Unreachable(_)) { chosen.about(error) } else { error };
    let exit = desk.run(args.command).await.map_err(unreachable)?;
    out.flush()?;
    Ok(exit)
}

/// What a command on dead letters works with.
struct Desk<'a> {
    /// The source's name.
    source: String,
    transport: &'a dyn Transport,
    output: Output,
    screen: Screen,
    /// Now, in milliseconds since the Unix epoch.
    now_ms: i64,
    /// What is printed behind a command that is suggested, so that it means the same source.
    hint: String,
    out: &'a mut (dyn Write + Send),
    err: &'a mut (dyn Write + Send),
    /// Who can be asked; nobody without a terminal.
    answers: Option<&'a mut dyn BufRead>,
}

impl Desk<'_> {
    async fn run(&mut self, command: Command) -> Result<Exit, CliError> {
        match command {
            Command::Ls(args) => self.ls(args).await,
            Command::Groups(args) => self.groups(args).await,
            Command::Show(args) => self.show(args).await,
            Command::Replay(args) => self.replay(args, stopped_by_ctrl_c()).await,
            Command::Discard(args) => self.discard(args, stopped_by_ctrl_c()).await,
            Command::Export(args) => self.export(args).await,
            Command::Import(args) => self.import(args).await,
            Command::Purge(args) => self.purge(args).await,
        }
    }

    fn letters(&self) -> &dyn DeadLetters {
        self.transport.dead_letters()
    }

    fn is_json(&self) -> bool {
        self.output == Output::Json
    }

    /// Writes a line of the result, without what a terminal would obey.
    fn say(&mut self, line: &str) -> Result<(), CliError> {
        Ok(writeln!(self.out, "{}", escape_for_terminal(line))?)
    }

    /// Writes a line beside the result.
    fn note(&mut self, line: &str) {
        // Nobody can be told that standard error is gone.
        let _ = writeln!(self.err, "{}", escape_for_terminal(line));
    }

    /// Says which letters were asked for by name and are not there.
    fn note_missing(&mut self, missing: &[LetterId]) {
        for id in missing {
            self.note(&format!("there is no dead letter {} in {}", id.0, self.source));
        }
    }
}

/// Becomes true at the first Ctrl-C, so that work can end between two batches. The second one ends the process.
fn stopped_by_ctrl_c() -> watch::Receiver<bool> {
    let (stop, stopped) = watch::channel(false);
    tokio::spawn(async move {
        // Where signals cannot be heard, the process ends as it always would.
        if tokio::signal::ctrl_c().await.is_ok() {
            stop.send_replace(true);
            if tokio::signal::ctrl_c().await.is_ok() {
                std::process::exit(130);
            }
        }
    });
    stopped
}

/// The list of what was left out, short enough for a line.
fn short_list(ids: &[LetterId]) -> String {
    const SHOWN: usize = 5;
    let shown: Vec<&str> = ids.iter().take(SHOWN).map(|id| id.0.as_str()).collect();
    match ids.len().checked_sub(SHOWN) {
        Some(more @ 1..) => format!("{} and {more} more", shown.join(", ")),
        _ => shown.join(", "),
    }
}
