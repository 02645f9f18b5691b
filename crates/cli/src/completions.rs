//! `quash completions`: prints completions for a shell.

use std::io::Write;

use clap_complete::Shell;

use super::{CliError, Exit, Global, help, output};

/// Prints completions for a shell.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The shell; the one in $SHELL when left out
    #[arg(value_enum)]
    shell: Option<Shell>,
}

/// Prints completions for a shell.
///
/// # Errors
/// As [`CliError`] says.
pub async fn run(args: Args, _global: &Global) -> Result<Exit, CliError> {
    let unknown = || CliError::Usage("which shell? name one: bash, elvish, fish, powershell, zsh".to_owned());
    let shell = args.shell.or_else(Shell::from_env).ok_or_else(unknown)?;
    let mut out = output::stdout();
    out.write_all(&completions(shell))?;
    out.flush()?;
    Ok(Exit::Done)
}

/// Into memory first: the generator panics where its writer fails.
fn completions(shell: Shell) -> Vec<u8> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut help::command(), "quash", &mut script);
    script
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum;

    use super::*;

    #[test]
    fn every_shell_completes_commands_and_their_options() {
        for shell in Shell::value_variants() {
            let script = String::from_utf8(completions(*shell)).unwrap();
            for word in ["replay", "rate", "completions"] {
                assert!(script.contains(word), "{shell} does not complete {word}");
            }
        }
    }
}
