//! `quash man`: prints the manual page, or writes one for each command into a directory.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use clap::Command;
use clap_mangen::Man;

use super::{CliError, Exit, Global, help, output};

/// Prints the manual page, or writes one for each command into a directory.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Where to write `quash.1`, `quash-run.1`, …; made if it is not there
    dir: Option<PathBuf>,
}

/// Prints the manual page, or writes one for each command into a directory.
///
/// # Errors
/// As [`CliError`] says.
pub async fn run(args: Args, _global: &Global) -> Result<Exit, CliError> {
    let command = built();
    let mut out = output::stdout();
    match args.dir {
        Some(dir) => {
            fs::create_dir_all(&dir).map_err(|error| CliError::file("make", dir.display(), &error))?;
            let count = write_pages(&command, &dir)?;
            writeln!(out, "wrote {} to {}", output::count(count, "page", "pages"), dir.display())?;
        }
        None => out.write_all(&page(&command)?)?,
    }
    out.flush()?;
    Ok(Exit::Done)
}

/// The command with the full names of its subcommands, which are the names of their pages.
fn built() -> Command {
    let mut command = help::command().disable_help_subcommand(true);
    command.build();
    command
}

fn write_pages(command: &Command, dir: &Path) -> Result<u64, CliError> {
    let file = dir.join(man(command).get_filename());
    fs::write(&file, page(command)?).map_err(|error| CliError::file("write", file.display(), &error))?;
    command.get_subcommands().try_fold(1, |count, sub| Ok(count + write_pages(sub, dir)?))
}

fn page(command: &Command) -> Result<Vec<u8>, CliError> {
    let mut page = Vec::new();
    man(command).render(&mut page)?;
    for (title, entries) in SECTIONS {
        writeln!(page, ".SH \"{title}\"")?;
        entries.iter().try_for_each(|(name, text)| writeln!(page, ".TP\n\\fB{name}\\fR\n{text}"))?;
    }
    Ok(page)
}

/// What holds for every command, and the pages would not say otherwise: a heading, and names with their meaning.
const SECTIONS: [(&str, &[(&str, &str)]); 3] = [
    (
        "EXIT STATUS",
        &[
            ("0", "Done."),
            ("1", "It ran and found failures: a test that fails, an unhealthy worker, a letter that is not there."),
            ("2", "The command line is wrong."),
            ("69", "A broker, a target or a worker cannot be reached."),
            ("74", "A file or stream cannot be read or written."),
            ("77", "Rights are missing, or a safety check said no."),
            ("78", "The configuration is wrong."),
            ("130", "A second Ctrl\\-C ended it; 143 for a second SIGTERM."),
        ],
    ),
    (
        "ENVIRONMENT",
        &[
            ("QUASH_CONFIG", "Configuration files and directories, separated by commas, where none is named."),
            ("QUASH_LOG", "Which logs are written, as \\-\\-log."),
            ("QUASH_LOG_FORMAT", "How logs are written, as \\-\\-log\\-format."),
            ("NO_COLOR, CLICOLOR, CLICOLOR_FORCE", "Whether there are colours."),
            ("${NAME} in the configuration", "Any variable that it names; NAME_FILE is a file with the value."),
        ],
    ),
    (
        "FILES",
        &[(
            "quash.yaml",
            "The configuration, in the working directory, where none is named. \\fBquash init\\fR writes one.",
        )],
    ),
];

fn man(command: &Command) -> Man {
    Man::new(command.clone()).manual("Quash").source(concat!("quash ", env!("CARGO_PKG_VERSION")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_command_has_its_page() {
        let dir = tempfile::tempdir().unwrap();
        let count = write_pages(&built(), dir.path()).unwrap();
        let names: Vec<String> =
            fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        assert_eq!(names.len() as u64, count);
        for name in ["quash.1", "quash-run.1", "quash-dlq.1", "quash-dlq-replay.1"] {
            assert!(names.iter().any(|known| known == name), "{name} is not among {names:?}");
        }
        let page = fs::read_to_string(dir.path().join("quash-dlq-replay.1")).unwrap();
        assert!(page.contains("quash dlq replay 1700000000000"), "{page}");
        assert!(!page.contains('\x1b'), "{page}");
        for (title, entries) in SECTIONS {
            assert!(page.contains(&format!("\n.SH \"{title}\"\n")), "{title} is not in {page}");
            assert!(entries.iter().all(|(name, _)| page.contains(name)), "{title}: {page}");
        }
    }
}
