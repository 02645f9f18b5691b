//! Shows what is wrong with a configuration, with file, line, column and the source line.

use std::fmt;

use super::fault::Fault;
use super::files::{self, Excerpt, File};
use super::{ConfigPath, Severity};

/// All that is wrong with a configuration, in the order of the files. Holds no secret.
///
/// [`std::fmt::Display`] shows all of them without colour, each with its place and its source line.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Problems(Vec<LocatedProblem>);

/// One thing that is wrong, with its place in a file.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct LocatedProblem {
    /// How bad it is.
    pub severity: Severity,
    /// The file; `None` when there is nothing to point at.
    pub file: Option<String>,
    /// The line, from 1.
    pub line: Option<usize>,
    /// The column, in characters from 1.
    pub column: Option<usize>,
    /// The place in the merged configuration; empty for a file that cannot be parsed.
    pub path: ConfigPath,
    /// What is wrong, lower case, no full stop.
    pub message: String,
    /// How to mend it.
    pub help: Option<String>,
    #[serde(skip)]
    excerpt: Option<Excerpt>,
    #[serde(skip)]
    also: Option<(Excerpt, String)>,
}

impl Problems {
    pub(super) fn new(mut faults: Vec<Fault>, files: &[File]) -> Self {
        faults.sort_by_key(|fault| (fault.position.is_none(), fault.position));
        faults.dedup();
        Self(faults.into_iter().map(|fault| LocatedProblem::new(fault, files)).collect())
    }

    /// The problems, by file and line.
    pub fn iter(&self) -> std::slice::Iter<'_, LocatedProblem> {
        self.0.iter()
    }

    /// How many of them are errors.
    #[must_use]
    pub fn errors(&self) -> usize {
        self.count(Severity::Error)
    }

    /// How many of them are warnings.
    #[must_use]
    pub fn warnings(&self) -> usize {
        self.count(Severity::Warning)
    }

    fn count(&self, severity: Severity) -> usize {
        self.0.iter().filter(|problem| problem.severity == severity).count()
    }

    /// Whether any of them is an error: then the configuration is refused.
    #[must_use]
    pub fn has_errors(&self) -> bool {
        self.errors() > 0
    }

    /// Whether nothing is wrong.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Shows all of them, with colours for a terminal if asked.
    #[must_use]
    pub const fn display(&self, colour: bool) -> impl fmt::Display + '_ {
        Display { problems: self, paint: if colour { Paint::COLOUR } else { Paint::PLAIN } }
    }
}

impl<'a> IntoIterator for &'a Problems {
    type Item = &'a LocatedProblem;
    type IntoIter = std::slice::Iter<'a, LocatedProblem>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.display(false).fmt(out)
    }
}

impl LocatedProblem {
    fn new(fault: Fault, files: &[File]) -> Self {
        let excerpt = fault.position.and_then(|position| files::excerpt(files, position));
        let also = fault.also.and_then(|(position, why)| Some((files::excerpt(files, position)?, why)));
        Self {
            severity: fault.problem.severity,
            file: excerpt.as_ref().map(|excerpt| excerpt.file.clone()),
            line: excerpt.as_ref().map(|excerpt| excerpt.line),
            column: excerpt.as_ref().map(|excerpt| excerpt.column),
            path: fault.problem.path,
            message: fault.problem.message,
            help: fault.problem.help,
            excerpt,
            also,
        }
    }

    fn show(&self, out: &mut fmt::Formatter<'_>, paint: Paint) -> fmt::Result {
        let (word, colour) = match self.severity {
            Severity::Error => ("error", paint.error),
            Severity::Warning | Severity::Ok => ("warning", paint.warning),
        };
        let Paint { frame, strong, plain, .. } = paint;
        writeln!(out, "{colour}{word}{plain}{strong}: {}{plain}", self.message)?;
        let excerpts = [self.excerpt.as_ref(), self.also.as_ref().map(|(excerpt, _)| excerpt)];
        let gutter = excerpts.iter().flatten().map(|excerpt| excerpt.line.to_string().len()).max().unwrap_or(1);
        if let Some(excerpt) = &self.excerpt {
            show_excerpt(out, paint, excerpt, ("-->", gutter), ('^', colour, ""))?;
        }
        if let Some((excerpt, why)) = &self.also {
            show_excerpt(out, paint, excerpt, (":::", gutter), ('-', frame, why))?;
        }
        if let Some(help) = &self.help {
            writeln!(out, "{:gutter$} {frame}={plain} {strong}help{plain}: {help}", "")?;
        }
        Ok(())
    }
}

fn show_excerpt(
    out: &mut fmt::Formatter<'_>,
    Paint { frame, plain, .. }: Paint,
    excerpt: &Excerpt,
    (arrow, gutter): (&str, usize),
    (mark, colour, why): (char, &str, &str),
) -> fmt::Result {
    let Excerpt { file, line, column, text, offset, width } = excerpt;
    let bar = format!("{:gutter$} {frame}|{plain}", "");
    let marks = mark.to_string().repeat(*width);
    let space = if why.is_empty() { "" } else { " " };
    writeln!(out, "{:gutter$}{frame}{arrow}{plain} {file}:{line}:{column}", "")?;
    writeln!(out, "{bar}")?;
    let padded = format!("{frame}{line:>gutter$} |{plain} {text}");
    writeln!(out, "{}", padded.trim_end())?;
    writeln!(out, "{bar} {:offset$}{colour}{marks}{space}{why}{plain}", "")
}

struct Display<'a> {
    problems: &'a Problems,
    paint: Paint,
}

impl fmt::Display for Display<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.problems.iter().enumerate() {
            if index > 0 {
                writeln!(out)?;
            }
            problem.show(out, self.paint)?;
        }
        Ok(())
    }
}

/// The terminal's words for colours; all empty without colour.
#[derive(Clone, Copy)]
struct Paint {
    error: &'static str,
    warning: &'static str,
    frame: &'static str,
    strong: &'static str,
    plain: &'static str,
}

impl Paint {
    const PLAIN: Self = Self { error: "", warning: "", frame: "", strong: "", plain: "" };
    const COLOUR: Self = Self {
        error: "\u{1b}[1;31m",
        warning: "\u{1b}[1;33m",
        frame: "\u{1b}[1;34m",
        strong: "\u{1b}[1m",
        plain: "\u{1b}[0m",
    };
}
