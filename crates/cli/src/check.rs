//! `quash check`: checks the configuration, says what it costs, and with `--connect` asks what it names.

mod cost;
mod entries;
mod environment;
mod one_server;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use quash_config::{LoadError, Loaded, Loader, LocatedProblem, ProcessEnvironment};
use quash_core::explain::DependencyReach;
use quash_core::guarantee::Guarantee;
use serde::Serialize;

use self::environment::{Inspected, Outcome};
use super::output::{self, Screen};
use super::screen::{self, count};
use super::{CliError, Exit, Global, Output, rules};
use quash_dispatch::config::Config;
use quash_relay::Relay;

/// Checks the configuration, and with `--connect` what it names.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Configuration files and directories, as with -c
    #[arg(value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// Also asks every target and source whether it is reachable and set up as its promises need
    #[arg(long)]
    pub connect: bool,
    /// Treats warnings as failures
    #[arg(long)]
    pub strict: bool,
}

/// Checks the configuration, and with `--connect` what it names.
///
/// # Errors
/// [`CliError::Configuration`] with everything that is wrong, [`CliError::Io`] when a file cannot be read.
pub async fn run(args: Args, global: &Global) -> Result<Exit, CliError> {
    let global = &global.with(&args.files);
    let loaded = match global.output {
        Output::Text => global.load()?,
        Output::Json => load_or_print(global)?,
    };
    let (resolver, warnings) = rules::compile(&loaded)?;
    let wrong = |problems| LoadError::Invalid(loaded.locate(problems));
    let relays = Relay::all(&Arc::new(loaded.root.clone())).map_err(wrong)?;
    let environment = match args.connect {
        true => environment::inspect(&loaded.root, &resolver, &relays).await,
        false => Vec::new(),
    };
    let checked = Checked {
        fine: true,
        counts: Counts::of(&loaded.root),
        dependencies: resolver.reaches(),
        guarantees: resolver.guarantees(),
        problems: warnings.iter().collect(),
        environment,
    };
    match global.output {
        Output::Json => output::print_json(&checked)?,
        Output::Text => {
            let shown = |colour| warnings.display(colour).to_string();
            screen::print(&checked.text(&names(global), shown, Screen::stdout())?)?;
        }
    }
    checked.exit(args.strict)
}

/// Loads the configuration; what is wrong with it is printed as JSON before it is reported.
fn load_or_print(global: &Global) -> Result<Loaded<Config>, CliError> {
    match Loader::load(&global.paths(), &ProcessEnvironment) {
        Err(LoadError::Invalid(problems)) => {
            output::print_json(&Wrong { fine: false, problems: problems.iter().collect() })?;
            Err(CliError::Configuration(problems.to_string()))
        }
        Err(_) => global.load(),
        Ok(loaded) => Ok(loaded),
    }
}

fn names(global: &Global) -> String {
    global.paths().iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")
}

#[derive(Serialize)]
struct Wrong<'p> {
    fine: bool,
    problems: Vec<&'p LocatedProblem>,
}

/// What was found of a configuration that is not wrong.
#[derive(Serialize)]
struct Checked<'p> {
    fine: bool,
    counts: Counts,
    dependencies: Vec<DependencyReach>,
    /// What each cache promises, by its name.
    guarantees: BTreeMap<&'p str, Guarantee>,
    problems: Vec<&'p LocatedProblem>,
    environment: Vec<Inspected>,
}

#[derive(Serialize)]
struct Counts {
    caches: usize,
    dependencies: usize,
    targets: usize,
    sources: usize,
}

impl Counts {
    fn of(config: &Config) -> Self {
        Self {
            caches: config.caches.len(),
            dependencies: config.caches.values().map(|cache| cache.depends_on.len()).sum(),
            targets: config.targets.len(),
            sources: config.sources.len(),
        }
    }
}

impl Checked<'_> {
    fn warnings(&self) -> usize {
        self.problems.len() + self.findings(Outcome::Warning)
    }

    fn findings(&self, outcome: Outcome) -> usize {
        self.environment.iter().map(|inspected| inspected.count(outcome)).sum()
    }

    /// Everything for people; the last line says how it is.
    fn text(&self, names: &str, problems: impl Fn(bool) -> String, screen: Screen) -> Result<String, CliError> {
        let (paint, mut parts) = (screen.paint, Vec::new());
        if !self.dependencies.is_empty() {
            parts.push(cost::table(&self.dependencies, screen)?);
        }
        if !self.guarantees.is_empty() {
            parts.push(cost::guarantees(&self.guarantees, screen)?);
        }
        if !self.problems.is_empty() {
            parts.push(problems(paint.0));
        }
        parts.extend(self.environment.iter().map(|inspected| inspected.text(paint)));
        parts.push(self.verdict(names, paint));
        Ok(parts.join("\n"))
    }

    fn verdict(&self, names: &str, paint: output::Paint) -> String {
        let Counts { caches, dependencies, targets, sources } = self.counts;
        let all = [(caches, "cache"), (dependencies, "dependency"), (targets, "target"), (sources, "source")];
        let all = all.map(|(number, noun)| count(number, noun)).join(", ");
        let warnings = match self.warnings() {
            0 => String::new(),
            warnings => format!("; {}", paint.yellow(&count(warnings, "warning"))),
        };
        let broken = self.findings(Outcome::Error) + self.findings(Outcome::Unreachable);
        match broken {
            0 => format!("{} {names} is fine: {all}{warnings}\n", paint.green("✓")),
            broken => {
                let broken = paint.red(&count(broken, "error")).into_owned();
                format!(
                    "{} {names} is written right ({all}), but what it names has {broken}{warnings}\n",
                    paint.red("✗")
                )
            }
        }
    }

    fn exit(&self, strict: bool) -> Result<Exit, CliError> {
        let unreachable: Vec<_> = self.environment.iter().filter_map(Inspected::unreachable).collect();
        if !unreachable.is_empty() {
            return Err(CliError::Unreachable(unreachable.join("; ")));
        }
        let failed = self.findings(Outcome::Error) > 0 || (strict && self.warnings() > 0);
        Ok(if failed { Exit::Failures } else { Exit::Done })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(environment: Vec<Inspected>) -> Checked<'static> {
        let counts = Counts { caches: 4, dependencies: 7, targets: 2, sources: 1 };
        let guarantees = BTreeMap::new();
        Checked { fine: true, counts, dependencies: Vec::new(), guarantees, problems: Vec::new(), environment }
    }

    #[test]
    fn the_last_line_says_how_it_is() {
        let text = checked(Vec::new()).text("quash.yaml", |_| String::new(), Screen::PLAIN).unwrap();
        assert_eq!(text, "✓ quash.yaml is fine: 4 caches, 7 dependencies, 2 targets, 1 source\n");
    }

    #[test]
    fn what_cannot_be_reached_outweighs_what_is_wrong() {
        let ended = |outcomes: &[Outcome], strict| {
            let environment = outcomes.iter().map(|outcome| Inspected::example("main", *outcome)).collect();
            checked(environment).exit(strict).map_err(|error| error.code())
        };
        assert_eq!(ended(&[Outcome::Ok], true), Ok(Exit::Done));
        assert_eq!(ended(&[Outcome::Warning], false), Ok(Exit::Done));
        assert_eq!(ended(&[Outcome::Warning], true), Ok(Exit::Failures));
        assert_eq!(ended(&[Outcome::Ok, Outcome::Error], false), Ok(Exit::Failures));
        assert_eq!(ended(&[Outcome::Error, Outcome::Unreachable], false), Err(69));
    }
}
