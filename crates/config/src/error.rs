//! Holds what is wrong with a configuration, by its path.

use super::finding::Severity;
use super::{ConfigPath, Problems, Segment};

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
        let segments: Vec<Segment> = parent.0.iter().cloned().chain(self.path.0).collect();
        self.path = ConfigPath(segments);
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
    fn a_problem_found_in_a_part_keeps_its_path_in_the_whole() {
        let problem = Problem::error(ConfigPath::root().key("url"), "wrong")
            .below(&ConfigPath::root().key("targets").key("main"));
        assert_eq!(problem.path.to_string(), "targets.main.url");
    }
}
