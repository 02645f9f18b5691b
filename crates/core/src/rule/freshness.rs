//! Holds what a cache says of its readers, and decides by it how the worker makes an entry stale.

use serde::Deserialize;

use super::config::CacheConfig;
use crate::action::Void;
use crate::key::template::Readers;
use crate::plan::{ActionKind, Of};
use quash_config::{ConfigPath, Problem, Span};

/// What readers do so that a load that was under way during a change is not stored behind it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Freshness {
    /// Nothing that is known: they store what they loaded, whenever that was.
    #[default]
    None,
    /// They take the tokens of the tags before they load, store them with the entry, and check them.
    Generation,
    /// They put a lease where the value would stand before they load, and store only if it still stands there.
    Lease,
}

/// Where leases and holds stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Layout {
    /// In the key, which holds a frame around the value.
    #[default]
    Framed,
    /// In a key beside it, the guard: the value stays as a library wrote it.
    Plain,
}

/// What readers do with a value that is in no frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Foreign {
    /// They load, and store nothing.
    #[default]
    Refuse,
    /// They serve it: while the last plain writers are still there.
    Accept,
}

/// How the worker makes entries of a cache stale.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Mode {
    pub(crate) freshness: Freshness,
    /// How long an old value may be served while one reader loads; 0 for not at all.
    pub(crate) stale_ms: u64,
    /// How long nothing may be stored behind a change; 0 for no hold.
    pub(crate) hold_ms: u64,
    pub(crate) layout: Layout,
}

impl Mode {
    pub(crate) fn of(config: &CacheConfig) -> Self {
        let ms = |span: Option<Span>| span.map_or(0, |span| u64::try_from(span.0.as_millis()).unwrap_or(u64::MAX));
        Self {
            freshness: config.freshness,
            stale_ms: ms(config.stale),
            hold_ms: ms(config.hold),
            layout: config.layout.unwrap_or_default(),
        }
    }

    /// Whether removing a key alone would not do to make an entry stale, or would break what is promised of it.
    pub(crate) const fn is_special(self) -> bool {
        self.hold_ms > 0 || matches!(self.layout, Layout::Plain)
    }

    /// What its readers check.
    pub(crate) const fn readers(self) -> Readers {
        match self.freshness {
            Freshness::None => Readers::Unknown,
            Freshness::Generation => Readers::CheckTags,
            Freshness::Lease => Readers::TakeLeases,
        }
    }

    /// What is done to one entry.
    pub(crate) const fn on_key(self) -> ActionKind {
        let Self { stale_ms, hold_ms, .. } = self;
        match self.layout {
            _ if stale_ms > 0 => ActionKind::Void(Of::Key, Void { version: 0, hold_ms, stale_ms }),
            layout if hold_ms > 0 => ActionKind::Hold { ms: hold_ms, guarded: matches!(layout, Layout::Plain) },
            Layout::Framed => ActionKind::Delete,
            Layout::Plain => ActionKind::DeleteGuarded(Of::Key),
        }
    }

    /// What is done to the entries that a pass finds. None of them is held: a pass takes longer than any hold.
    pub(crate) const fn on_pass(self, of: Of) -> ActionKind {
        match (self.layout, of) {
            _ if self.stale_ms > 0 => ActionKind::Void(of, Void { version: 0, hold_ms: 0, stale_ms: self.stale_ms }),
            (Layout::Plain, of) => ActionKind::DeleteGuarded(of),
            (Layout::Framed, Of::Pattern) => ActionKind::DeletePattern,
            (Layout::Framed, Of::Key | Of::Prefix) => ActionKind::DeletePrefix,
        }
    }
}

/// What is wrong with what a cache says of its readers, each at its key.
pub(crate) fn check(config: &CacheConfig, path: &ConfigPath) -> Vec<Problem> {
    let mut problems = Vec::new();
    problems.extend(times(config, path));
    problems.extend(match config.freshness {
        Freshness::Lease => lease(config, path),
        Freshness::Generation => generation(config, path),
        Freshness::None => without_lease(config, path, "`freshness: none`"),
    });
    problems
}

/// Times that are nothing, or longer than another that they have to fit into.
fn times(config: &CacheConfig, path: &ConfigPath) -> Vec<Problem> {
    let all = [
        ("stale", config.stale),
        ("hold", config.hold),
        ("ttl", config.ttl),
        ("soft_ttl", config.soft_ttl),
        ("negative_ttl", config.negative_ttl),
        ("lease", config.lease),
    ];
    let short = all.iter().filter(|(_, span)| span.is_some_and(|span| span.0.as_millis() == 0));
    let mut problems: Vec<_> =
        short.map(|(key, _)| Problem::error(path.key(*key), format!("{key} is at least 1ms"))).collect();
    let part_of_ms = all.iter().filter(|(_, span)| span.is_some_and(|span| span.0.subsec_nanos() % 1_000_000 != 0));
    problems.extend(part_of_ms.map(|(key, _)| Problem::error(path.key(*key), format!("{key} is whole milliseconds"))));
    match (config.soft_ttl, config.ttl) {
        (Some(soft), Some(ttl)) if soft.0 >= ttl.0 => {
            let message = format!("an entry ends after ttl ({ttl}) before it is refreshed after soft_ttl ({soft})");
            problems.push(Problem::error(path.key("soft_ttl"), message).help("make soft_ttl shorter than ttl"));
        }
        (Some(_), None) => {
            let message = "soft_ttl refreshes entries before their ttl ends, and there is none";
            problems.push(Problem::error(path.key("soft_ttl"), message).help("add a `ttl` that is longer"));
        }
        _ => {}
    }
    problems
}

fn lease(config: &CacheConfig, path: &ConfigPath) -> Vec<Problem> {
    let plain = config.layout == Some(Layout::Plain);
    let kept_in_frames = [
        ("stale", config.stale.is_some(), "an old value that may be served is marked in its frame"),
        ("tags", !config.tags.is_empty(), "tokens of tags are stored in the frame"),
        ("soft_ttl", config.soft_ttl.is_some(), "soft_ttl is stored in the frame"),
        ("foreign", config.foreign.is_some(), "foreign is what is in no frame"),
    ];
    let wrong = kept_in_frames.into_iter().filter(|(_, is, _)| plain && *is);
    let problem = |(key, _, why): (&str, _, &str)| {
        Problem::error(path.key(key), format!("{why}, and `layout: plain` has none"))
            .help(format!("take `{key}` out, or `layout: plain`"))
    };
    wrong.map(problem).collect()
}

fn generation(config: &CacheConfig, path: &ConfigPath) -> Vec<Problem> {
    let mut problems = without_lease(config, path, "`freshness: generation`");
    if config.tags.is_empty() {
        let problem = Problem::error(path.key("freshness"), "readers check tags, and the cache has none");
        problems.push(match config.libraries().first() {
            None => problem.help("add `tags`, or say `freshness: lease`"),
            Some((library, _)) => problem.help(format!(
                "how readers of `{library}` check is the library's own: leave `freshness` out, or say `freshness: lease` \
                 where the backend takes leases"
            )),
        });
    }
    problems
}

/// What stands in a lease, or beside it, where there is none.
fn without_lease(config: &CacheConfig, path: &ConfigPath, mode: &str) -> Vec<Problem> {
    let needs_lease = [
        ("stale", config.stale.is_some()),
        ("hold", config.hold.is_some()),
        ("layout", config.layout == Some(Layout::Plain)),
        ("lease", config.lease.is_some()),
    ];
    let problem = |key: &str| {
        let message = format!("`{key}` is for readers that take leases, and those of {mode} take none");
        Problem::error(path.key(key), message).help(format!("say `freshness: lease`, or take `{key}` out"))
    };
    needs_lease.into_iter().filter(|(_, is)| *is).map(|(key, _)| problem(key)).collect()
}
