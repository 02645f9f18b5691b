//! Counts the keys of caches in one pass, and notices those that stand behind another prefix or version.

use std::collections::BTreeMap;

use quash_core::glob::Glob;
use quash_core::glob::Matcher;

/// How many other prefixes are told apart for one pattern; a database has few.
const PREFIXES_MAX: usize = 8;
/// How many places of a key are tried as the end of Django's prefix and version: the prefix may hold `:1:` itself.
const STARTS_MAX: usize = 4;

/// Logical keys that are looked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyPattern {
    /// What they look like.
    pub logical: Glob,
    /// What should stand before them; empty text where nothing does.
    pub prefixes: Vec<Box<str>>,
}

/// Where logical keys were seen.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct KeyCount {
    /// How many stand behind one of the prefixes.
    pub here: u64,
    /// How many stand behind another `prefix:version:` of Django, or behind nothing, by that text.
    pub elsewhere: BTreeMap<String, u64>,
    /// How many keys of any kind stand behind one of the prefixes.
    pub under: u64,
}

/// What a pass over the keys saw.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Survey {
    /// One per pattern that was asked for, in their order.
    pub counts: Vec<KeyCount>,
    /// How many keys the cache holds; 0 also where it does not say.
    pub keys: u64,
    /// Whether the pass came round within its time; else every number is a lower bound.
    pub complete: bool,
}

/// Looks at keys one by one.
pub(super) struct Looker<'s> {
    patterns: Vec<(&'s KeyPattern, Matcher)>,
    counts: Vec<KeyCount>,
}

impl<'s> Looker<'s> {
    pub(super) fn new(patterns: &'s [KeyPattern]) -> Self {
        Self {
            counts: vec![KeyCount::default(); patterns.len()],
            patterns: patterns.iter().map(|pattern| (pattern, pattern.logical.matcher())).collect(),
        }
    }

    pub(super) fn see(&mut self, key: &[u8]) {
        let starts = starts(key);
        for ((pattern, matcher), count) in self.patterns.iter().zip(&mut self.counts) {
            count.see(key, &starts, &pattern.prefixes, matcher);
        }
    }

    pub(super) fn finish(self) -> Vec<KeyCount> {
        self.counts
    }
}

impl KeyCount {
    fn see(&mut self, key: &[u8], starts: &[usize], prefixes: &[Box<str>], matcher: &Matcher) {
        let behind = || prefixes.iter().filter_map(|prefix| key.strip_prefix(prefix.as_bytes()));
        self.under += u64::from(behind().next().is_some());
        if behind().any(|logical| matcher.matches(logical)) {
            self.here += 1;
        } else if let Some(start) = starts.iter().find(|start| matcher.matches(&key[**start..])) {
            self.note(&String::from_utf8_lossy(&key[..*start]), 1);
        }
    }

    fn note(&mut self, prefix: &str, keys: u64) {
        if let Some(known) = self.elsewhere.get_mut(prefix) {
            *known += keys;
        } else if self.elsewhere.len() < PREFIXES_MAX {
            self.elsewhere.insert(prefix.to_owned(), keys);
        }
    }

    /// Adds what was seen elsewhere in the same pass.
    #[cfg(feature = "redis")]
    pub(super) fn merge(&mut self, other: &Self) {
        self.here += other.here;
        self.under += other.under;
        other.elsewhere.iter().for_each(|(prefix, keys)| self.note(prefix, *keys));
    }
}

/// Where the logical key may begin: at the start, or behind Django's `prefix:version:`.
#[must_use]
pub fn starts(key: &[u8]) -> Vec<usize> {
    let mut starts = vec![0];
    let colons = key.iter().enumerate().filter(|(_, byte)| **byte == b':').map(|(start, _)| start);
    let mut last = None;
    for colon in colons {
        let digits = last.map(|last: usize| &key[last + 1..colon]).unwrap_or_default();
        if !digits.is_empty() && digits.iter().all(u8::is_ascii_digit) {
            starts.push(colon + 1);
        }
        last = Some(colon);
        if starts.len() > STARTS_MAX {
            break;
        }
    }
    starts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_logical_key_begins_at_the_start_or_behind_a_version() {
        let check = |key: &str, expect: &[&str]| {
            let prefixes: Vec<_> = starts(key.as_bytes()).into_iter().map(|start| &key[..start]).collect();
            assert_eq!(prefixes, expect, "{key}");
        };
        check("product:42", &[""]);
        check(":1:product:42", &["", ":1:"]);
        check("shop:2:product:42:en", &["", "shop:2:", "shop:2:product:42:"]);
        check("a:b:12:x", &["", "a:b:12:"]);
        check("1:x", &[""]);
        check("a::x", &[""]);
        check(":1x:y", &[""]);
        check("", &[""]);
        check(":1:2:3:4:5:6:7:", &["", ":1:", ":1:2:", ":1:2:3:", ":1:2:3:4:"]);
    }

    #[test]
    fn keys_are_told_apart_by_what_stands_before_them() {
        let logical = Glob::parse("product:*").unwrap();
        let patterns = [KeyPattern { logical, prefixes: vec![":1:".into(), "new:1:".into()] }];
        let mut looker = Looker::new(&patterns);
        for key in
            [":1:product:1", "new:1:product:1", ":1:page:1", ":2:product:1", ":2:product:2", "product:1", "x:page"]
        {
            looker.see(key.as_bytes());
        }
        let seen = looker.finish().remove(0);
        assert_eq!((seen.here, seen.under), (2, 3));
        assert_eq!(seen.elsewhere, BTreeMap::from([(String::new(), 1), (":2:".to_owned(), 2)]));
    }
}
