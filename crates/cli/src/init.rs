//! `quash init`: writes a commented configuration to start from.

use std::fs::OpenOptions;
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::{CliError, Exit, Global, screen};
use quash_dispatch::config::DEFAULT;

/// Writes a commented configuration to start from.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The file to write; `-` is standard output
    #[arg(default_value = "quash.yaml")]
    pub file: PathBuf,
    /// Replaces a file that is there
    #[arg(long)]
    pub force: bool,
}

/// Writes a commented configuration to start from.
///
/// # Errors
/// [`CliError::Refused`] when the file is there and is not to be replaced, [`CliError::Io`] when it cannot be written.
pub async fn run(args: Args, _global: &Global) -> Result<Exit, CliError> {
    if args.file == Path::new("-") {
        screen::print(DEFAULT)?;
        return Ok(Exit::Done);
    }
    write(&args.file, args.force)?;
    let file = args.file.display();
    let written = writeln!(io::stderr().lock(), "wrote {file}; check it with: quash check {file}");
    written.map_err(|error| CliError::Io(format!("cannot write to the terminal: {error}")))?;
    Ok(Exit::Done)
}

fn write(file: &Path, force: bool) -> Result<(), CliError> {
    let mut options = OpenOptions::new();
    // Whoever fills it in may write passwords into it.
    options.write(true).mode(0o600);
    // The operating system refuses, so that nobody can put a file there in between.
    let options = if force { options.create(true).truncate(true) } else { options.create_new(true) };
    let written = options.open(file).and_then(|mut file| file.write_all(DEFAULT.as_bytes()));
    written.map_err(|error| match error.kind() {
        ErrorKind::AlreadyExists => {
            CliError::Refused(format!("{} is there already; --force replaces it", file.display()))
        }
        _ => CliError::Io(format!("cannot write {}: {error}", file.display())),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_there_is_replaced_only_by_force() {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("quash.yaml");
        write(&file, false).expect("written");
        assert_eq!(std::fs::read_to_string(&file).expect("read"), DEFAULT);
        let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&file).expect("there").permissions());
        assert_eq!(mode & 0o777, 0o600, "passwords may be written into it");
        std::fs::write(&file, "mine").expect("written");
        assert!(matches!(write(&file, false), Err(CliError::Refused(_))));
        assert_eq!(std::fs::read_to_string(&file).expect("read"), "mine");
        write(&file, true).expect("written");
        assert_eq!(std::fs::read_to_string(&file).expect("read"), DEFAULT);
    }

    #[test]
    fn what_cannot_be_written_is_said() {
        let directory = tempfile::tempdir().expect("a directory");
        assert!(matches!(write(&directory.path().join("nowhere/quash.yaml"), false), Err(CliError::Io(_))));
    }
}
