//! Says what a reload changes, and what of it needs a restart.

use quash_dispatch::config::Config;

/// What differs between two configurations.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Differences {
    /// What a reload takes into force.
    pub(super) taken: Vec<&'static str>,
    /// What only a restart takes into force.
    pub(super) left: Vec<&'static str>,
    /// Targets that are not configured any more.
    pub(super) targets_gone: Vec<String>,
}

impl Differences {
    pub(super) fn between(before: &Config, after: &Config) -> Self {
        let differs = |list: &[(&'static str, bool)]| {
            list.iter().filter(|(_, differs)| *differs).map(|(section, _)| *section).collect()
        };
        Self {
            taken: differs(&[
                ("caches", before.caches != after.caches),
                ("dispatch", before.dispatch != after.dispatch),
                ("entities", before.entities != after.entities),
                ("on_unknown", before.on_unknown != after.on_unknown),
                ("limits", before.limits != after.limits),
                ("secrets", before.secrets != after.secrets),
                ("retry", before.retry != after.retry),
                ("targets", before.targets != after.targets),
            ]),
            left: differs(&[
                ("admin", before.admin != after.admin),
                ("relay", before.relay != after.relay),
                ("servers", before.servers != after.servers),
                ("sources", before.sources != after.sources),
                ("worker", before.worker != after.worker),
            ]),
            targets_gone: before.targets.keys().filter(|name| !after.targets.contains_key(*name)).cloned().collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use quash_core::rule::config::CacheConfig;

    use super::*;

    #[test]
    fn a_reload_says_what_it_takes_and_what_needs_a_restart() {
        let before: Config = serde_json::from_str(r#"{"version":1}"#).unwrap();
        let mut after = before.clone();
        assert_eq!(Differences::between(&before, &after), Differences::default());
        after.caches.insert("product".to_owned(), CacheConfig::default());
        after.retry.max_attempts = 3;
        after.worker.name = Some("other".to_owned());
        let differences = Differences::between(&before, &after);
        assert_eq!((differences.taken, differences.left), (vec!["caches", "retry"], vec!["worker"]));
    }
}
