//! Holds what is wrong with a configuration, by its path.

use std::fmt;

use super::finding::Severity;
use super::{ConfigPath, Problems};

/// One thing that is wrong, at a place in the merged configuration. Never holds a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Problem {
    /// How bad it is.
    pub severity: Severity,
    /// Where it is.
    pub path: ConfigPath,
    /// What is wrong, lower case, no full stop.
    pub message: String,
    /// How to mend it, as `did you mean author_id?`.
    pub help: Option<String>,
    /// Whether it is about the key at the end of the path, and not about that key's value.
    pub at_key: bool,
    /// Whether its words hold nothing of the value, so that no secret can be among them.
    pub names_no_value: bool,
}

impl Problem {
    /// An error at a place.
    #[must_use]
    pub fn error(path: ConfigPath, message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Error,
            path,
            message: message.into(),
            help: None,
            at_key: false,
            names_no_value: false,
        }
    }

    /// A warning at a place.
    #[must_use]
    pub fn warning(path: ConfigPath, message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(path, message) }
    }

    /// All of them in one line.
    #[must_use]
    pub fn join(problems: &[Self]) -> String {
        problems.iter().map(Self::to_string).collect::<Vec<_>>().join("; ")
    }

    /// The same with a way to mend it.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// The same, about the key at the end of the path: that key is pointed at.
    #[must_use]
    pub fn at_key(mut self) -> Self {
        self.at_key = true;
        self
    }

    /// The same, with words that hold nothing of the value: what looks like a part of a secret is chance.
    #[must_use]
    pub fn naming_no_value(mut self) -> Self {
        self.names_no_value = true;
        self
    }

    /// The same, its path continued from this one: for a problem that was found by somebody who knows a part only.
    #[must_use]
    pub fn below(mut self, parent: &ConfigPath) -> Self {
        self.path = ConfigPath(parent.0.iter().cloned().chain(self.path.0).collect());
        self
    }

    /// The same with "did you mean …?", if one of the known names is near enough.
    #[must_use]
    pub fn did_you_mean<'a>(self, given: &str, known: impl IntoIterator<Item = &'a str>) -> Self {
        match nearest(given, known) {
            Some(name) => self.help(format!("did you mean `{name}`?")),
            None => self,
        }
    }
}

impl fmt::Display for Problem {
    /// `targets.main.url: this is no address (write redis://host:6379)`.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.path.0.is_empty() {
            write!(out, "{}: ", self.path)?;
        }
        out.write_str(&self.message)?;
        self.help.as_ref().map_or(Ok(()), |help| write!(out, " ({help})"))
    }
}

impl std::error::Error for Problem {}

/// Bytes of a name that others are compared with. The names in events are anybody's: comparing costs the product of two
/// lengths, in time and in memory.
const COMPARED_MAX: usize = 200;

/// The known name nearest to a misspelt one, if it is near enough to be meant.
#[must_use]
pub fn nearest<'a>(given: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    if given.len() > COMPARED_MAX {
        return None;
    }
    let far = given.chars().count().max(3) / 3;
    known
        .into_iter()
        .map(|name| (strsim::damerau_levenshtein(given, name), name))
        .filter(|(distance, _)| *distance <= far)
        .min()
        .map(|(_, name)| name)
}

/// Why a configuration could not be loaded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// A file cannot be read.
    #[error("cannot read {file}: {why}{}", help.as_ref().map(|help| format!("; {help}")).unwrap_or_default())]
    Read {
        /// The file or directory.
        file: String,
        /// Why; [`std::fmt::Display`] says it.
        why: std::io::Error,
        /// How to mend it.
        help: Option<String>,
    },
    /// What stands in the files is wrong.
    #[error("the configuration is wrong\n\n{0}")]
    Invalid(Problems),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_suggested_only_when_it_is_near() {
        let known = ["redis", "redis_streams", "memory"];
        let cases = [
            ("redsi", Some("redis")),
            ("rediss", Some("redis")),
            ("memori", Some("memory")),
            ("amqp", None),
            ("", None),
        ];
        for (given, expected) in cases {
            assert_eq!(nearest(given, known), expected, "{given}");
        }
    }

    #[test]
    fn a_problem_is_an_error_that_says_its_path_and_how_to_mend_it() {
        let url = ConfigPath::root().key("targets").key("main").key("url");
        let cases = [
            (Problem::error(ConfigPath::root(), "too much"), "too much"),
            (Problem::warning(url.clone(), "this is odd"), "targets.main.url: this is odd"),
            (Problem::error(url, "no scheme").help("write redis://"), "targets.main.url: no scheme (write redis://)"),
        ];
        for (problem, expected) in cases {
            let error: Box<dyn std::error::Error + Send + Sync> = problem.into();
            assert_eq!((error.to_string().as_str(), error.source().is_none()), (expected, true));
        }
    }

    #[test]
    fn a_problem_found_in_a_part_keeps_its_path_in_the_whole() {
        let problem = Problem::error(ConfigPath::root().key("url"), "wrong")
            .below(&ConfigPath::root().key("targets").key("main"));
        assert_eq!(problem.path.to_string(), "targets.main.url");
    }
}
