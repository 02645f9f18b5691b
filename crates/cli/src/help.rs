//! Dresses the help texts: commands in groups, colours, and an example for each.

use std::fmt::Write as _;

use clap::builder::styling::{AnsiColor, Style, Styles};
use clap::{Command, CommandFactory};

use super::Cli;

const HEADING: Style = Style::new().bold();
const LITERAL: Style = AnsiColor::Cyan.on_default();
const STYLES: Styles = Styles::styled().header(HEADING).usage(HEADING).literal(LITERAL).placeholder(Style::new());

/// The commands as `quash --help` lists them.
const GROUPS: [(&str, &[&str]); 5] = [
    ("Work", &["run", "relay", "ui", "dev", "health"]),
    ("Understand", &["check", "test", "explain", "verify", "graph"]),
    ("Send", &["publish", "invalidate"]),
    ("Repair", &["dlq"]),
    ("Set up", &["init", "schema", "completions", "man"]),
];

/// Examples, by command. A command that has its own keeps them.
const EXAMPLES: [(&str, &[&str]); 29] = [
    ("run", &["quash run --config quash.yaml"]),
    ("ui", &["quash ui", "quash ui --listen 127.0.0.1:8080"]),
    ("relay", &["quash relay", "quash run --relay"]),
    ("dev", &["quash dev"]),
    ("health", &["quash health", "quash health --live"]),
    ("check", &["quash check quash.yaml", "quash check --connect --strict"]),
    ("test", &["quash test quash.yaml", "quash test --coverage --junit results.xml"]),
    (
        "explain",
        &[
            "quash explain -e event.json",
            "quash explain -e - --live < event.json",
            "quash explain --live shop:1:product:42",
        ],
    ),
    ("verify", &["quash verify --since 24h", "quash verify --once --cache product -n 1000 -o json"]),
    ("graph", &["quash graph quash.yaml", "quash graph --format dot | dot -Tsvg > graph.svg"]),
    (
        "publish",
        &["quash publish -f events.ndjson --check", "pg_recvlogical … -f - | quash publish --format wal2json -f -"],
    ),
    ("invalidate", &["quash invalidate cache catalog_page author_id=3", "quash invalidate key product:42 --target eu"]),
    ("invalidate cache", &["quash invalidate cache catalog_page author_id=3"]),
    ("invalidate key", &["quash invalidate key product:42"]),
    ("invalidate prefix", &["quash invalidate prefix catalog:3:"]),
    ("invalidate tag", &["quash invalidate tag author:3"]),
    ("init", &["quash init"]),
    ("schema", &["quash schema", "quash schema outbox | psql shop"]),
    ("completions", &["quash completions bash > /etc/bash_completion.d/quash", "quash completions fish"]),
    ("man", &["quash man | man -l -", "quash man /usr/local/share/man/man1"]),
    ("dlq", &["quash dlq groups", "quash dlq replay --filter 'reason:gave_up target:main' --rate 100/s"]),
    ("dlq ls", &["quash dlq ls", "quash dlq ls --filter 'reason:target_error cache:product age:<1h -error:timeout'"]),
    ("dlq groups", &["quash dlq groups --source events"]),
    ("dlq show", &["quash dlq show 1700000000000-0"]),
    (
        "dlq replay",
        &[
            "quash dlq replay 1700000000000-0",
            "quash dlq replay --filter 'target:eu' --rate 100/s",
            "quash dlq replay --all",
        ],
    ),
    ("dlq discard", &["quash dlq discard 1700000000000-0", "quash dlq discard --filter 'reason:decode' --dry-run"]),
    (
        "dlq export",
        &[
            "quash dlq export > letters.ndjson",
            "quash dlq export --filter 'reason:panic' --file panics.ndjson --discard",
        ],
    ),
    ("dlq import", &["quash dlq import --file letters.ndjson", "quash dlq import --replay < letters.ndjson"]),
    ("dlq purge", &["quash dlq purge", "quash dlq purge --yes"]),
];

/// The command line as clap knows it, dressed.
#[must_use]
pub fn command() -> Command {
    let command = with_examples(Cli::command().styles(STYLES), "");
    let template = template(&command);
    command.help_template(template)
}

fn template(command: &Command) -> String {
    let mut text = "{about-with-newline}\n{usage-heading} {usage}\n".to_owned();
    for (title, names) in groups(command) {
        let _ = write!(text, "\n{HEADING}{title}:{HEADING:#}\n");
        for name in names {
            let about = command.find_subcommand(&name).and_then(Command::get_about).map(ToString::to_string);
            let _ = writeln!(text, "  {LITERAL}{name:<12}{LITERAL:#} {}", about.unwrap_or_default());
        }
    }
    let _ = write!(text, "\n{HEADING}Options:{HEADING:#}\n{{options}}\n\n");
    text.push_str(
        "`quash help COMMAND` says more, with examples. The exit codes are 0 done, 1 found failures, 2 usage,\n",
    );
    text.push_str("69 unreachable, 74 input or output, 77 refused, 78 configuration.\n");
    text
}

/// The groups, with a last one for commands that none of them names, so that no command is hidden.
fn groups(command: &Command) -> Vec<(&'static str, Vec<String>)> {
    let mut groups: Vec<_> =
        GROUPS.map(|(title, names)| (title, names.iter().map(|name| (*name).to_owned()).collect())).into();
    let is_grouped = |name: &str| GROUPS.iter().any(|(_, names)| names.contains(&name));
    let names =
        command.get_subcommands().filter(|command| !command.is_hide_set()).map(|command| command.get_name().to_owned());
    let others: Vec<String> = names.filter(|name| !is_grouped(name)).collect();
    if !others.is_empty() {
        groups.push(("More", others));
    }
    groups
}

fn with_examples(mut command: Command, parents: &str) -> Command {
    let names: Vec<String> = command.get_subcommands().map(|command| command.get_name().to_owned()).collect();
    for name in names {
        let path = if parents.is_empty() { name.clone() } else { format!("{parents} {name}") };
        command = command.mut_subcommand(name, |command| with_examples(with_example(command, &path), &path));
    }
    command
}

fn with_example(command: Command, path: &str) -> Command {
    let examples = EXAMPLES.iter().find(|(known, _)| *known == path).map(|(_, examples)| *examples);
    match examples {
        Some(examples) if command.get_after_help().is_none() => command.after_help(example_text(examples)),
        _ => command,
    }
}

fn example_text(examples: &[&str]) -> String {
    let title = if examples.len() == 1 { "Example" } else { "Examples" };
    let lines: String = examples.iter().map(|example| format!("\n  {example}")).collect();
    format!("{HEADING}{title}:{HEADING:#}{lines}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn visit(command: &Command, path: &str, seen: &mut dyn FnMut(&str, &Command)) {
        for sub in command.get_subcommands() {
            let path = format!("{path} {}", sub.get_name());
            seen(path.trim(), sub);
            visit(sub, &path, seen);
        }
    }

    #[test]
    fn the_command_line_fits_together() {
        command().debug_assert();
    }

    #[test]
    fn every_command_has_an_example_and_says_what_it_does() {
        visit(&command(), "", &mut |path, command| {
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(help.contains(&format!("quash {path}")), "{path}: {help}");
            assert!(command.get_about().is_some(), "{path}");
        });
    }

    #[test]
    fn every_example_parses() {
        visit(&command(), "", &mut |path, sub| {
            let help = sub.get_after_help().map(ToString::to_string).unwrap_or_default();
            for line in help.lines().map(str::trim).filter(|line| line.starts_with("quash ")) {
                let parsed = command().try_get_matches_from(words(line));
                assert!(parsed.is_ok(), "{path}: {line}: {}", parsed.unwrap_err());
            }
        });
    }

    /// The words of an example, up to where the shell takes over.
    fn words(line: &str) -> Vec<String> {
        let (mut words, mut quoted) = (vec![String::new()], false);
        for character in line.chars() {
            match character {
                '\'' => quoted = !quoted,
                '|' | '<' | '>' if !quoted => break,
                ' ' if !quoted => words.push(String::new()),
                _ => words.iter_mut().last().unwrap().push(character),
            }
        }
        words.retain(|word| !word.is_empty());
        words
    }

    #[test]
    fn the_help_lists_every_command_once_and_is_short() {
        let help = command().render_help().to_string();
        for sub in command().get_subcommands().filter(|sub| sub.get_name() != "help") {
            let line = format!("\n  {:<12} ", sub.get_name());
            assert_eq!(help.matches(&line).count(), 1, "{}\n{help}", sub.get_name());
        }
        assert!(!help.contains("\nMore:"), "{help}");
        assert!(help.lines().count() <= 45, "{help}");
    }
}
