//! Says how good or bad something is that was looked at: a configuration, or the server that it names.

/// One thing that an inspection of a server found.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// What was found.
    pub what: String,
    /// How to mend it; empty when nothing is wrong.
    pub mend: String,
}

impl Finding {
    /// What is as it should be.
    #[must_use]
    pub fn ok(what: impl Into<String>) -> Self {
        Self { severity: Severity::Ok, what: what.into(), mend: String::new() }
    }

    /// What works and should be known, with how to mend it.
    #[must_use]
    pub fn warning(what: impl Into<String>, mend: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, what: what.into(), mend: mend.into() }
    }

    /// What breaks a promise, with how to mend it.
    #[must_use]
    pub fn error(what: impl Into<String>, mend: impl Into<String>) -> Self {
        Self { severity: Severity::Error, what: what.into(), mend: mend.into() }
    }
}

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// As it should be.
    Ok,
    /// Works, and should be known: an action removes more than was asked, a broker keeps less than it should.
    Warning,
    /// The configuration is refused, or a promise is broken.
    Error,
}
