//! Checks what the types of the configuration cannot: ranges, and values that must fit to each other.

use std::collections::HashMap;

use quash_config::{ConfigPath, Problem, Span};
use quash_core::resolve::Resolver;
use quash_core::rule::dispatch::DispatchConfig;

use super::{Config, relay};

/// The version of the format that this worker reads.
const VERSION: u32 = 1;

impl Config {
    /// What is wrong with the worker's own parts.
    pub(super) fn check_parts(&self) -> Vec<Problem> {
        let root = ConfigPath::root();
        let mut problems = Vec::new();
        if self.version != VERSION {
            let message = format!("this worker reads version {VERSION} of the format, not {}", self.version);
            problems.push(Problem::error(root.key("version"), message).help(format!("write version: {VERSION}")));
        }
        problems.extend(self.check_targets(&root.key("targets")));
        problems.extend(self.check_sources(&root.key("sources")));
        let caches = root.key("caches");
        problems.extend(self.caches.keys().filter_map(|name| name_in_headers(&caches.key(name), "cache", name)));
        let sources: Vec<&str> = self.sources.keys().map(String::as_str).collect();
        problems.extend(DispatchConfig::check(self.dispatch.as_ref(), &self.caches, &sources));
        let servers: Vec<&str> = self.servers.keys().map(String::as_str).collect();
        problems.extend(relay::check(&self.relay, &servers, &sources));
        problems.extend(self.verify.iter().flat_map(|verify| verify.check(&root.key("verify"))));
        problems.extend(self.retry.check(&root.key("retry")));
        problems.extend(self.check_limits(&root.key("limits")));
        problems.extend(self.admin.check(&root.key("admin")));
        problems.extend(self.check_worker(&root.key("worker")));
        problems.extend(self.check_tests(&root.key("tests")));
        problems
    }

    /// What is wrong with what entries are compared with.
    pub(super) fn check_truth(&self, rules: &Resolver) -> Vec<Problem> {
        let servers: Vec<&str> = self.servers.keys().map(String::as_str).collect();
        let secrets: Vec<&str> = self.secrets.keys().map(String::as_str).collect();
        let declared = self.caches.iter().filter_map(|(name, cache)| Some((name, cache.truth.as_ref()?)));
        let problems = declared.filter_map(|(name, truth)| {
            let path = ConfigPath::root().key("caches").key(name).key("truth");
            Some(truth.check(&path, rules.args(rules.cache(name)?), &servers, &secrets))
        });
        problems.flatten().collect()
    }

    fn check_targets(&self, path: &ConfigPath) -> Vec<Problem> {
        let mut problems = Vec::new();
        for (name, target) in &self.targets {
            let path = path.key(name);
            problems.extend(name_in_headers(&path, "target", name));
            problems.extend(at_least_one(&path, "concurrency", target.options.concurrency));
            problems.extend(longer_than_nothing(&path, "timeout", target.options.timeout));
            problems.extend(target.options.key_format.check(&path.key("key_format")));
        }
        problems
    }

    fn check_sources(&self, path: &ConfigPath) -> Vec<Problem> {
        let sources = self.sources.iter().flat_map(|(name, source)| {
            let path = path.key(name);
            let batch = at_least_one(&path, "batch", source.options.batch);
            batch.into_iter().chain(at_least_one(&path, "in_flight", source.options.in_flight))
        });
        sources.collect()
    }

    fn check_limits(&self, path: &ConfigPath) -> Vec<Problem> {
        let limits = [
            ("max_message_bytes", self.limits.max_message_bytes),
            ("max_depth", self.limits.max_depth),
            ("max_events", self.limits.max_events),
            ("max_key_bytes", self.limits.max_key_bytes),
            ("max_actions_per_event", self.limits.max_actions_per_event),
            ("max_plan_bytes", self.limits.max_plan_bytes),
        ];
        limits.into_iter().filter_map(|(key, limit)| at_least_one(path, key, limit)).collect()
    }

    fn check_worker(&self, path: &ConfigPath) -> Option<Problem> {
        let empty = self.worker.name.as_deref() == Some("");
        empty.then(|| {
            Problem::error(path.key("name"), "a worker's name cannot be empty")
                .help("leave it out for the host name and the process id")
        })
    }

    fn check_tests(&self, path: &ConfigPath) -> Vec<Problem> {
        let (mut seen, mut problems) = (HashMap::new(), Vec::new());
        for (index, case) in self.tests.iter().enumerate() {
            if let Some(first) = seen.insert(case.name.as_str(), index) {
                let message = format!("test `{}` has the name of tests[{first}]", case.name);
                problems.push(Problem::error(path.index(index).key("name"), message));
            }
        }
        problems
    }
}

/// Parked shares name their targets and caches in headers, separated by commas.
fn name_in_headers(path: &ConfigPath, of: &str, name: &str) -> Option<Problem> {
    let fits = |letter: char| letter != ',' && !letter.is_whitespace() && !letter.is_control();
    let message = format!("the name of a {of} has no comma, blank or control character in it, and is not empty");
    (name.is_empty() || !name.chars().all(fits)).then(|| Problem::error(path.clone(), message))
}

fn at_least_one(path: &ConfigPath, key: &str, value: usize) -> Option<Problem> {
    (value == 0).then(|| Problem::error(path.key(key), format!("{key} is at least 1")))
}

fn longer_than_nothing(path: &ConfigPath, key: &str, span: Span) -> Option<Problem> {
    span.is_zero().then(|| Problem::error(path.key(key), format!("{key} is longer than nothing")))
}

#[cfg(test)]
mod tests {
    use quash_config::{Loader, ProcessEnvironment};

    use super::*;

    /// What is wrong with a configuration, as `path: message`.
    fn check(yaml: &str) -> Vec<String> {
        let loaded = Loader::load_text::<Config>("q.yaml", yaml, &ProcessEnvironment);
        match loaded {
            Ok(_) => Vec::new(),
            Err(problems) => problems.iter().map(|problem| format!("{}: {}", problem.path, problem.message)).collect(),
        }
    }

    #[test]
    fn defaults_are_right() {
        assert_eq!(check("version: 1\ntargets: { a: { memory: {} } }\nsources: { a: { memory: {} } }"), [""; 0]);
    }

    #[test]
    fn every_range_is_checked() {
        let cases = [
            ("version: 2", "version: this worker reads version 1 of the format, not 2"),
            (
                "version: 1\ntargets: { 'a,b': { memory: {} } }",
                "targets.a,b: the name of a target has no comma, blank or control character in it, and is not empty",
            ),
            (
                "version: 1\ntargets: { a: { memory: {} } }\ncaches: { 'a b': { key: k } }",
                "caches.a b: the name of a cache has no comma, blank or control character in it, and is not empty",
            ),
            ("version: 1\nretry: { max_attempts: 0 }", "retry.max_attempts: max_attempts is at least 1"),
            ("version: 1\nretry: { factor: 0.5 }", "retry.factor: a delay grows by a factor of at least 1"),
            ("version: 1\nretry: { factor: .nan }", "retry.factor: a delay grows by a factor of at least 1"),
            ("version: 1\nretry: { factor: .inf }", "retry.factor: a delay grows by a factor of at least 1"),
            ("version: 1\nretry: { jitter: 1.5 }", "retry.jitter: jitter is a part, from 0 to 1"),
            ("version: 1\nretry: { jitter: -1 }", "retry.jitter: jitter is a part, from 0 to 1"),
            (
                "version: 1\nretry: { initial: 10m }",
                "retry.initial: the first delay, 10m, is longer than the longest, 5m",
            ),
            ("version: 1\nlimits: { max_depth: 0 }", "limits.max_depth: max_depth is at least 1"),
            ("version: 1\nsources: { a: { memory: {}, batch: 0 } }", "sources.a.batch: batch is at least 1"),
            (
                "version: 1\nsources: { a: { memory: {}, in_flight: 0 } }",
                "sources.a.in_flight: in_flight is at least 1",
            ),
            (
                "version: 1\ntargets: { a: { memory: {}, concurrency: 0 } }",
                "targets.a.concurrency: concurrency is at least 1",
            ),
            (
                "version: 1\ntargets: { a: { memory: {}, timeout: 0s } }",
                "targets.a.timeout: timeout is longer than nothing",
            ),
            (
                "version: 1\ntargets: { a: { memory: {}, key_format: { django: { prefix: [] } } } }",
                "targets.a.key_format.django.prefix: an empty list would invalidate nothing",
            ),
            (
                "version: 1\ntargets: { a: { memory: {}, key_format: { django: { version: [] } } } }",
                "targets.a.key_format.django.version: an empty list would invalidate nothing",
            ),
            ("version: 1\nworker: { name: '' }", "worker.name: a worker's name cannot be empty"),
            ("version: 1\nadmin: { listen: localhost }", "admin.listen: `localhost` is no address to listen on"),
            (
                "version: 1\nadmin: { listen: '0.0.0.0:9464' }",
                "admin.listen: an address that others can reach needs a token",
            ),
            (
                "version: 1\nadmin: { listen: '[::]:9464' }",
                "admin.listen: an address that others can reach needs a token",
            ),
            ("version: 1\nadmin: { token: '' }", "admin.token: an empty token lets everybody in"),
            (
                "version: 1\nadmin: { tokens: { alice: { token: '' } } }",
                "admin.tokens.alice.token: an empty token lets everybody in",
            ),
            (
                "version: 1\nadmin: { token: t0k, tokens: { alice: { token: t0k } } }",
                "admin.tokens.alice.token: somebody else has this token: nobody could say who did what",
            ),
            (
                "version: 1\nadmin: { tokens: { local: { token: t0k } } }",
                "admin.tokens.local: `local` is what Quash calls who has no name: take another one",
            ),
            (
                "version: 1\nadmin: { tokens: { 'a b': { token: t0k } } }",
                "admin.tokens.a b: a name has letters, digits, `.`, `_`, `-` and `@` in it, and nothing else",
            ),
            (
                "version: 1\ntests: [ { name: a, event: 1, expect: {} }, { name: a, event: 2, expect: {} } ]",
                "tests[1].name: test `a` has the name of tests[0]",
            ),
        ];
        for (yaml, expected) in cases {
            assert_eq!(check(yaml), [expected], "{yaml}");
        }
    }

    #[test]
    fn an_address_that_is_safe_or_guarded_is_right() {
        for listen in ["off", "127.0.0.1:0", "'[::1]:9464'", "'0.0.0.0:9464', token: t"] {
            assert_eq!(check(&format!("version: 1\nadmin: {{ listen: {listen} }}")), [""; 0], "{listen}");
        }
    }

    #[test]
    fn there_are_at_most_64_targets() {
        let targets = |count: usize| {
            let names: String = (0..count).map(|number| format!("  t{number}: {{ memory: {{}} }}\n")).collect();
            check(&format!("version: 1\ntargets:\n{names}"))
        };
        assert_eq!(targets(64), [""; 0]);
        assert_eq!(targets(65), ["targets: 65 targets; a worker takes at most 64"]);
    }

    #[test]
    fn a_library_is_checked_at_its_values() {
        let cases = [
            ("{ cache_memoize: { functoin: m.f } }", "caches.c.cache_memoize.functoin: unknown key `functoin`"),
            ("{ cache_memoise: { function: m.f } }", "caches.c.cache_memoise: unknown key `cache_memoise`"),
            (
                "{ cache_memoize: { function: m.f, calls: [{ args: [[1]] }] } }",
                "caches.c.cache_memoize.calls[0].args[0]: ",
            ),
            (
                "{ cache_memoize: { function: m.f, key_generator_callable: { any: [thing] } } }",
                "caches.c.cache_memoize.key_generator_callable: what a callable returns cannot be computed from outside",
            ),
            ("{ key: 'c:{a}', types: { a: decimall } }", "caches.c.types.a: unknown value `decimall`"),
        ];
        for (cache, expected) in cases {
            let yaml = format!("version: 1\ntargets: {{ a: {{ memory: {{}} }} }}\ncaches:\n  c: {cache}\n");
            let problems = check(&yaml);
            assert!(problems.iter().any(|problem| problem.starts_with(expected)), "{cache}: {problems:?}");
        }
    }

    #[test]
    fn what_readers_do_is_checked_against_the_target() {
        let cases = [
            ("redis: { cluster: ['redis://h:1'] }", "layout: plain", Some("caches.c.layout: target `a` is a cluster")),
            ("redis: { url: 'redis://h:1' }", "layout: plain", None),
            ("memory: {}", "stale: 30s, hold: 2s, ttl: 10m, soft_ttl: 8m, wait: 200ms", None),
            ("memory: {}", "foreign: maybe", Some("caches.c.foreign: unknown value `maybe`")),
        ];
        for (target, more, expected) in cases {
            let cache = format!("{{ key: 'c:{{id}}', freshness: lease, {more}, depends_on: [ {{ row: a.B }} ] }}");
            let problems = check(&format!("version: 1\ntargets: {{ a: {{ {target} }} }}\ncaches: {{ c: {cache} }}\n"));
            let is_expected = expected.map_or(problems.is_empty(), |expected| problems[0].starts_with(expected));
            assert!(is_expected, "{target} {more}: {problems:?}");
        }
    }

    #[test]
    fn secrets_see_the_environment_and_rules_do_not() {
        let yaml = "version: 1\nsecrets: { k: '${PATH}', f: '${NO_SUCH_VARIABLE:-x}' }\ncaches: { c: { key: 'c:$${PATH}:{id}' } }";
        let loaded = Loader::load_text::<Config>("q.yaml", &yaml.replace("$$", "$"), &ProcessEnvironment);
        let problems: Vec<String> = match loaded {
            Ok(_) => Vec::new(),
            Err(problems) => problems.iter().map(|problem| problem.path.to_string()).collect(),
        };
        // The template's `{PATH}` is an argument of the cache, whatever the environment holds.
        assert_eq!(problems, [""; 0]);
        let missing = check("version: 1\nsecrets: { k: '${NO_SUCH_VARIABLE}' }");
        assert!(matches!(&missing[..], [problem] if problem.starts_with("secrets.k: ")), "{missing:?}");
    }
}
