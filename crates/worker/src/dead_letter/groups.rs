//! Groups dead letters by cause: what failed, where, and the error without its numbers and quoted text.

use std::collections::HashMap;

use quash_transport::LetterId;

use quash_delivery::record::Reason;

use super::Letter;
use super::letter::cure;

/// What letters of one group have in common.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize)]
pub struct Cause {
    /// The reason's name.
    pub reason: Option<String>,
    /// The target that failed.
    pub target: Option<String>,
    /// The cache whose rule failed.
    pub cache: Option<String>,
    /// The error with `*` for what differs from letter to letter: a pattern of the filter language.
    pub error: Option<String>,
}

/// Letters with the same cause.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Group {
    /// What they have in common.
    #[serde(flatten)]
    pub cause: Cause,
    /// How many there are.
    pub count: u64,
    /// When the first of them failed, in milliseconds since the Unix epoch.
    pub oldest_ms: Option<i64>,
    /// When the last of them failed, in milliseconds since the Unix epoch.
    pub newest_ms: Option<i64>,
    /// The letter that came last.
    pub example: LetterId,
}

/// Gathers letters into groups, one by one, so that a long queue needs no memory but for its causes.
#[derive(Debug, Default)]
pub struct Groups(HashMap<Cause, Group>);

impl Groups {
    /// Adds a letter.
    pub fn add(&mut self, letter: &Letter) {
        let cause = Cause::of(letter);
        let failed_ms = letter.about.last_failure_ms;
        let group = self.0.entry(cause).or_insert_with_key(|cause| Group {
            cause: cause.clone(),
            count: 0,
            oldest_ms: None,
            newest_ms: None,
            example: letter.id.clone(),
        });
        group.count += 1;
        group.example = letter.id.clone();
        group.oldest_ms = group.oldest_ms.into_iter().chain(failed_ms).min();
        group.newest_ms = group.newest_ms.max(failed_ms);
    }

    /// The groups, the biggest first.
    #[must_use]
    pub fn into_sorted(self) -> Vec<Group> {
        let mut groups: Vec<Group> = self.0.into_values().collect();
        groups.sort_by(|one, other| other.count.cmp(&one.count).then_with(|| one.cause.cmp(&other.cause)));
        groups
    }
}

impl Cause {
    fn of(letter: &Letter) -> Self {
        let about = &letter.about;
        Self {
            reason: about.reason.clone(),
            target: about.target.clone(),
            cache: about.cache.clone(),
            error: about.error.as_deref().map(error_shape),
        }
    }

    /// What failed and where, as `target_error on main, cache product`.
    #[must_use]
    pub fn title(&self) -> String {
        let target = self.target.as_deref().map_or_else(String::new, |target| format!(" on {target}"));
        let cache = self.cache.as_deref().map_or_else(String::new, |cache| format!(", cache {cache}"));
        format!("{}{target}{cache}", self.reason.as_deref().unwrap_or("-"))
    }

    /// What to do about the letters of the group, where this version knows it.
    #[must_use]
    pub fn cure(&self) -> Option<&'static str> {
        cure(self.reason.as_deref(), self.error.as_deref())
    }

    /// The filter that finds the letters of the group.
    #[must_use]
    pub fn filter(&self) -> String {
        let names = [("target", &self.target), ("cache", &self.cache)];
        let mut terms = vec![format!("reason:{}", self.spell_reason())];
        terms.extend(names.map(|(field, name)| format!("{field}:{}", spell_name(name.as_deref()))));
        terms.extend(self.error.as_deref().map(|shape| format!("error:\"{}\"", escape(shape))));
        terms.join(" ")
    }

    /// The reason in quotes if this version does not know it: without them the filter would take it for a slip.
    fn spell_reason(&self) -> String {
        match self.reason.as_deref() {
            Some(reason) if !Reason::ALL.iter().any(|known| known.name() == reason) => spell_quoted(reason),
            reason => spell_name(reason),
        }
    }
}

/// A name as the filter language spells it; in quotes, no name has a meaning of its own.
fn spell_name(name: Option<&str>) -> String {
    match name {
        None => "-".to_owned(),
        Some(name) if is_plain(name) => name.to_owned(),
        Some(name) => spell_quoted(name),
    }
}

fn spell_quoted(name: &str) -> String {
    format!("\"{}\"", escape(name).replace('*', "\\*"))
}

/// Whether a name needs no quotes.
fn is_plain(name: &str) -> bool {
    let plain = |character: char| character.is_ascii_alphanumeric() || "._/".contains(character);
    name.chars().all(plain)
}

fn escape(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"")
}

/// The error with `*` for quoted text, for words with a digit in them, and for control characters. Backquotes are around names
/// of ours, which stay.
#[must_use]
pub fn error_shape(error: &str) -> String {
    let mut shape = String::with_capacity(error.len());
    let (mut rest, mut before) = (error, ' ');
    while let Some(first) = rest.chars().next() {
        let (length, piece) = next_piece(rest, first, before);
        match piece {
            Piece::Kept => shape.push_str(&rest[..length]),
            Piece::Quoted => shape.extend([first, '*', first]),
            Piece::Value if !shape.ends_with('*') => shape.push('*'),
            Piece::Value => {}
        }
        (rest, before) = (&rest[length..], first);
    }
    shape
}

/// What becomes of a piece of an error.
enum Piece {
    Kept,
    Quoted,
    Value,
}

/// The length of the piece that the text begins with, and what becomes of it.
fn next_piece(text: &str, first: char, before: char) -> (usize, Piece) {
    if matches!(first, '"' | '\'')
        && !before.is_alphanumeric()
        && let Some(closing) = text[1..].find(first)
    {
        return (closing + 2, Piece::Quoted);
    }
    match first.is_alphanumeric() {
        true => word(text),
        false if first.is_control() => (first.len_utf8(), Piece::Value),
        false => (first.len_utf8(), Piece::Kept),
    }
}

fn word(text: &str) -> (usize, Piece) {
    let length = text.find(|character: char| !character.is_alphanumeric()).unwrap_or(text.len());
    match text[..length].contains(|character: char| character.is_ascii_digit()) {
        true => (length, Piece::Value),
        false => (length, Piece::Kept),
    }
}

#[cfg(test)]
mod tests {
    use super::super::filter::{Filter, matches};
    use super::super::testing;
    use super::*;

    #[test]
    fn an_error_keeps_its_words_and_loses_its_values() {
        let cases = [
            ("timeout", "timeout"),
            ("timeout after 12 ms", "timeout after * ms"),
            ("no key 'a b' in \"c\"", "no key '*' in \"*\""),
            ("it can't connect to 10.0.0.7:6379", "it can't connect to *.*.*.*:*"),
            ("delete product:42 failed", "delete product:* failed"),
            ("open 'quote 7", "open 'quote *"),
            ("a\n\x1b[31mb", "a*[*"),
            ("''", "'*'"),
            ("'a' and 'b'", "'*' and '*'"),
            ("id 550e8400-e29b", "id *-*"),
            ("é 1é `ü`", "é * `ü`"),
            ("unknown `op` 'upsert', as `{id}`", "unknown `op` '*', as `{id}`"),
            ("", ""),
        ];
        for (error, expect) in cases {
            assert_eq!(error_shape(error), expect, "{error}");
        }
    }

    #[test]
    fn letters_with_the_same_cause_are_one_group() {
        let mut groups = Groups::default();
        for (id, error, failed_ms) in [("1", "OOM at 1", 20), ("2", "OOM at 2", 10), ("3", "refused", 30)] {
            let mut record = testing::record(Reason::TargetError);
            (record.error, record.last_failure_ms) = (error.to_owned(), failed_ms);
            groups.add(&testing::letter(id, &record, ""));
        }
        groups.add(&Letter::read(LetterId("4".to_owned()), quash_transport::Message::default()));

        let seen: Vec<_> = groups
            .into_sorted()
            .into_iter()
            .map(|g| (g.count, g.oldest_ms, g.newest_ms, g.example.0, g.cause.error))
            .collect();
        assert_eq!(
            seen,
            [
                (2, Some(10), Some(20), "2".to_owned(), Some("OOM at *".to_owned())),
                (1, None, None, "4".to_owned(), None),
                (1, Some(30), Some(30), "3".to_owned(), Some("refused".to_owned())),
            ]
        );
    }

    #[test]
    fn a_group_without_anything_known_has_a_filter_too() {
        let letter = Letter::read(LetterId("4".to_owned()), quash_transport::Message::default());
        let filter = Cause::of(&letter).filter();
        assert_eq!(filter, "reason:- target:- cache:-");
        assert!(matches(&filter.parse().unwrap(), &letter, 0));
    }

    proptest::proptest! {
        #[test]
        fn the_filter_of_a_group_finds_its_letters(error: String, cache: String, target in "\\PC{0,8}") {
            let mut record = testing::record(Reason::Rule);
            record.error = error;
            record.cache = Some(cache);
            record.target = Some(target);
            let letter = testing::letter("1", &record, "");
            let cause = Cause::of(&letter);
            let filter: Filter = cause.filter().parse().unwrap();
            proptest::prop_assert!(matches(&filter, &letter, 0), "{}", cause.filter());
        }
    }
}
