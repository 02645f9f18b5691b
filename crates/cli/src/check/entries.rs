//! Counts the entries of every declared cache that a target can show.

use std::time::Duration;

use quash_config::Finding;
use quash_core::location::Location;
use quash_store::{KeyPattern, Store, StoreError, Survey};

use crate::absence::{self, Seen};

/// How long the pass over the keys of one target may take.
const SURVEY_MAX: Duration = Duration::from_secs(8);

/// What a target shows of the caches on it, one finding each, by one pass for all of them.
///
/// # Errors
/// When the target does not answer.
pub(super) async fn entries(
    store: &dyn Store,
    target: &str,
    locations: &[Location],
) -> Result<Vec<Finding>, StoreError> {
    let here: Vec<_> = locations.iter().filter(|location| location.target == target).collect();
    let patterns: Vec<KeyPattern> = here.iter().flat_map(|location| absence::patterns(location)).collect();
    let asked = match patterns.as_slice() {
        // No pass finds what looks like any key.
        [] => Ok(Survey { counts: Vec::new(), keys: 0, complete: true }),
        patterns => absence::survey(store, patterns, SURVEY_MAX).await,
    };
    let survey = match asked {
        Ok(survey) => survey,
        Err(StoreError::Refused(why)) => return Ok(vec![absence::unanswered(&why)]),
        Err(error) => return Err(error),
    };
    let mut rest = survey.counts.as_slice();
    let findings = here.iter().map(|location| {
        let (mine, others) = rest.split_at(location.entries.keys.len().min(rest.len()));
        rest = others;
        Seen::of(location, mine, &survey, locations).finding()
    });
    Ok(findings.collect())
}

#[cfg(test)]
mod tests {
    use quash_config::Severity;
    use quash_core::glob::Glob;
    use quash_core::key::Entries;
    use quash_core::rule::freshness::{Freshness, Layout};
    use quash_store::memory::Memory;

    use super::*;

    fn location(cache: &str, patterns: &[&str]) -> Location {
        let keys = patterns.iter().map(|text| Glob::parse(text).unwrap()).collect();
        let entries = Entries { keys, tags: Vec::new(), shared: false };
        let prefixes = vec![":1:".into()];
        Location {
            cache: cache.to_owned(),
            target: "main".to_owned(),
            prefixes,
            own_format: false,
            entries,
            freshness: Freshness::None,
            layout: Layout::Framed,
        }
    }

    #[tokio::test]
    async fn a_cache_whose_keys_look_like_any_has_its_line_when_it_is_the_only_one() {
        let findings = entries(&Memory::new(), "main", &[location("none", &[])]).await.unwrap();
        assert!(
            findings.len() == 1 && findings[0].what.contains("cache none: its keys cannot be told"),
            "{findings:?}"
        );
        assert_eq!(entries(&Memory::new(), "other", &[location("none", &[])]).await.unwrap(), []);
    }

    #[tokio::test]
    async fn every_cache_is_told_apart_in_one_pass() {
        let memory = Memory::new();
        [":1:a:1", ":1:b:1", ":1:b2:1", ":2:c:1"].iter().for_each(|key| memory.set(*key, "1"));
        let locations =
            [location("a", &["a:*"]), location("none", &[]), location("b", &["b:*", "b2:*"]), location("c", &["c:*"])];
        let findings = entries(&memory, "main", &locations).await.unwrap();
        let found: Vec<_> = findings.iter().map(|finding| (finding.severity, finding.what.as_str())).collect();
        assert_eq!(found.len(), locations.len());
        for (location, severity, words) in [
            (0, Severity::Ok, "cache a: 1 entry (:1:a:*)"),
            (1, Severity::Ok, "not counted"),
            (2, Severity::Ok, "cache b: 2 entries (:1:b:*, :1:b2:*)"),
            (3, Severity::Warning, "1 key behind `:2:`"),
        ] {
            assert_eq!(found[location].0, severity, "{found:?}");
            assert!(found[location].1.contains(words), "{words} in {found:?}");
        }
    }
}
