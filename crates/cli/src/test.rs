//! `quash test`: runs the cases of the configuration, as a test runner does.

pub(super) mod case;
pub(super) mod coverage;
mod junit;

use std::path::PathBuf;
use std::time::Instant;

use serde::Serialize;

use self::case::Ran;
use self::coverage::Coverage;
use super::output::{self, Paint, Screen, escape_for_terminal};
use super::screen::{self, count};
use super::{CliError, Exit, Global, Output, rules};
use quash_config::{ConfigPath, Loaded, Problem};
use quash_dispatch::config::{Config, TestCase};

/// Runs the cases in the configuration.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Configuration files and directories, as with -c
    #[arg(value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// Runs only cases whose names contain this text, in any case
    #[arg(long, value_name = "TEXT")]
    pub filter: Option<String>,
    /// Names the dependencies that no case exercises
    #[arg(long)]
    pub coverage: bool,
    /// Also writes the results as JUnit XML
    #[arg(long, value_name = "FILE")]
    pub junit: Option<PathBuf>,
}

/// Runs the cases in the configuration.
///
/// # Errors
/// [`CliError::Configuration`] when the configuration is wrong, [`CliError::Usage`] when the filter leaves no case,
/// [`CliError::Io`] when the results cannot be written.
pub async fn run(args: Args, global: &Global) -> Result<Exit, CliError> {
    let loaded = global.with(&args.files).load()?;
    let (resolver, _) = rules::compile(&loaded)?;
    let cases = pick(&loaded.root.tests, args.filter.as_deref())?;
    let started = Instant::now();
    let results: Vec<Ran> =
        cases.iter().map(|(index, case)| located(case::run(&resolver, case), *index, &loaded)).collect();
    let results = Results { coverage: args.coverage.then(|| Coverage::of(&resolver, &results)), cases: results };
    if let Some(file) = &args.junit {
        std::fs::write(file, junit::xml(&results.cases))
            .map_err(|error| CliError::Io(format!("cannot write {}: {error}", file.display())))?;
    }
    match global.output {
        Output::Json => output::print_json(&results)?,
        Output::Text => screen::print(&results.text(started.elapsed().as_millis(), Screen::stdout().paint))?,
    }
    Ok(if results.failed() > 0 { Exit::Failures } else { Exit::Done })
}

/// What came of a case, with the line that it stands on.
fn located(ran: Ran, index: usize, loaded: &Loaded<Config>) -> Ran {
    let path = ConfigPath::root().key("tests").index(index);
    let problems = loaded.locate(vec![Problem::warning(path, "")]);
    let (file, line) = problems.iter().next().map_or((None, None), |found| (found.file.clone(), found.line));
    Ran { file, line, ..ran }
}

/// The cases whose names contain the filter, with their indices.
fn pick<'c>(cases: &'c [TestCase], filter: Option<&str>) -> Result<Vec<(usize, &'c TestCase)>, CliError> {
    let wanted = filter.unwrap_or_default().to_lowercase();
    let all = cases.iter().enumerate();
    let picked: Vec<_> = all.filter(|(_, case)| case.name.to_lowercase().contains(&wanted)).collect();
    let Some(filter) = filter else { return Ok(picked) };
    if picked.is_empty() {
        return Err(CliError::Usage(format!("none of {} is called like `{filter}`", count(cases.len(), "case"))));
    }
    Ok(picked)
}

/// What came of all cases.
#[derive(Serialize)]
struct Results {
    cases: Vec<Ran>,
    #[serde(skip_serializing_if = "Option::is_none")]
    coverage: Option<Coverage>,
}

impl Results {
    fn failed(&self) -> usize {
        self.cases.iter().filter(|case| !case.passed).count()
    }

    fn text(&self, ms: u128, paint: Paint) -> String {
        let mut out: String = self.cases.iter().map(|ran| shown(ran, paint)).collect();
        if let Some(coverage) = &self.coverage {
            out.push_str(&coverage.text(paint));
        }
        out.push_str(&self.summary(ms, paint));
        out
    }

    fn summary(&self, ms: u128, paint: Paint) -> String {
        let (all, failed) = (self.cases.len(), self.failed());
        if all == 0 {
            return "no cases are declared; add them under `tests:`, each with `name`, `event` and `expect`\n"
                .to_owned();
        }
        let passed = format!("{} passed", all - failed);
        let failed = if failed == 0 { String::new() } else { format!(", {}", paint.red(&format!("{failed} failed"))) };
        format!("{}: {}{failed} in {ms} ms\n", count(all, "case"), paint.green(&passed))
    }
}

fn shown(ran: &Ran, paint: Paint) -> String {
    let name = escape_for_terminal(&ran.name);
    if ran.passed {
        return format!("{} {name}\n", paint.green("✓"));
    }
    let lines = ran.differences.iter().map(|line| {
        let text = escape_for_terminal(line);
        let painted = match text.chars().next() {
            Some('-') => paint.red(&text),
            Some('+') => paint.green(&text),
            _ => paint.bold(&text),
        };
        format!("    {painted}\n")
    });
    let at = match (&ran.file, ran.line) {
        (Some(file), Some(line)) => format!("  {}", paint.dim(&escape_for_terminal(&format!("{file}:{line}")))),
        _ => String::new(),
    };
    format!("{} {name}{at}\n{}", paint.red("✗"), lines.collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ran(name: &str, differences: &[&str]) -> Ran {
        Ran {
            name: name.to_owned(),
            file: (!differences.is_empty()).then(|| "shop.yaml".to_owned()),
            line: (!differences.is_empty()).then_some(7),
            passed: differences.is_empty(),
            differences: differences.iter().map(|&line| line.to_owned()).collect(),
            exercised: Vec::new(),
        }
    }

    #[test]
    fn failures_show_what_differs_and_the_summary_counts_them() {
        let cases = vec![ran("a price changes", &[]), ran("a book\nmoves", &["actions:", "- main bump a:3"])];
        let text = Results { cases, coverage: None }.text(3, Paint(false));
        let expect = "\
✓ a price changes
✗ a book\\nmoves  shop.yaml:7
    actions:
    - main bump a:3
2 cases: 1 passed, 1 failed in 3 ms
";
        assert_eq!(text, expect);
    }

    #[test]
    fn a_filter_that_leaves_nothing_is_wrong_usage() {
        let case: TestCase =
            serde_json::from_value(serde_json::json!({ "name": "A Price", "event": {}, "expect": {} })).unwrap();
        let cases = [case];
        assert_eq!(pick(&cases, None).unwrap().len(), 1);
        assert_eq!(pick(&cases, Some("price")).unwrap().len(), 1);
        assert_eq!(pick(&cases, Some("prize")).unwrap_err().code(), 2);
    }
}
