//! Compiles declared caches into rules, and says everything that is wrong with them.

mod keys;
mod order;

use std::collections::BTreeMap;
use std::time::Duration;

use super::around;
use super::cascade::{Edge, EdgeOrigin};
use super::condition::Condition;
use super::config::{CacheConfig, DependencyConfig, EntityConfig, Limits, Mapped, OnUnknown};
use super::dependency::{Dependency, Mapping, Origin};
use super::entity::Entities;
use super::freshness::{self, Mode};
use super::set::{Cache, RuleSet};
use crate::event::{Op, Type, Value};
use crate::key::template::Template;
use crate::key::{ArgSet, KeyFormat, OneOrMany, Scalar};
use crate::plan::{TargetId, TargetSet};
use crate::scope::{CacheId, SourceId};
use quash_config::{ConfigPath, Problem, Secret};

/// What the rules are compiled from.
#[derive(Debug, Clone, Copy)]
pub struct Declared<'a> {
    /// The targets by name, with their key formats. Their order makes the [`TargetId`]s.
    pub targets: &'a BTreeMap<String, KeyFormat>,
    /// The caches by name.
    pub caches: &'a BTreeMap<String, CacheConfig>,
    /// What is known of entities beside their events, by name.
    pub entities: &'a BTreeMap<String, EntityConfig>,
    /// What an unknown column means where neither dependency nor cache says it.
    pub on_unknown: Option<OnUnknown>,
    /// The secrets that keys depend on, by name.
    pub secrets: &'a BTreeMap<String, Secret>,
    /// The bounds.
    pub limits: Limits,
}

/// The names that a condition on a row may use.
const ROW_NAMES: [&str; 7] = ["before", "after", "key", "op", "entity", "changed", around::WORD];
/// The names that a condition on a relation may use.
const RELATION_NAMES: [&str; 6] = ["from", "to", "key", "op", "entity", around::WORD];
const ROW_OPS: [Op; 4] = [Op::Create, Op::Update, Op::Delete, Op::Truncate];
const RELATION_OPS: [Op; 3] = [Op::Add, Op::Remove, Op::Clear];

/// Compiles the rules. Problems are at paths from the configuration's root; the rules are whole if none of them is an error.
/// `sources` are the names of the sources that caches name, in the order of their ids.
pub(crate) fn compile(declared: Declared<'_>, sources: &[String]) -> (RuleSet, Vec<Problem>) {
    let mut compiler = Compiler { declared, sources, problems: Vec::new(), args: BTreeMap::new() };
    let rules = compiler.rules();
    (rules, compiler.problems)
}

struct Compiler<'a> {
    declared: Declared<'a>,
    sources: &'a [String],
    problems: Vec<Problem>,
    /// The arguments of every cache, by name.
    args: BTreeMap<&'a str, Vec<String>>,
}

impl<'a> Compiler<'a> {
    fn rules(&mut self) -> RuleSet {
        self.args = self.declared.caches.iter().map(|(name, cache)| (name.as_str(), args_of(cache))).collect();
        let order = self.order();
        let ids: BTreeMap<&str, CacheId> = order.iter().copied().zip((0..).map(CacheId)).collect();
        let mut dependencies = Vec::new();
        let mut edges: Vec<(CacheId, Edge)> = Vec::new();
        let mut caches = Vec::new();
        for (id, name) in (0..).map(CacheId).zip(&order) {
            let config = &self.declared.caches[*name];
            let cache = self.cache(name, config);
            let exact_only = cache.as_ref().is_some_and(|cache| cache.exact_only);
            caches.extend(cache);
            for (index, dependency) in config.depends_on.iter().enumerate() {
                let path = cache_path(name).key("depends_on").index(index);
                if let Some(on) = &dependency.cache {
                    let maps = self.edge_maps(name, on, dependency, &path);
                    // Unknown names were reported when the order was found.
                    edges.extend(ids.get(on.as_str()).map(|from| (*from, Edge { to: id, index, maps })));
                } else {
                    let dependency = self.dependency(name, id, index, dependency, &path);
                    dependencies.extend(dependency.map(|dependency| Dependency { exact_only, ..dependency }));
                }
            }
        }
        for (from, edge) in edges {
            if let Some(cache) = caches.get_mut(from.index()) {
                cache.feeds.push(edge);
            }
        }
        let with_rules = dependencies.iter().map(|dependency: &Dependency| dependency.entity.as_str().into()).collect();
        let (entities, problems) = Entities::compile(self.declared.entities, with_rules);
        self.problems.extend(problems);
        RuleSet::new(caches, dependencies, entities, self.declared.limits.key_sets())
    }

    fn cache(&mut self, name: &str, config: &CacheConfig) -> Option<Cache> {
        let path = cache_path(name);
        let targets = self.targets(config, &path);
        let scheme = self.scheme(config, &self.args.get(name).cloned().unwrap_or_default(), &path);
        if config.depends_on.is_empty() {
            let message = format!("nothing makes cache `{name}` stale but direct commands");
            self.problems.push(Problem::warning(path.clone(), message).help("add `depends_on`"));
        }
        let mut again_after: Vec<Duration> = config.again_after.iter().map(|span| span.0).collect();
        again_after.sort_unstable();
        again_after.dedup();
        if again_after.first().is_some_and(|first| first.as_millis() == 0) {
            self.problems.push(Problem::error(path.key("again_after"), "a later pass needs a delay of at least 1ms"));
        } else if again_after.iter().any(|due| due.subsec_nanos() % 1_000_000 != 0) {
            // A copy names its pass in milliseconds: it would find the same pass before it again and again.
            let message = "a later pass is due after whole milliseconds";
            self.problems.push(Problem::error(path.key("again_after"), message));
        }
        self.problems.extend(freshness::check(config, &path));
        let publish = config.publish.as_deref().map(Into::into);
        let prefixes = self.prefixes(config, &path);
        scheme.map(|scheme| Cache {
            exact_only: scheme.actions(ArgSet::EMPTY, self.declared.limits.max_actions_per_event) == 0,
            name: name.to_owned(),
            scheme,
            targets,
            prefixes,
            again_after,
            publish,
            mode: Mode::of(config),
            source: self.source(config),
            feeds: Vec::new(),
        })
    }

    fn source(&self, config: &CacheConfig) -> Option<SourceId> {
        let name = config.source()?;
        (0..).map(SourceId).zip(self.sources).find(|(_, known)| *known == name).map(|(id, _)| id)
    }

    fn targets(&mut self, config: &CacheConfig, path: &ConfigPath) -> TargetSet {
        let known: Vec<&str> = self.declared.targets.keys().map(String::as_str).collect();
        let Some(names) = &config.targets else {
            return (0..).map(TargetId).take(known.len()).collect();
        };
        if names.is_empty() {
            self.problems
                .push(Problem::error(path.key("targets"), "an empty list of targets would invalidate nothing"));
        }
        let mut targets = TargetSet::EMPTY;
        for (index, name) in names.iter().enumerate() {
            match (0..).zip(&known).find(|(_, known)| *known == name) {
                Some((id, _)) => targets.insert(TargetId(id)),
                None => {
                    let path = path.key("targets").index(index);
                    let problem = Problem::error(path, format!("no target is called `{name}`"));
                    self.problems.push(problem.did_you_mean(name, known.iter().copied()));
                }
            }
        }
        targets
    }

    /// The entity that a dependency is on, and the relation where it is on one.
    fn depends_on(&mut self, config: &DependencyConfig, path: &ConfigPath) -> Option<(String, Option<String>)> {
        let problem = match (&config.row, &config.m2m) {
            (Some(row), None) => return Some((row.clone(), None)),
            (None, Some(m2m)) => match m2m.rsplit_once('.') {
                Some((entity, name)) if !entity.is_empty() && !name.is_empty() => {
                    return Some((entity.to_owned(), Some(name.to_owned())));
                }
                _ => Problem::error(path.key("m2m"), format!("`{m2m}` is no relation"))
                    .help("write entity and relation, as `shop.Book.tags`"),
            },
            _ => Problem::error(path.clone(), "a dependency is on exactly one of `row`, `m2m`, `cache`"),
        };
        self.problems.push(problem);
        None
    }

    fn dependency(
        &mut self,
        cache: &str,
        id: CacheId,
        index: usize,
        config: &DependencyConfig,
        path: &ConfigPath,
    ) -> Option<Dependency> {
        let (entity, relation) = self.depends_on(config, path)?;
        let (ops, names): (&[Op], &[&str]) = match relation {
            None => (&ROW_OPS, &ROW_NAMES),
            Some(_) => (&RELATION_OPS, &RELATION_NAMES),
        };
        self.check_ops(config, ops, relation.is_some(), path);
        let when = config.when.as_deref().map(|source| Condition::compile(source, names)).transpose();
        let when = when.unwrap_or_else(|(message, help)| {
            let mut problem = Problem::error(path.key("when"), message);
            problem.help = help;
            self.problems.push(problem);
            None
        });
        let maps = self.maps(cache, config, relation.is_some(), path);
        let of_cache = self.declared.caches.get(cache).and_then(|cache| cache.on_unknown);
        let on_unknown = config.on_unknown.or(of_cache).or(self.declared.on_unknown).unwrap_or_default();
        let nulls = config.nulls.unwrap_or_default();
        let (ops, changed) = (config.ops.clone(), config.changed.clone());
        let whole = self.typed(cache, Type::is_whole);
        let typed = self.typed(cache, |_| true);
        Some(Dependency {
            cache: id,
            index,
            entity,
            relation,
            ops,
            changed,
            when,
            maps,
            exact_only: false,
            whole,
            typed,
            on_unknown,
            nulls,
        })
    }

    /// The arguments for which the cache declares such a type.
    fn typed(&self, cache: &str, such: impl Fn(Type) -> bool) -> ArgSet {
        let types = self.declared.caches.get(cache).map(|cache| &cache.types);
        let is_such = |name: &String| types.and_then(|types| types.get(name)).is_some_and(|declared| such(*declared));
        let args = self.args.get(cache).into_iter().flatten().enumerate();
        args.filter(|(_, name)| is_such(name)).fold(ArgSet::EMPTY, |typed, (arg, _)| typed.with(arg))
    }

    fn check_ops(&mut self, config: &DependencyConfig, possible: &[Op], is_relation: bool, path: &ConfigPath) {
        for (index, op) in config.ops.iter().enumerate().filter(|(_, op)| !possible.contains(op)) {
            let known = possible.iter().map(|op| op.name()).collect::<Vec<_>>().join(", ");
            let problem = Problem::error(path.key("ops").index(index), format!("`{}` never happens here", op.name()));
            self.problems.push(problem.help(format!("known are {known}")));
        }
        if is_relation && !config.changed.is_empty() {
            self.problems.push(Problem::error(path.key("changed"), "a relation has no columns that change"));
        }
    }

    fn maps(&mut self, cache: &str, config: &DependencyConfig, is_relation: bool, path: &ConfigPath) -> Vec<Mapping> {
        let args = self.args.get(cache).cloned().unwrap_or_default();
        let libraries = self.declared.caches.get(cache).map(CacheConfig::libraries).unwrap_or_default();
        let same_name = |arg: &String| {
            let column = libraries.first().map_or_else(|| vec![arg.clone()], |(_, library)| library.column(arg));
            let end = is_relation.then(|| "from".to_owned());
            Origin::Path(end.into_iter().chain(column).collect())
        };
        let Some(maps) = &config.map else {
            return vec![args.iter().map(same_name).collect()];
        };
        let mut mappings = Vec::new();
        for (map, path) in self.each_map(maps, &args, path) {
            let mut mapping = vec![Origin::Any; args.len()];
            for (arg, mapped) in map {
                let Some(at) = args.iter().position(|known| known == arg) else { continue };
                mapping[at] = match mapped {
                    Mapped::Constant(constant) => Origin::Constant(value(&constant.value)),
                    Mapped::Path(text) if text == "*" => Origin::Any,
                    Mapped::Path(text) => self.path_of(text, is_relation, path.key(arg.clone())),
                };
            }
            mappings.push(mapping);
        }
        mappings
    }

    fn path_of(&mut self, text: &str, is_relation: bool, path: ConfigPath) -> Origin {
        if let Some(path) = around::path(text) {
            return Origin::Around(path);
        }
        let steps: Vec<String> = text.split('.').map(str::to_owned).collect();
        if steps.iter().any(String::is_empty) {
            self.problems.push(
                Problem::error(path, format!("`{text}` is no path"))
                    .help("write column names with dots, as `author.id`"),
            );
        } else if is_relation && (steps.len() < 2 || !["from", "to"].contains(&steps[0].as_str())) {
            let help = format!("write `from.{text}` for the row that owns the relation, `to.{text}` for the other end");
            self.problems.push(
                Problem::error(path, format!("`{text}` does not say which end of the relation it means")).help(help),
            );
        }
        Origin::Path(steps)
    }

    fn edge_maps(
        &mut self,
        cache: &str,
        on: &str,
        config: &DependencyConfig,
        path: &ConfigPath,
    ) -> Vec<Vec<EdgeOrigin>> {
        if config.row.is_some() || config.m2m.is_some() {
            self.problems.push(Problem::error(path.clone(), "a dependency is on exactly one of `row`, `m2m`, `cache`"));
        }
        let rows_only = [
            ("ops", !config.ops.is_empty()),
            ("changed", !config.changed.is_empty()),
            ("when", config.when.is_some()),
            ("on_unknown", config.on_unknown.is_some()),
            ("nulls", config.nulls.is_some()),
        ];
        for (key, _) in rows_only.iter().filter(|(_, is)| *is) {
            let message = format!("`{key}` says nothing about a cache, only about rows and relations");
            self.problems.push(Problem::error(path.key(*key), message));
        }
        let args = self.args.get(cache).cloned().unwrap_or_default();
        let upstream = self.args.get(on).cloned().unwrap_or_default();
        let find = |name: &str| upstream.iter().position(|known| known == name);
        let Some(maps) = &config.map else {
            return vec![args.iter().map(|arg| find(arg).map_or(EdgeOrigin::Any, EdgeOrigin::Arg)).collect()];
        };
        let mut mappings = Vec::new();
        for (map, path) in self.each_map(maps, &args, path) {
            let mut mapping = vec![EdgeOrigin::Any; args.len()];
            for (arg, mapped) in map {
                let Some(at) = args.iter().position(|known| known == arg) else { continue };
                mapping[at] = match mapped {
                    Mapped::Constant(constant) => EdgeOrigin::Constant(value(&constant.value)),
                    Mapped::Path(text) if text == "*" => EdgeOrigin::Any,
                    Mapped::Path(text) => find(text).map_or_else(
                        || {
                            let problem =
                                Problem::error(path.key(arg.clone()), format!("cache `{on}` has no argument `{text}`"));
                            self.problems.push(problem.did_you_mean(text, upstream.iter().map(String::as_str)));
                            EdgeOrigin::Any
                        },
                        EdgeOrigin::Arg,
                    ),
                };
            }
            mappings.push(mapping);
        }
        mappings
    }

    /// The mappings with their paths; arguments that the cache does not have are reported.
    fn each_map<'m>(
        &mut self,
        maps: &'m OneOrMany<BTreeMap<String, Mapped>>,
        args: &[String],
        path: &ConfigPath,
    ) -> Vec<(&'m BTreeMap<String, Mapped>, ConfigPath)> {
        let path = path.key("map");
        let placed: Vec<_> = match maps {
            OneOrMany::One(map) => vec![(map, path)],
            OneOrMany::Many(maps) if maps.is_empty() => {
                self.problems.push(Problem::error(path, "an empty list of maps would invalidate nothing"));
                Vec::new()
            }
            OneOrMany::Many(maps) => maps.iter().enumerate().map(|(index, map)| (map, path.index(index))).collect(),
        };
        for (map, path) in &placed {
            for arg in map.keys().filter(|arg| !args.contains(arg)) {
                let problem = Problem::error(path.key(arg.clone()), format!("the cache has no argument `{arg}`"));
                self.problems.push(problem.did_you_mean(arg, args.iter().map(String::as_str)));
            }
        }
        placed
    }
}

/// The arguments of the library, or the declared ones, or those of the templates in the order in which they stand there.
fn args_of(config: &CacheConfig) -> Vec<String> {
    if let Some((_, library)) = config.libraries().first() {
        return library.args();
    }
    if !config.args.is_empty() {
        return config.args.clone();
    }
    let mut args: Vec<String> = Vec::new();
    for name in config.key.iter().chain(&config.tags).flat_map(|template| Template::names(template)) {
        if !args.contains(&name) {
            args.push(name);
        }
    }
    args
}

fn cache_path(name: &str) -> ConfigPath {
    ConfigPath::root().key("caches").key(name)
}

fn value(scalar: &Scalar) -> Value<'static> {
    match scalar {
        Scalar::Bool(truth) => Value::Bool(*truth),
        Scalar::Int(number) => Value::Int(i128::from(*number)),
        Scalar::Text(text) => Value::Text(text.clone().into()),
    }
}
