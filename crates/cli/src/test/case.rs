//! Runs one case: its event through the rules, compared with what it expects.

use std::collections::BTreeSet;

use quash_core::event::{DecodeError, Format, Payload};
use quash_core::explain::{Explanation, RuleVerdict};
use quash_core::resolve::{Refused, Request, Resolution, Resolved, Resolver};
use serde::Serialize;

use quash_delivery::record::Reason;
use quash_dispatch::config::{Expectation, TestCase};

/// What came of one case.
#[derive(Debug, Serialize)]
pub(crate) struct Ran {
    pub(crate) name: String,
    /// The file that the case stands in, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) file: Option<String>,
    /// Its line there, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) line: Option<usize>,
    pub(crate) passed: bool,
    /// Lines for people: `-` was expected and is missing, `+` is there and was not expected.
    pub(crate) differences: Vec<String>,
    #[serde(skip)]
    pub(crate) exercised: Vec<Exercised>,
}

/// A dependency that made its cache stale.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Exercised {
    pub(crate) cache: String,
    /// What it depends on, as `row shop.Book`.
    pub(crate) on: String,
    /// Its index in the cache's `depends_on`; `None` is any that is on the same.
    pub(crate) index: Option<usize>,
}

/// Runs one case.
pub(crate) fn run(resolver: &Resolver, case: &TestCase) -> Ran {
    let body = case.event.to_string();
    let payload = Payload { body: body.as_bytes(), headers: &[] };
    let request = Request::fresh(payload, Format::Auto);
    let given = Given::of(resolver, &request);
    let differences = compare(&case.expect, &given);
    Ran {
        name: case.name.clone(),
        file: None,
        line: None,
        passed: differences.is_empty(),
        differences,
        exercised: given.exercised,
    }
}

/// What an event asks for.
#[derive(Debug, Default)]
struct Given {
    caches: BTreeSet<String>,
    actions: BTreeSet<String>,
    refused: Option<(Reason, String)>,
    exercised: Vec<Exercised>,
}

impl Given {
    fn of(resolver: &Resolver, request: &Request<'_>) -> Self {
        let resolution = resolver.resolve(std::slice::from_ref(request));
        let explanation = resolver.explain(request);
        Self {
            caches: explanation.iter().flat_map(caches).collect(),
            actions: actions(resolver, &resolution),
            refused: resolution.outcomes.first().and_then(refused),
            exercised: explanation.iter().flat_map(exercised).collect(),
        }
    }
}

fn caches(explanation: &Explanation) -> impl Iterator<Item = String> {
    explanation.changes.iter().flat_map(|change| &change.caches).map(|cache| cache.cache.clone())
}

fn actions(resolver: &Resolver, resolution: &Resolution) -> BTreeSet<String> {
    let shares = resolution.plan.shares.iter().map(|share| (&resolver.targets()[usize::from(share.target.0)], share));
    let each = |(target, share): (&String, &quash_core::plan::Share)| {
        let lines = share.actions.iter().map(|action| format!("{target} {} {}", action.kind(), action.object()));
        lines.collect::<Vec<_>>()
    };
    shares.flat_map(each).collect()
}

fn refused(outcome: &Resolved) -> Option<(Reason, String)> {
    let Resolved::Refused(refused) = outcome else { return None };
    let reason = match refused {
        Refused::Decode(DecodeError::Malformed(_)) => Reason::Decode,
        Refused::Decode(DecodeError::Limit { .. }) | Refused::Limit { .. } => Reason::Limit,
        Refused::Rule(_) => Reason::Rule,
    };
    Some((reason, refused.to_string()))
}

/// The dependencies that made a cache stale: rows and relations that matched, and caches that were expanded.
fn exercised(explanation: &Explanation) -> Vec<Exercised> {
    let mut exercised = Vec::new();
    for change in &explanation.changes {
        let matched = change.rules.iter().filter(|rule| matches!(rule.verdict, RuleVerdict::Matched { .. }));
        exercised.extend(matched.map(|rule| Exercised {
            cache: rule.cache.clone(),
            on: rule.on.clone(),
            index: Some(rule.index),
        }));
        for stale in &change.caches {
            let through = stale.through.iter().map(|upstream| format!("cache {upstream}"));
            exercised.extend(through.map(|on| Exercised { cache: stale.cache.clone(), on, index: None }));
        }
    }
    exercised
}

/// Lines that say what differs; none when all is as expected.
fn compare(expect: &Expectation, given: &Given) -> Vec<String> {
    match (&expect.dead_letter, &given.refused) {
        (Some(wanted), Some((reason, error))) if reason.name() == wanted || error.contains(wanted.as_str()) => {
            Vec::new()
        }
        (Some(wanted), Some((reason, error))) => {
            vec!["dead letter:".to_owned(), format!("- {wanted}"), format!("+ {}: {error}", reason.name())]
        }
        (Some(wanted), None) => vec!["dead letter:".to_owned(), format!("- {wanted}"), "+ none".to_owned()],
        (None, Some((reason, error))) => {
            vec!["it becomes a dead letter:".to_owned(), format!("+ {}: {error}", reason.name())]
        }
        (None, None) => compare_sets(expect, given),
    }
}

fn compare_sets(expect: &Expectation, given: &Given) -> Vec<String> {
    let actions = expect.actions.as_ref().map(|actions| {
        let each = actions.iter().flatten();
        each.flat_map(|(target, does)| does.iter().map(move |(kind, object)| format!("{target} {kind} {object}")))
            .collect()
    });
    let caches = expect.caches.as_ref().map(|caches| caches.iter().cloned().collect());
    if caches.is_none() && actions.is_none() {
        return vec!["expects nothing, so it cannot fail: say `caches`, `actions` or `dead_letter`".to_owned()];
    }
    let mut lines = differences("caches:", caches, &given.caches);
    lines.extend(differences("actions:", actions, &given.actions));
    lines
}

/// Everything in either set with its mark, so that a missing line is seen beside the line it should have been.
fn differences(heading: &str, expect: Option<BTreeSet<String>>, given: &BTreeSet<String>) -> Vec<String> {
    let Some(expect) = expect.filter(|expect| expect != given) else { return Vec::new() };
    let marked = expect.union(given).map(|line| match (expect.contains(line), given.contains(line)) {
        (true, false) => format!("- {line}"),
        (false, true) => format!("+ {line}"),
        _ => format!("  {line}"),
    });
    std::iter::once(heading.to_owned()).chain(marked).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(caches: &[&str], actions: &[&str], refused: Option<(Reason, &str)>) -> Given {
        let set = |texts: &[&str]| texts.iter().map(|&text| text.to_owned()).collect();
        Given {
            caches: set(caches),
            actions: set(actions),
            refused: refused.map(|(reason, error)| (reason, error.to_owned())),
            exercised: Vec::new(),
        }
    }

    #[test]
    fn expectations_are_compared_as_sets() {
        let check = |expect: &str, given: &Given, differences: &[&str]| {
            let expectation: Expectation = serde_json::from_str(expect).unwrap();
            assert_eq!(compare(&expectation, given), differences, "{expect}");
        };
        let both = given(&["page", "home"], &["main bump a:3", "main bump a:4"], None);
        check(r#"{"caches": ["home", "page"]}"#, &both, &[]);
        check(r#"{"actions": [{"main": {"bump": "a:4"}}, {"main": {"bump": "a:3"}}]}"#, &both, &[]);
        check(
            r#"{"caches": ["page"], "actions": [{"main": {"bump": "a:3"}}, {"eu": {"bump": "a:4"}}]}"#,
            &both,
            &["caches:", "+ home", "  page", "actions:", "- eu bump a:4", "  main bump a:3", "+ main bump a:4"],
        );
        check(r#"{"caches": []}"#, &given(&[], &[], None), &[]);
        check("{}", &both, &["expects nothing, so it cannot fail: say `caches`, `actions` or `dead_letter`"]);
    }

    #[test]
    fn a_dead_letter_is_expected_by_reason_or_by_words() {
        let check = |expect: &str, given: &Given, passes: bool| {
            let expectation: Expectation = serde_json::from_str(expect).unwrap();
            assert_eq!(compare(&expectation, given).is_empty(), passes, "{expect}");
        };
        let refused = given(&[], &[], Some((Reason::Rule, "cache page: column id is unknown")));
        check(r#"{"dead_letter": "rule"}"#, &refused, true);
        check(r#"{"dead_letter": "column id is unknown"}"#, &refused, true);
        check(r#"{"dead_letter": "decode"}"#, &refused, false);
        check(r#"{"caches": []}"#, &refused, false);
        check(r#"{"dead_letter": "rule"}"#, &given(&["page"], &[], None), false);
    }
}
