//! Holds what is wrong with a configuration, and shows it with file, line, column and the source line.

use super::ConfigPath;

/// How bad a problem is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Works, and should be known: an action removes more than was asked.
    Warning,
    /// The configuration is refused.
    Error,
}

/// One thing that is wrong, at a place in the merged configuration. Never holds a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// How bad it is.
    pub severity: Severity,
    /// Where it is.
    pub path: ConfigPath,
    /// What is wrong, lower case, no full stop.
    pub message: String,
    /// How to mend it, as `did you mean author_id?`.
    pub help: Option<String>,
}

impl Problem {
    /// An error at a place.
    #[must_use]
    pub fn error(path: ConfigPath, message: impl Into<String>) -> Self {
        Self { severity: Severity::Error, path, message: message.into(), help: None }
    }

    /// A warning at a place.
    #[must_use]
    pub fn warning(path: ConfigPath, message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, path, message: message.into(), help: None }
    }

    /// The same with a way to mend it.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
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

/// The known name nearest to a misspelt one, if it is near enough to be meant.
#[must_use]
pub fn nearest<'a>(given: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let far = given.chars().count().max(3) / 3;
    known
        .into_iter()
        .map(|name| (strsim::damerau_levenshtein(given, name), name))
        .filter(|(distance, _)| *distance <= far)
        .min()
        .map(|(_, name)| name)
}

/// All that is wrong with a configuration, shown by [`std::fmt::Display`] with file, line, column, source line and help.
#[derive(Debug)]
pub struct Problems;

impl std::fmt::Display for Problems {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("the configuration is wrong")
    }
}

/// Why a configuration could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// A file cannot be read.
    #[error("cannot read {file}: {source}")]
    Read {
        /// The file or directory.
        file: String,
        /// Why.
        source: std::io::Error,
    },
    /// What stands in the files is wrong.
    #[error("the configuration is wrong")]
    Invalid(Problems),
}
