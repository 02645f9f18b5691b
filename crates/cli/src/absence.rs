//! Says why entries are not where the configuration looks for them: another prefix or version, or another database.

use std::time::Duration;

use quash_config::Finding;
use quash_core::whereabouts::Whereabouts;
use quash_store::{Sighted, Sought, Store, StoreError, Survey};

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
    pub(super) place: &'s Whereabouts,
    /// Over all patterns of the cache.
    pub(super) sighted: Sighted,
    /// How many keys the target holds.
    pub(super) keys: u64,
    pub(super) complete: bool,
}

/// What to look for to see the entries of a cache.
pub(super) fn sought(place: &Whereabouts) -> impl Iterator<Item = Sought> + '_ {
    place.entries.keys.iter().map(|logical| Sought { logical: logical.clone(), heads: place.heads.clone() })
}

/// Who says how the keys of a cache are spelt on a target.
pub(super) fn whose(place: &Whereabouts) -> Whose<'_> {
    if place.own_format { Whose::Cache(&place.cache) } else { Whose::Target(&place.target) }
}

/// Whether keys of the same looks behind this head are those of another declared cache.
pub(super) fn is_of_another(place: &Whereabouts, head: &str, all: &[Whereabouts]) -> bool {
    let others = all.iter().filter(|other| other.target == place.target && other.cache != place.cache);
    let mut behind = others.filter(|other| other.heads.iter().any(|known| **known == *head));
    behind.any(|other| other.entries.keys.iter().any(|pattern| place.entries.keys.contains(pattern)))
}

/// Looks for keys, where the target can be asked.
///
/// # Errors
/// As [`quash_store::Questions::survey`], and [`StoreError::Refused`] where it cannot.
pub(crate) async fn survey(store: &dyn Store, sought: &[Sought], limit: Duration) -> Result<Survey, StoreError> {
    store.ask()?.survey(sought, limit).await
}

/// One finding that says that no more could be found out.
pub(super) fn unanswered(why: impl std::fmt::Display) -> Finding {
    Finding::warning(format!("its keys could not be looked at: {why}"), "grant +scan to look for entries")
}

impl<'s> Seen<'s> {
    /// Takes what belongs to a cache out of a pass; `sighted` are those of its patterns. What is elsewhere does not count
    /// where another of the declared caches put it.
    pub(super) fn of(place: &'s Whereabouts, sighted: &[Sighted], survey: &Survey, all: &[Whereabouts]) -> Self {
        let mut sum = Sighted::default();
        for seen in sighted {
            sum.here += seen.here;
            sum.under = sum.under.max(seen.under);
            seen.elsewhere.iter().for_each(|(head, keys)| *sum.elsewhere.entry(head.clone()).or_default() += keys);
        }
        sum.elsewhere.retain(|head, _| !is_of_another(place, head, all));
        Self { place, sighted: sum, keys: survey.keys, complete: survey.complete }
    }

    /// How many entries the cache has, or why it seems to have none.
    pub(super) fn finding(&self) -> Finding {
        let cache = &self.place.cache;
        let patterns = self.patterns();
        if self.place.entries.keys.is_empty() {
            return Finding::ok(format!("cache {cache}: its keys cannot be told from others, so they are not counted"));
        }
        if self.sighted.here > 0 {
            return Finding::ok(format!("cache {cache}: {} ({patterns}){}", self.entries(), self.among()));
        }
        match self.most_elsewhere() {
            _ if self.keys == 0 => Finding::ok(format!("cache {cache}: no entry ({patterns}), the database is empty")),
            Some((head, keys)) => self.elsewhere(head, keys),
            None if !self.complete => {
                Finding::ok(format!("cache {cache}: no entry seen ({patterns}); time was over before all keys were"))
            }
            None if self.sighted.under == 0 => Finding::warning(
                format!("cache {cache}: no entry, and {} begins with {}", self.none_of(), shown(&self.place.heads)),
                "compare the target's address, database and key_format with the application's",
            ),
            None => Finding::warning(
                format!("cache {cache}: no entry: {} looks like {patterns}", self.none_of()),
                "fine if nothing is cached yet; else compare with a key of the application: quash explain --live KEY",
            ),
        }
    }

    /// What the keys look like, behind the first head.
    pub(super) fn patterns(&self) -> String {
        let head = self.place.heads.first().map_or("", |head| head);
        let patterns = self.place.entries.keys.iter().map(|logical| logical.behind(head).text().to_owned());
        patterns.collect::<Vec<_>>().join(", ").replace(&"[0-9a-f]".repeat(32), "[0-9a-f]{32}")
    }

    fn entries(&self) -> String {
        let (least, there) = (if self.complete { "" } else { "at least " }, self.sighted.here);
        format!("{least}{}", super::output::count(there, "entry", "entries"))
    }

    fn among(&self) -> &'static str {
        if self.place.entries.shared { ", among them those of its library's other caches" } else { "" }
    }

    fn none_of(&self) -> String {
        match self.keys {
            1 => "not even the only key of the database".to_owned(),
            keys => format!("none of the {} keys of the database", super::output::thousands(keys)),
        }
    }

    fn most_elsewhere(&self) -> Option<(&str, u64)> {
        let most = self.sighted.elsewhere.iter().max_by_key(|(_, keys)| **keys);
        most.map(|(head, keys)| (head.as_str(), *keys))
    }

    fn elsewhere(&self, head: &str, keys: u64) -> Finding {
        let (why, mend) = mismatch(&self.place.heads, head, whose(self.place));
        let there = screen::count(usize::try_from(keys).unwrap_or(usize::MAX), "key");
        let found = format!("{there} behind {}", shown(&[head.into()]));
        let what =
            format!("cache {}: no entry behind {}, but {found}: {why}", self.place.cache, shown(&self.place.heads));
        Finding::warning(what, mend)
    }
}

fn shown(heads: &[Box<str>]) -> String {
    let quoted = |head: &str| if head.is_empty() { "nothing".to_owned() } else { format!("`{head}`") };
    heads.iter().map(|head| quoted(head)).collect::<Vec<_>>().join(" or ")
}

/// What stands before a logical key, taken apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Head<'h> {
    Plain,
    Django { prefix: &'h str, version: &'h str },
    Other(&'h str),
}

impl<'h> Head<'h> {
    fn read(head: &'h str) -> Self {
        let django = head.strip_suffix(':').and_then(|head| head.rsplit_once(':'));
        match django {
            _ if head.is_empty() => Self::Plain,
            Some((prefix, version)) if !version.is_empty() && version.bytes().all(|byte| byte.is_ascii_digit()) => {
                Self::Django { prefix, version }
            }
            _ => Self::Other(head),
        }
    }

    fn text(self) -> String {
        match self {
            Self::Plain => "plain keys".to_owned(),
            Self::Django { prefix: "", version } => format!("no prefix and version {version}"),
            Self::Django { prefix, version } => format!("prefix `{prefix}` and version {version}"),
            Self::Other(head) => format!("keys behind `{head}`"),
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
            Self::Other(head) => {
                format!("{{ prefixed: {{ prefix: {}, delimiter: \"\" }} }}", serde_json::Value::from(head))
            }
        }
    }
}

/// How what the application writes differs from what is configured, and what to change.
pub(super) fn mismatch(heads: &[Box<str>], found: &str, whose: Whose<'_>) -> (String, String) {
    let (says, place) = match whose {
        Whose::Target(target) => ("the target's key_format says".to_owned(), format!("targets.{target}.key_format")),
        Whose::Cache(cache) => {
            (format!("the key_format of cache {cache} or its library says"), format!("caches.{cache}.key_format"))
        }
    };
    let found = Head::read(found);
    let (ours, theirs) = difference(nearest(heads, found), found);
    let mend = format!("set `{place}: {}`; a list of both covers a rolling deploy", found.format());
    (format!("{says} {ours}, the application writes {theirs}"), mend)
}

/// The known head that differs least.
fn nearest<'h>(heads: &'h [Box<str>], found: Head<'_>) -> Head<'h> {
    let shares = |known: &Head<'_>| match (known, found) {
        (Head::Django { prefix, version }, Head::Django { prefix: theirs, version: newer }) => {
            usize::from(*prefix == theirs) + usize::from(*version == newer)
        }
        _ => 0,
    };
    heads.iter().map(|head| Head::read(head)).max_by_key(shares).unwrap_or(Head::Plain)
}

fn difference(ours: Head<'_>, theirs: Head<'_>) -> (String, String) {
    let named = |prefix: &str| if prefix.is_empty() { "no prefix".to_owned() } else { format!("prefix `{prefix}`") };
    match (ours, theirs) {
        (Head::Django { prefix, version }, Head::Django { prefix: same, version: newer }) if prefix == same => {
            (format!("version {version}"), format!("version {newer}"))
        }
        (Head::Django { prefix, version }, Head::Django { prefix: other, version: same }) if version == same => {
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

    fn place(head: &str) -> Whereabouts {
        Whereabouts {
            cache: "product".to_owned(),
            target: "main".to_owned(),
            heads: vec![head.into()],
            own_format: false,
            entries: Entries { keys: vec![Glob::parse("product:*").unwrap()], tags: Vec::new(), shared: false },
            freshness: Freshness::None,
            layout: Layout::Framed,
        }
    }

    fn finding(head: &str, here: u64, under: u64, elsewhere: &[(&str, u64)], keys: u64) -> (Severity, String) {
        let elsewhere: BTreeMap<_, _> = elsewhere.iter().map(|(head, keys)| ((*head).to_owned(), *keys)).collect();
        let (mut sighted, mut survey) = (Sighted::default(), Survey::default());
        (sighted.here, sighted.under, sighted.elsewhere) = (here, under, elsewhere);
        (survey.sighted, survey.keys, survey.complete) = (vec![sighted], keys, true);
        let place = place(head);
        let finding = Seen::of(&place, &survey.sighted, &survey, &[]).finding();
        assert_eq!(finding.severity == Severity::Ok, finding.mend.is_empty(), "{finding:?}");
        (finding.severity, finding.what)
    }

    #[test]
    fn another_prefix_or_version_is_told_with_what_to_set() {
        let check = |heads: &[&str], found: &str, why: &str, mend: &str| {
            let heads: Vec<Box<str>> = heads.iter().map(|head| (*head).into()).collect();
            let told = mismatch(&heads, found, Whose::Target("main"));
            let mend = format!("set `targets.main.key_format: {mend}`; a list of both covers a rolling deploy");
            assert_eq!(told, (format!("the target's key_format says {why}"), mend), "{heads:?} {found}");
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
        let mut other = place(":2:");
        other.cache = "newer".to_owned();
        assert!(is_of_another(&place(":1:"), ":2:", &[place(":2:"), other.clone()]));
        assert!(!is_of_another(&place(":1:"), ":2:", &[place(":2:")]), "it is the cache itself");
        assert!(!is_of_another(&place(":1:"), ":3:", &[other.clone()]));
        other.target = "eu".to_owned();
        assert!(!is_of_another(&place(":1:"), ":2:", &[other]));
    }

    #[test]
    fn a_pass_that_ran_out_of_time_gives_lower_bounds_and_no_warning() {
        let told = |here| {
            let (mut sighted, mut survey) = (Sighted::default(), Survey::default());
            sighted.here = here;
            (survey.sighted, survey.keys) = (vec![sighted], 9);
            Seen::of(&place(":1:"), &survey.sighted, &survey, &[]).finding()
        };
        assert!(told(4).what.contains("at least 4 entries"));
        assert_eq!(told(0).severity, Severity::Ok);
    }
}
