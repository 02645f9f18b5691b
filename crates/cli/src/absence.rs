//! Says why entries are not where the configuration looks for them: another prefix or version, or another database.

use std::time::Duration;

use quash_config::Finding;
use quash_core::location::Location;
use quash_store::{KeyCount, KeyPattern, Store, StoreError, Survey};

use super::screen;

/// What says how the keys are spelt that were looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Whose<'w> {
    /// The `key_format` of this target.
    Target(&'w str),
    /// The `key_format` of this cache, or its library's version.
    Cache(&'w str),
}

/// What a pass over the keys of a target saw of one cache.
pub(super) struct Seen<'s> {
    pub(super) location: &'s Location,
    /// Over all patterns of the cache.
    pub(super) counts: KeyCount,
    /// How many keys the target holds.
    pub(super) keys: u64,
    pub(super) complete: bool,
}

/// What to look for to see the entries of a cache.
pub(super) fn patterns(location: &Location) -> impl Iterator<Item = KeyPattern> + '_ {
    location
        .entries
        .keys
        .iter()
        .map(|logical| KeyPattern { logical: logical.clone(), prefixes: location.prefixes.clone() })
}

/// Who says how the keys of a cache are spelt on a target.
pub(super) fn whose(location: &Location) -> Whose<'_> {
    if location.own_format { Whose::Cache(&location.cache) } else { Whose::Target(&location.target) }
}

/// Whether keys of the same looks behind this prefix are those of another declared cache.
pub(super) fn is_of_another(location: &Location, prefix: &str, all: &[Location]) -> bool {
    let others = all.iter().filter(|other| other.target == location.target && other.cache != location.cache);
    let mut behind = others.filter(|other| other.prefixes.iter().any(|known| **known == *prefix));
    behind.any(|other| other.entries.keys.iter().any(|pattern| location.entries.keys.contains(pattern)))
}

/// Looks for keys, where the target can be asked.
///
/// # Errors
/// As [`quash_store::Questions::survey`], and [`StoreError::Refused`] where it cannot.
pub(crate) async fn survey(store: &dyn Store, patterns: &[KeyPattern], limit: Duration) -> Result<Survey, StoreError> {
    store.ask()?.survey(patterns, limit).await
}

/// One finding that says that no more could be found out.
pub(super) fn unanswered(why: impl std::fmt::Display) -> Finding {
    Finding::warning(format!("its keys could not be looked at: {why}"), "grant +scan to look for entries")
}

impl<'s> Seen<'s> {
    /// Takes what belongs to a cache out of a pass; `counts` are those of its patterns. What is elsewhere does not count
    /// where another of the declared caches put it.
    pub(super) fn of(location: &'s Location, counts: &[KeyCount], survey: &Survey, all: &[Location]) -> Self {
        let mut sum = KeyCount::default();
        for seen in counts {
            sum.here += seen.here;
            sum.under = sum.under.max(seen.under);
            seen.elsewhere.iter().for_each(|(prefix, keys)| *sum.elsewhere.entry(prefix.clone()).or_default() += keys);
        }
        sum.elsewhere.retain(|prefix, _| !is_of_another(location, prefix, all));
        Self { location, counts: sum, keys: survey.keys, complete: survey.complete }
    }

    /// How many entries the cache has, or why it seems to have none.
    pub(super) fn finding(&self) -> Finding {
        let cache = &self.location.cache;
        let patterns = self.patterns();
        if self.location.entries.keys.is_empty() {
            return Finding::ok(format!("cache {cache}: its keys cannot be told from others, so they are not counted"));
        }
        if self.counts.here > 0 {
            return Finding::ok(format!("cache {cache}: {} ({patterns}){}", self.entries(), self.among()));
        }
        match self.most_elsewhere() {
            _ if self.keys == 0 => Finding::ok(format!("cache {cache}: no entry ({patterns}), the database is empty")),
            Some((prefix, keys)) => self.elsewhere(prefix, keys),
            None if !self.complete => {
                Finding::ok(format!("cache {cache}: no entry seen ({patterns}); time was over before all keys were"))
            }
            None if self.counts.under == 0 => Finding::warning(
                format!(
                    "cache {cache}: no entry, and {} begins with {}",
                    self.none_of(),
                    shown(&self.location.prefixes)
                ),
                "compare the target's address, database and key_format with the application's",
            ),
            None => Finding::warning(
                format!("cache {cache}: no entry: {} looks like {patterns}", self.none_of()),
                "fine if nothing is cached yet; else compare with a key of the application: quash explain --live KEY",
            ),
        }
    }

    /// What the keys look like, behind the first prefix.
    pub(super) fn patterns(&self) -> String {
        let prefix = self.location.prefixes.first().map_or("", |prefix| prefix);
        let patterns = self.location.entries.keys.iter().map(|logical| logical.behind(prefix).text().to_owned());
        patterns.collect::<Vec<_>>().join(", ").replace(&"[0-9a-f]".repeat(32), "[0-9a-f]{32}")
    }

    fn entries(&self) -> String {
        let (least, there) = (if self.complete { "" } else { "at least " }, self.counts.here);
        format!("{least}{}", super::output::count(there, "entry", "entries"))
    }

    fn among(&self) -> &'static str {
        if self.location.entries.shared { ", among them those of its library's other caches" } else { "" }
    }

    fn none_of(&self) -> String {
        match self.keys {
            1 => "not even the only key of the database".to_owned(),
            keys => format!("none of the {} keys of the database", super::output::thousands(keys)),
        }
    }

    fn most_elsewhere(&self) -> Option<(&str, u64)> {
        let most = self.counts.elsewhere.iter().max_by_key(|(_, keys)| **keys);
        most.map(|(prefix, keys)| (prefix.as_str(), *keys))
    }

    fn elsewhere(&self, prefix: &str, keys: u64) -> Finding {
        let (why, mend) = mismatch(&self.location.prefixes, prefix, whose(self.location));
        let there = screen::count(usize::try_from(keys).unwrap_or(usize::MAX), "key");
        let found = format!("{there} behind {}", shown(&[prefix.into()]));
        let what = format!(
            "cache {}: no entry behind {}, but {found}: {why}",
            self.location.cache,
            shown(&self.location.prefixes)
        );
        Finding::warning(what, mend)
    }
}

fn shown(prefixes: &[Box<str>]) -> String {
    let quoted = |prefix: &str| if prefix.is_empty() { "nothing".to_owned() } else { format!("`{prefix}`") };
    prefixes.iter().map(|prefix| quoted(prefix)).collect::<Vec<_>>().join(" or ")
}

/// What stands before a logical key, taken apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Prefix<'h> {
    Plain,
    Django { prefix: &'h str, version: &'h str },
    Other(&'h str),
}

impl<'h> Prefix<'h> {
    fn read(prefix: &'h str) -> Self {
        let django = prefix.strip_suffix(':').and_then(|prefix| prefix.rsplit_once(':'));
        match django {
            _ if prefix.is_empty() => Self::Plain,
            Some((prefix, version)) if !version.is_empty() && version.bytes().all(|byte| byte.is_ascii_digit()) => {
                Self::Django { prefix, version }
            }
            _ => Self::Other(prefix),
        }
    }

    fn text(self) -> String {
        match self {
            Self::Plain => "plain keys".to_owned(),
            Self::Django { prefix: "", version } => format!("no prefix and version {version}"),
            Self::Django { prefix, version } => format!("prefix `{prefix}` and version {version}"),
            Self::Other(prefix) => format!("keys behind `{prefix}`"),
        }
    }

    /// The format that spells such keys, as configuration.
    fn format(self) -> String {
        match self {
            Self::Plain => "plain".to_owned(),
            Self::Django { prefix: "", version } => format!("{{ django: {{ version: {version} }} }}"),
            Self::Django { prefix, version } => {
                format!("{{ django: {{ prefix: {}, version: {version} }} }}", serde_json::Value::from(prefix))
            }
            Self::Other(prefix) => {
                format!("{{ prefixed: {{ prefix: {}, delimiter: \"\" }} }}", serde_json::Value::from(prefix))
            }
        }
    }
}

/// How what the application writes differs from what is configured, and what to change.
pub(super) fn mismatch(prefixes: &[Box<str>], found: &str, whose: Whose<'_>) -> (String, String) {
    let (says, location) = match whose {
        Whose::Target(target) => ("the target's key_format says".to_owned(), format!("targets.{target}.key_format")),
        Whose::Cache(cache) => {
            (format!("the key_format of cache {cache} or its library says"), format!("caches.{cache}.key_format"))
        }
    };
    let found = Prefix::read(found);
    let (ours, theirs) = difference(nearest(prefixes, found), found);
    let mend = format!("set `{location}: {}`; a list of both covers a rolling deploy", found.format());
    (format!("{says} {ours}, the application writes {theirs}"), mend)
}

/// The known prefix that differs least.
fn nearest<'h>(prefixes: &'h [Box<str>], found: Prefix<'_>) -> Prefix<'h> {
    let shares = |known: &Prefix<'_>| match (known, found) {
        (Prefix::Django { prefix, version }, Prefix::Django { prefix: theirs, version: newer }) => {
            usize::from(*prefix == theirs) + usize::from(*version == newer)
        }
        _ => 0,
    };
    prefixes.iter().map(|prefix| Prefix::read(prefix)).max_by_key(shares).unwrap_or(Prefix::Plain)
}

fn difference(ours: Prefix<'_>, theirs: Prefix<'_>) -> (String, String) {
    let named = |prefix: &str| if prefix.is_empty() { "no prefix".to_owned() } else { format!("prefix `{prefix}`") };
    match (ours, theirs) {
        (Prefix::Django { prefix, version }, Prefix::Django { prefix: same, version: newer }) if prefix == same => {
            (format!("version {version}"), format!("version {newer}"))
        }
        (Prefix::Django { prefix, version }, Prefix::Django { prefix: other, version: same }) if version == same => {
            (named(prefix), named(other))
        }
        _ => (ours.text(), theirs.text()),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use quash_config::Severity;
    use quash_core::glob::Glob;
    use quash_core::key::Entries;
    use quash_core::rule::freshness::{Freshness, Layout};

    use super::*;

    fn location(prefix: &str) -> Location {
        Location {
            cache: "product".to_owned(),
            target: "main".to_owned(),
            prefixes: vec![prefix.into()],
            own_format: false,
            entries: Entries { keys: vec![Glob::parse("product:*").unwrap()], tags: Vec::new(), shared: false },
            freshness: Freshness::None,
            layout: Layout::Framed,
        }
    }

    fn finding(prefix: &str, here: u64, under: u64, elsewhere: &[(&str, u64)], keys: u64) -> (Severity, String) {
        let elsewhere: BTreeMap<_, _> = elsewhere.iter().map(|(prefix, keys)| ((*prefix).to_owned(), *keys)).collect();
        let (mut counts, mut survey) = (KeyCount::default(), Survey::default());
        (counts.here, counts.under, counts.elsewhere) = (here, under, elsewhere);
        (survey.counts, survey.keys, survey.complete) = (vec![counts], keys, true);
        let location = location(prefix);
        let finding = Seen::of(&location, &survey.counts, &survey, &[]).finding();
        assert_eq!(finding.severity == Severity::Ok, finding.mend.is_empty(), "{finding:?}");
        (finding.severity, finding.what)
    }

    #[test]
    fn another_prefix_or_version_is_told_with_what_to_set() {
        let check = |prefixes: &[&str], found: &str, why: &str, mend: &str| {
            let prefixes: Vec<Box<str>> = prefixes.iter().map(|prefix| (*prefix).into()).collect();
            let said = mismatch(&prefixes, found, Whose::Target("main"));
            let mend = format!("set `targets.main.key_format: {mend}`; a list of both covers a rolling deploy");
            assert_eq!(said, (format!("the target's key_format says {why}"), mend), "{prefixes:?} {found}");
        };
        check(&[":1:"], ":2:", "version 1, the application writes version 2", "{ django: { version: 2 } }");
        check(
            &["shop:1:"],
            "store:1:",
            "prefix `shop`, the application writes prefix `store`",
            "{ django: { prefix: \"store\", version: 1 } }",
        );
        check(
            &[":1:"],
            "a:b:1:",
            "no prefix, the application writes prefix `a:b`",
            "{ django: { prefix: \"a:b\", version: 1 } }",
        );
        check(
            &["shop:1:"],
            ":2:",
            "prefix `shop` and version 1, the application writes no prefix and version 2",
            "{ django: { version: 2 } }",
        );
        check(
            &["old:1:", "shop:2:"],
            "shop:3:",
            "version 2, the application writes version 3",
            "{ django: { prefix: \"shop\", version: 3 } }",
        );
        check(&[""], ":1:", "plain keys, the application writes no prefix and version 1", "{ django: { version: 1 } }");
        check(&["app/"], "", "keys behind `app/`, the application writes plain keys", "plain");
        let own = mismatch(&[":1:".into()], ":2:", Whose::Cache("price"));
        assert!(
            own.0.contains("of cache price or its library") && own.1.contains("caches.price.key_format"),
            "{own:?}"
        );
    }

    #[test]
    fn a_cache_without_entries_is_doubtful_only_in_a_database_with_keys() {
        use Severity::{Ok, Warning};
        let check = |(severity, what): (Severity, String), expect: Severity, words: &[&str]| {
            assert_eq!(severity, expect, "{what}");
            words.iter().for_each(|word| assert!(what.contains(word), "{word} in {what}"));
        };
        check(finding(":1:", 3, 5, &[(":2:", 9)], 20), Ok, &["product: 3 entries (:1:product:*)"]);
        check(finding(":1:", 0, 0, &[], 0), Ok, &["database is empty"]);
        check(
            finding(":1:", 0, 5, &[(":2:", 9), ("", 1)], 20),
            Warning,
            &["`:1:`", "9 keys behind `:2:`", "version 2"],
        );
        check(finding(":1:", 0, 0, &[], 2000), Warning, &["none of the 2,000 keys", "begins with `:1:`"]);
        check(finding("", 0, 20, &[], 20), Warning, &["none of the 20 keys", "looks like product:*"]);
        check(finding("", 0, 1, &[], 1), Warning, &["the only key of the database"]);
    }

    #[test]
    fn what_another_declared_cache_wrote_is_no_clue() {
        let mut other = location(":2:");
        other.cache = "newer".to_owned();
        assert!(is_of_another(&location(":1:"), ":2:", &[location(":2:"), other.clone()]));
        assert!(!is_of_another(&location(":1:"), ":2:", &[location(":2:")]), "it is the cache itself");
        assert!(!is_of_another(&location(":1:"), ":3:", &[other.clone()]));
        other.target = "eu".to_owned();
        assert!(!is_of_another(&location(":1:"), ":2:", &[other]));
    }

    #[test]
    fn a_pass_that_ran_out_of_time_gives_lower_bounds_and_no_warning() {
        let found = |here| {
            let (mut counts, mut survey) = (KeyCount::default(), Survey::default());
            counts.here = here;
            (survey.counts, survey.keys) = (vec![counts], 9);
            Seen::of(&location(":1:"), &survey.counts, &survey, &[]).finding()
        };
        assert!(found(4).what.contains("at least 4 entries"));
        assert_eq!(found(0).severity, Severity::Ok);
    }
}
