//! Says what removing a key set takes, for people and for the choice between ways.

/// What a scheme must do to remove a key set.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Reach {
    /// The kind of action.
    pub by: ReachBy,
    /// The template of what is removed, as `catalog:{author_id}:*`.
    pub template: String,
    /// How many actions it takes.
    pub actions: usize,
    /// Whether more is removed than the key set asks for.
    pub rounds_up: bool,
    /// What this scheme advises, where that is better than what fits to all of its kind; for [`ReachBy::Nothing`] the
    /// reason and the way out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub advice: Option<String>,
}

impl Reach {
    /// Removes exactly what is asked for, by so many keys.
    #[must_use]
    pub fn keys(template: impl Into<String>, actions: usize) -> Self {
        Self { by: ReachBy::Keys, template: template.into(), actions, rounds_up: false, advice: None }
    }

    /// One action of another kind.
    #[must_use]
    pub fn one(by: ReachBy, template: impl Into<String>, rounds_up: bool) -> Self {
        Self { by, template: template.into(), actions: 1, rounds_up, advice: None }
    }

    /// Nothing from outside removes it: the reason, and the way out.
    #[must_use]
    pub fn nothing(template: impl Into<String>, why: impl Into<String>) -> Self {
        let (by, advice) = (ReachBy::Nothing, Some(why.into()));
        Self { by, template: template.into(), actions: 0, rounds_up: false, advice }
    }

    /// The same, with advice of the scheme's own.
    #[must_use]
    pub fn advising(self, advice: impl Into<String>) -> Self {
        Self { advice: Some(advice.into()), ..self }
    }
}

impl Reach {
    /// How it is removed, for people.
    #[must_use]
    pub fn in_words(&self) -> String {
        let how = match self.by {
            ReachBy::Keys if self.actions == 1 => format!("by its key {}", self.template),
            ReachBy::Keys => format!("by the {} keys {}", self.actions, self.template),
            ReachBy::Tag => format!("by a new token of the tag {}", self.template),
            ReachBy::Prefix => format!("by a pass over all keys, for {}", self.template),
            ReachBy::Pattern => format!("by a pass over all keys, for the pattern {}", self.template),
            ReachBy::WholeCache => format!("by a pass over all keys, for the whole cache {}", self.template),
            ReachBy::Nothing => {
                format!("by nothing: {}", self.advice.as_deref().unwrap_or("it cannot be done from outside"))
            }
        };
        if self.rounds_up { format!("{how}, which removes more than asked") } else { how }
    }
}

/// The kinds of reach, cheapest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ReachBy {
    /// Exact keys, also by enumerating values.
    Keys,
    /// A generation token or a tag that readers check.
    Tag,
    /// A prefix.
    Prefix,
    /// A pattern with a gap in it.
    Pattern,
    /// Everything that the cache ever wrote.
    WholeCache,
    /// Nothing from outside removes it; a dependency that needs it is a configuration error.
    Nothing,
}

impl ReachBy {
    /// What it costs on the target, for people.
    #[must_use]
    pub const fn cost(self) -> &'static str {
        match self {
            Self::Keys => "one command a key",
            Self::Tag => "one command",
            Self::Prefix | Self::Pattern | Self::WholeCache => {
                "a pass over all keys of the target, shared by the batch"
            }
            Self::Nothing => "cannot be done from outside",
        }
    }
}
