//! Parses filters, and says which term is wrong and what is known.

use std::str::FromStr;
use std::time::Duration;

use quash_config::{Span, nearest};

use super::{Comparison, Count, Filter, Name, Pattern, Term, Test, Wanted};
use quash_delivery::record::Reason;

const FIELDS: [(&str, Field); 11] = [
    ("reason", Field::Name(Name::Reason)),
    ("cache", Field::Name(Name::Cache)),
    ("target", Field::Name(Name::Target)),
    ("entity", Field::Name(Name::Entity)),
    ("source", Field::Name(Name::Source)),
    ("id", Field::Name(Name::Id)),
    ("worker", Field::Name(Name::Worker)),
    ("error", Field::Error),
    ("attempts", Field::Count(Count::Attempts)),
    ("replays", Field::Count(Count::Replays)),
    ("age", Field::Age),
];

#[derive(Clone, Copy)]
enum Field {
    Name(Name),
    Error,
    Count(Count),
    Age,
}

/// What is wrong with a filter, and in which term.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("in `{term}`: {message}")]
pub struct FilterError {
    /// The term, as it was written.
    pub term: String,
    /// What is wrong with it.
    pub message: String,
}

impl FromStr for Filter {
    type Err = FilterError;

    fn from_str(text: &str) -> Result<Self, FilterError> {
        let mut terms = Vec::new();
        let mut rest = text.trim_start();
        while !rest.is_empty() {
            let (term, after) = split_term(rest);
            terms.push(parse_term(term).map_err(|message| FilterError { term: term.to_owned(), message })?);
            rest = after.trim_start();
        }
        Ok(Self { terms })
    }
}

/// The first term and what follows it. A quote reaches over spaces, to its end or to that of the text.
fn split_term(text: &str) -> (&str, &str) {
    let (mut quoted, mut escaped) = (false, false);
    let end = text.char_indices().find_map(|(index, character)| {
        match character {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            _ if !quoted && character.is_whitespace() => return Some(index),
            _ => {}
        }
        None
    });
    text.split_at(end.unwrap_or(text.len()))
}

fn parse_term(term: &str) -> Result<Term, String> {
    let (negated, positive) = match term.strip_prefix('-') {
        Some("") => return Err("nothing stands after the minus".to_owned()),
        Some(positive) => (true, positive),
        None => (false, term),
    };
    let test = match positive.split_once(':') {
        Some((field, value)) if !field.contains('"') => parse_field(field, value)?,
        _ => Test::Error(parse_pattern(positive)?.ok_or("a value is missing")?),
    };
    Ok(Term { negated, test })
}

fn parse_field(name: &str, value: &str) -> Result<Test, String> {
    let known = FIELDS.iter().find(|(known, _)| *known == name).ok_or_else(|| unknown_field(name))?;
    match known.1 {
        Field::Name(field) => parse_name(field, name, value),
        Field::Error => parse_pattern(value)?.map(Test::Error).ok_or_else(|| "a value is missing".to_owned()),
        Field::Count(count) => parse_count(count, name, value),
        Field::Age => parse_age(value),
    }
}

fn unknown_field(name: &str) -> String {
    let known = FIELDS.map(|(known, _)| known);
    format!("there is no field `{name}`{}; text with a colon stands in quotes", suggestion(name, &known))
}

/// What follows "there is no …": the nearest name and all of them.
fn suggestion(given: &str, known: &[&str]) -> String {
    let meant = nearest(given, known.iter().copied());
    let meant = meant.map_or(",".to_owned(), |name| format!(", did you mean `{name}`?"));
    format!("{meant} known are {}", known.join(", "))
}

fn parse_name(field: Name, name: &str, value: &str) -> Result<Test, String> {
    if value == "-" {
        return Ok(Test::Name(field, Wanted::Nothing));
    }
    let missing = || format!("a value is missing; `{name}:-` finds letters without one");
    let pattern = parse_pattern(value)?.ok_or_else(missing)?;
    match pattern.literal() {
        Some(reason) if field == Name::Reason && !value.starts_with('"') => known_reason(reason)?,
        _ => {}
    }
    Ok(Test::Name(field, Wanted::Like(pattern)))
}

fn known_reason(given: &str) -> Result<(), String> {
    let known = Reason::ALL.map(Reason::name);
    match known.contains(&given) {
        true => Ok(()),
        false => Err(format!("there is no reason `{given}`{}", suggestion(given, &known))),
    }
}

fn parse_count(count: Count, name: &str, value: &str) -> Result<Test, String> {
    let (comparison, number) = split_comparison(value);
    let wrong = |_| format!("`{number}` is no number, write {name}:>3 or {name}:3");
    let number = number.parse().map_err(wrong)?;
    Ok(Test::Count(count, comparison.unwrap_or(Comparison::Equal), number))
}

fn parse_age(value: &str) -> Result<Test, String> {
    let (comparison, age) = split_comparison(value);
    match comparison {
        Some(comparison) if comparison != Comparison::Equal => Ok(Test::Age(comparison, parse_length(age)?)),
        _ => Err("an age needs a comparison, as age:<1h or age:>2d".to_owned()),
    }
}

/// A length of time; also in whole days and weeks, which are what one says of letters.
fn parse_length(text: &str) -> Result<Duration, String> {
    let whole = |unit: char, hours: u64| {
        let count: u64 = text.strip_suffix(unit)?.parse().ok()?;
        count.checked_mul(hours * 3600).map(Duration::from_secs)
    };
    match whole('d', 24).or_else(|| whole('w', 7 * 24)) {
        Some(length) => Ok(length),
        None => text.parse::<Span>().map(|span| span.0),
    }
}

fn split_comparison(value: &str) -> (Option<Comparison>, &str) {
    const SIGNS: [(&str, Comparison); 5] = [
        ("<=", Comparison::AtMost),
        (">=", Comparison::AtLeast),
        ("<", Comparison::Less),
        (">", Comparison::More),
        ("=", Comparison::Equal),
    ];
    let found = SIGNS.into_iter().find_map(|(sign, comparison)| Some((Some(comparison), value.strip_prefix(sign)?)));
    found.unwrap_or((None, value))
}

/// The pattern that a value spells, `None` when it is empty.
fn parse_pattern(value: &str) -> Result<Option<Pattern>, String> {
    let Some(quoted) = value.strip_prefix('"') else {
        return Ok((!value.is_empty()).then(|| Pattern::new(value)));
    };
    let inside = quoted_part(quoted)?;
    Ok((!inside.is_empty()).then(|| Pattern::unescape(inside)))
}

/// What stands before the closing quote, which has to be the end.
fn quoted_part(text: &str) -> Result<&str, String> {
    let mut escaped = false;
    let end = text.find(|character| {
        let closing = character == '"' && !escaped;
        escaped = character == '\\' && !escaped;
        closing
    });
    match end {
        None => Err("the quote is never closed".to_owned()),
        Some(end) if end + 1 < text.len() => Err("a space is missing after the quote".to_owned()),
        Some(end) => Ok(&text[..end]),
    }
}
