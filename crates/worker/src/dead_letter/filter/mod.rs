//! Reads the filter language of dead letters: `reason:target_error cache:product age:<1h`.
//!
//! Terms are separated by spaces and all of them must hold. `-term` must not hold. A word without a field is looked for
//! in the error. Values with spaces stand in double quotes, in which `\` takes the meaning from the next character;
//! `*` stands for any text. A reason in quotes need not be one that this version knows. `-` as a value means that nothing is known: `target:-`.

mod parse;
mod pattern;

use std::time::Duration;

pub use parse::FilterError;
pub use pattern::Pattern;

use super::Letter;

/// Which letters are meant; the empty filter means all of them.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Filter {
    terms: Vec<Term>,
}

impl Filter {
    /// Whether it means every letter.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.terms.is_empty()
    }
}

/// One condition, or its opposite.
#[derive(Debug, Clone, PartialEq)]
struct Term {
    negated: bool,
    test: Test,
}

#[derive(Debug, Clone, PartialEq)]
enum Test {
    /// The whole of a field.
    Name(Name, Wanted),
    /// Text in the error, in any case.
    Error(Pattern),
    /// A count.
    Count(Count, Comparison, u64),
    /// How long ago it failed.
    Age(Comparison, Duration),
}

/// The fields that hold a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Name {
    Reason,
    Cache,
    Target,
    Entity,
    Source,
    Id,
    Worker,
}

/// What a name has to be.
#[derive(Debug, Clone, PartialEq)]
enum Wanted {
    /// Not known.
    Nothing,
    /// Like this.
    Like(Pattern),
}

/// The fields that hold a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Count {
    Attempts,
    Replays,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Comparison {
    Less,
    AtMost,
    Equal,
    AtLeast,
    More,
}

/// Whether the filter means this letter, at this time in milliseconds since the Unix epoch.
/// What is not known of a letter fulfils no condition, and every negated one.
#[must_use]
pub fn matches(filter: &Filter, letter: &Letter, now_ms: i64) -> bool {
    filter.terms.iter().all(|term| term.test.holds(letter, now_ms) != term.negated)
}

impl Test {
    fn holds(&self, letter: &Letter, now_ms: i64) -> bool {
        let about = &letter.about;
        match self {
            Self::Name(Name::Id, wanted) => {
                wanted.is(about.id.as_deref()) || wanted.is(Some(&letter.id.0)) && *wanted != Wanted::Nothing
            }
            Self::Name(name, wanted) => wanted.is(name.of(letter)),
            Self::Error(pattern) => about.error.as_deref().is_some_and(|error| pattern.is_within(error)),
            Self::Count(Count::Attempts, comparison, number) => {
                about.attempts_made.is_some_and(|made| comparison.holds(&u64::from(made), number))
            }
            Self::Count(Count::Replays, comparison, number) => comparison.holds(&u64::from(about.replays), number),
            Self::Age(comparison, age) => {
                let wanted = i64::try_from(age.as_millis()).unwrap_or(i64::MAX);
                letter.age_ms(now_ms).is_some_and(|age| comparison.holds(&age, &wanted))
            }
        }
    }
}

impl Name {
    fn of(self, letter: &Letter) -> Option<&str> {
        let about = &letter.about;
        match self {
            Self::Reason => about.reason.as_deref(),
            Self::Cache => about.cache.as_deref(),
            Self::Target => about.target.as_deref(),
            Self::Entity => about.entity.as_deref(),
            Self::Source => about.source.as_deref(),
            Self::Id => about.id.as_deref(),
            Self::Worker => about.worker.as_deref(),
        }
    }
}

impl Wanted {
    fn is(&self, value: Option<&str>) -> bool {
        match (self, value) {
            (Self::Nothing, value) => value.is_none(),
            (Self::Like(pattern), Some(value)) => pattern.is(value),
            (Self::Like(_), None) => false,
        }
    }
}

impl Comparison {
    fn holds<T: Ord>(self, value: &T, wanted: &T) -> bool {
        match self {
            Self::Less => value < wanted,
            Self::AtMost => value <= wanted,
            Self::Equal => value == wanted,
            Self::AtLeast => value >= wanted,
            Self::More => value > wanted,
        }
    }
}

#[cfg(test)]
mod tests {
    use quash_transport::{LetterId, Message};

    use quash_delivery::record::Reason;

    use super::super::testing;
    use super::*;

    #[test]
    fn terms_pick_the_letters_they_name() {
        let mut record = testing::record(Reason::TargetError);
        record.error = "Connection Timeout after 12 ms on \"main*\"".to_owned();
        let letter = testing::letter("7-1", &record, "{}");
        let unknown = Letter::read(LetterId("8-1".to_owned()), Message::default());
        let check = |text: &str, known: bool, of_unknown: bool| {
            let filter: Filter = text.parse().unwrap_or_else(|error| panic!("{error}"));
            assert_eq!(matches(&filter, &letter, testing::NOW_MS), known, "{text} on a known letter");
            assert_eq!(matches(&filter, &unknown, testing::NOW_MS), of_unknown, "{text} on an unknown letter");
        };
        let cases = [
            ("", true, true),
            ("   ", true, true),
            ("reason:target_error", true, false),
            ("reason:target_*", true, false),
            ("reason:decode", false, false),
            ("-reason:decode", true, true),
            ("reason:-", false, true),
            ("-reason:-", true, false),
            ("cache:product target:main entity:shop.*", true, false),
            ("cache:product target:eu", false, false),
            ("cache:Product", false, false),
            ("entity:*", true, false),
            ("entity:sh*ok", true, false),
            ("entity:shop", false, false),
            ("source:events worker:w1", true, false),
            ("id:e1", true, false),
            ("id:7-*", true, false),
            ("id:8-1", false, true),
            ("id:-", false, true),
            ("timeout", true, false),
            ("TIMEOUT", true, false),
            ("error:timeout", true, false),
            ("-error:timeout", false, true),
            ("\"timeout after\"", true, false),
            ("error:\"connection * after\"", true, false),
            ("error:\"on \\\"main\\*\\\"\"", true, false),
            ("error:\"ain\\*\\*\"", false, false),
            ("connection ms", true, false),
            ("connection refused", false, false),
            ("attempts:8", true, false),
            ("attempts:>7 attempts:<9", true, false),
            ("attempts:>=8 attempts:<=8 attempts:=8", true, false),
            ("attempts:>8", false, false),
            ("replays:0", true, true),
            ("replays:>=1", false, false),
            ("age:<2m", true, false),
            ("age:>1m", false, false),
            ("age:>=1m", true, false),
            ("age:<1m", false, false),
            ("age:>1d", false, false),
            ("-age:>1d", true, true),
            ("age:<2w", true, false),
            ("age:>1h30m", false, false),
        ];
        cases.into_iter().for_each(|(text, known, of_unknown)| check(text, known, of_unknown));
    }

    #[test]
    fn a_wrong_term_is_named_with_what_is_known() {
        let cases = [
            (
                "cache:a reson:decode",
                "in `reson:decode`: there is no field `reson`, did you mean `reason`? known are reason, cache, target, \
                 entity, source, id, worker, error, attempts, replays, age; text with a colon stands in quotes",
            ),
            (
                "reason:target_eror",
                "in `reason:target_eror`: there is no reason `target_eror`, did you mean `target_error`? known are \
                 decode, limit, rule, target_error, gave_up, panic",
            ),
            ("age:1h", "in `age:1h`: an age needs a comparison, as age:<1h or age:>2d"),
            (
                "age:<soon",
                "in `age:<soon`: `soon` is no length of time; write a number with a unit, as 200ms, 30s, 5m or 24h",
            ),
            (
                "age:<1.5d",
                "in `age:<1.5d`: `1.5d` is no length of time; write a number with a unit, as 200ms, 30s, 5m or 24h",
            ),
            ("attempts:many", "in `attempts:many`: `many` is no number, write attempts:>3 or attempts:3"),
            ("attempts:>", "in `attempts:>`: `` is no number, write attempts:>3 or attempts:3"),
            ("cache:", "in `cache:`: a value is missing; `cache:-` finds letters without one"),
            ("cache:\"\"", "in `cache:\"\"`: a value is missing; `cache:-` finds letters without one"),
            ("error:", "in `error:`: a value is missing"),
            ("x -", "in `-`: nothing stands after the minus"),
            ("error:\"open", "in `error:\"open`: the quote is never closed"),
            ("\"a\"b", "in `\"a\"b`: a space is missing after the quote"),
        ];
        for (text, expect) in cases {
            assert_eq!(text.parse::<Filter>().unwrap_err().to_string(), expect);
        }
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_it_panic(text: String, error: String) {
            let mut record = testing::record(Reason::Rule);
            record.error = error;
            if let Ok(filter) = text.parse::<Filter>() {
                let _ = matches(&filter, &testing::letter("1", &record, ""), testing::NOW_MS);
            }
        }

        #[test]
        fn near_filters_neither(text in "(-?(age|error|id|attempts|cache):[<>=]*[\"*\\\\a-z0-9 ]{0,6} ?){0,4}") {
            let _ = text.parse::<Filter>();
        }
    }
}
