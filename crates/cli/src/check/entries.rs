//! Counts the entries of every declared cache that a target can show.

use std::time::Duration;

use quash_config::Finding;
use quash_core::whereabouts::Whereabouts;
use quash_store::{Sought, Store, StoreError, Survey};

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
    whereabouts: &[Whereabouts],
) -> Result<Vec<Finding>, StoreError> {
    let places: Vec<_> = whereabouts.iter().filter(|place| place.target == target).collect();
    let sought: Vec<Sought> = places.iter().flat_map(|place| absence::sought(place)).collect();
    let asked = match sought.as_slice() {
        // No pass finds what looks like any key.
        [] => Ok(Survey { sighted: Vec::new(), keys: 0, complete: true }),
        sought => absence::survey(store, sought, SURVEY_MAX).await,
    };
    let survey = match asked {
        Ok(survey) => survey,
        Err(StoreError::Refused(why)) => return Ok(vec![absence::unanswered(&why)]),
        Err(error) => return Err(error),
    };
    let mut rest = survey.sighted.as_slice();
    let findings = places.iter().map(|place| {
        let (mine, others) = rest.split_at(place.entries.keys.len().min(rest.len()));
        rest = others;
        Seen::of(place, mine, &survey, whereabouts).finding()
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

    fn place(cache: &str, patterns: &[&str]) -> Whereabouts {
        let keys = patterns.iter().map(|text| Glob::parse(text).unwrap()).collect();
        let entries = Entries { keys, tags: Vec::new(), shared: false };
        let heads = vec![":1:".into()];
        Whereabouts {
            cache: cache.to_owned(),
            target: "main".to_owned(),
            heads,
            own_format: false,
            entries,
            freshness: Freshness::None,
            layout: Layout::Framed,
        }
    }

    #[tokio::test]
    async fn a_cache_whose_keys_look_like_any_has_its_line_when_it_is_the_only_one() {
        let findings = entries(&Memory::new(), "main", &[place("none", &[])]).await.unwrap();
        assert!(
            findings.len() == 1 && findings[0].what.contains("cache none: its keys cannot be told"),
            "{findings:?}"
        );
        assert_eq!(entries(&Memory::new(), "other", &[place("none", &[])]).await.unwrap(), []);
    }

    #[tokio::test]
    async fn every_cache_is_told_apart_in_one_pass() {
        let memory = Memory::new();
        [":1:a:1", ":1:b:1", ":1:b2:1", ":2:c:1"].iter().for_each(|key| memory.set(*key, "1"));
        let places = [place("a", &["a:*"]), place("none", &[]), place("b", &["b:*", "b2:*"]), place("c", &["c:*"])];
        let findings = entries(&memory, "main", &places).await.unwrap();
        let told: Vec<_> = findings.iter().map(|finding| (finding.severity, finding.what.as_str())).collect();
        assert_eq!(told.len(), places.len());
        for (place, severity, words) in [
            (0, Severity::Ok, "cache a: 1 entry (:1:a:*)"),
            (1, Severity::Ok, "not counted"),
            (2, Severity::Ok, "cache b: 2 entries (:1:b:*, :1:b2:*)"),
            (3, Severity::Warning, "1 key behind `:2:`"),
        ] {
            assert_eq!(told[place].0, severity, "{told:?}");
            assert!(told[place].1.contains(words), "{words} in {told:?}");
        }
    }
}
