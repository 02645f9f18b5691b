//! Spells the keys of easy-cache: a template or the function's path with its arguments, a prefix before it, and tags with a time.

mod spelling;

use serde::Deserialize;

use self::spelling::{Found, Spelling};
use super::format_spec::{Field, Piece, parse};
use super::library::{Built, Cannot, Given, Library, behind_django};
use super::{ArgSet, Args, KeyError, KeyFormat, KeySet, OneOrMany, PrefixedFormat, Reach, ReachBy, Remover, Scheme};
use crate::action::{Life, Number, Write};
use quash_config::{ConfigPath, Problem, Span};

/// Keys that `@ecached` and `@ecached_property` wrote.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The decorator's `cache_key`: a template of `str.format`, as `shop:{self.id}`, or a list of names.
    pub key: Option<Key>,
    /// The path of a function without a `cache_key`, as `shop.views.price`; of a method with the class of its object,
    /// and a list where objects of several classes have it.
    pub function: Option<OneOrMany<String>>,
    /// The positional arguments of the call, without `self`; only with `function`.
    pub args: Vec<String>,
    /// The keyword arguments of the call and the defaults that it leaves out; only with `function`.
    pub kwargs: Vec<String>,
    /// The ways to call it, where there are several: each has entries of its own. In the place of `args` and `kwargs`.
    pub calls: Vec<Call>,
    /// The decorator's `prefix`, which is a tag too.
    pub prefix: Option<String>,
    /// The decorator's `tags`, or templates of what a callable gives there; also of what it takes from the result.
    pub tags: Vec<String>,
    /// What `set_cache_key_delimiter` was given; `:` when left out.
    pub delimiter: Option<String>,
    /// What `set_tag_key_prefix` was given; `tag` when left out.
    pub tag_prefix: Option<String>,
    /// How long a tag's time lives when Quash renews it: at least as long as the longest entry with the tag, or that entry
    /// is missed early. As long as the application gave it when left out.
    pub tag_ttl: Option<Span>,
    /// Cannot be had from outside.
    #[cfg_attr(feature = "schema", schemars(skip))]
    pub callable: Option<Cannot>,
    /// Cannot be had from outside.
    #[cfg_attr(feature = "schema", schemars(skip))]
    pub refresh: Option<Cannot>,
}

/// The decorator's `cache_key`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(untagged)]
pub enum Key {
    /// A template.
    Template(String),
    /// Names, as a list or tuple there.
    Names(Vec<String>),
}

/// One way to call the function.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct Call {
    /// The positional arguments, without `self`.
    pub args: Vec<String>,
    /// The keyword arguments, and the defaults that the call leaves out; the library sorts them.
    pub kwargs: Vec<String>,
}

impl Library for Config {
    fn args(&self) -> Vec<String> {
        let mut names: Vec<String> = Vec::new();
        let templates = self.templates().into_iter().flat_map(|(template, _)| fields(&template));
        let calls = self.calls().into_iter().flat_map(|call| [call.args, call.kwargs].concat());
        for name in templates.chain(calls) {
            if !names.contains(&name) {
                names.push(name);
            }
        }
        names
    }

    /// An attribute of `self` is a column of its row.
    fn column(&self, arg: &str) -> Vec<String> {
        let path = arg.strip_prefix("self.").unwrap_or(arg);
        path.split('.').map(str::to_owned).collect()
    }

    fn format_warning(&self, format: &KeyFormat) -> Option<Problem> {
        let KeyFormat::Prefixed(PrefixedFormat { delimiter, .. }) = format else { return behind_django(format) };
        let message =
            format!("a `RedisCacheInstance` puts `{}` behind its prefix too, not `{delimiter}`", self.delimiter());
        let warning = || Problem::warning(ConfigPath::root(), message).help("make `delimiter` here and there the same");
        (delimiter != self.delimiter()).then(warning)
    }

    fn scheme(&self, given: Given<'_>) -> Built {
        let mut problems: Vec<Problem> = self.refused().into_iter().flatten().collect();
        problems.extend(self.wrong_templates(given.max_key_bytes));
        problems.extend(self.contradictions());
        if !problems.is_empty() {
            return (None, problems);
        }
        let (keys, tags) = (self.keys(&given.args), self.tags(&given.args));
        let life =
            self.tag_ttl.map_or(Life::Keep, |ttl| Life::Ms(u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX).max(1)));
        // Where there is no time, no entry with the tag is fresh: nothing is written about rows that nobody cached.
        let write = Write { number: Number::NowUs, life, only_if_exists: true };
        (Some(Box::new(EasyCache { names: given.args.names(), args: given.args, keys, tags, write })), problems)
    }
}

impl Config {
    fn calls(&self) -> Vec<Call> {
        match self.calls.as_slice() {
            [] => vec![Call { args: self.args.clone(), kwargs: self.kwargs.clone() }],
            calls => calls.to_vec(),
        }
    }

    fn delimiter(&self) -> &str {
        self.delimiter.as_deref().unwrap_or(":")
    }

    /// Every template of the declaration, and where it stands.
    fn templates(&self) -> Vec<(String, ConfigPath)> {
        let path = |key: &str| ConfigPath::root().key(key);
        let key = match &self.key {
            None => Vec::new(),
            Some(Key::Template(template)) => vec![(template.clone(), path("key"))],
            Some(Key::Names(names)) => {
                let field = |(index, name): (usize, &String)| (format!("{{{name}}}"), path("key").index(index));
                names.iter().enumerate().map(field).collect()
            }
        };
        let tags = self.tags.iter().enumerate().map(|(index, tag)| (tag.clone(), path("tags").index(index)));
        let prefix = self.prefix.iter().map(|prefix| (prefix.clone(), path("prefix")));
        key.into_iter().chain(prefix).chain(tags).collect()
    }

    fn wrong_templates(&self, max_key_bytes: usize) -> impl Iterator<Item = Problem> {
        self.templates().into_iter().filter_map(move |(template, path)| match parse(&template) {
            Err(message) => Some(Problem::error(path, message)),
            Ok(_) if template.len() > max_key_bytes => {
                Some(Problem::error(path, format!("is longer than limits.max_key_bytes ({max_key_bytes})")))
            }
            Ok(_) => None,
        })
    }

    /// What does not go together.
    fn contradictions(&self) -> Vec<Problem> {
        let path = |key: &str| ConfigPath::root().key(key);
        let mut problems = Vec::new();
        let called = !(self.args.is_empty() && self.kwargs.is_empty());
        let untagged = self.tags.is_empty() && self.prefix.is_none();
        match (&self.key, &self.function) {
            (Some(_), Some(_)) => {
                let message = "the decorator has a `cache_key`, so the function's path is no part of the key";
                problems.push(Problem::error(path("function"), message).help("name one of `key` and `function`"));
            }
            (None, None) if untagged => {
                problems.push(Problem::error(ConfigPath::root(), "name one of `key`, `function`, `tags` and `prefix`"));
            }
            (Some(Key::Names(names)), None) if names.is_empty() => {
                problems.push(Problem::error(path("key"), "an empty list spells no key"));
            }
            (None, Some(functions)) if functions.as_slice().is_empty() => {
                problems.push(Problem::error(path("function"), "an empty list would invalidate nothing"));
            }
            _ => {}
        }
        if self.function.is_none() && (called || !self.calls.is_empty()) {
            let key = if called { "args" } else { "calls" };
            let message = "how it is called matters only where the key is made of the `function`'s path";
            problems
                .push(Problem::error(path(key), message).help("take it out: the arguments are those of the templates"));
        }
        if called && !self.calls.is_empty() {
            let message = "`args` and `kwargs` go into `calls`, where there are several";
            problems.push(Problem::error(path("calls"), message));
        }
        if self.tag_ttl.is_some() && untagged {
            problems.push(Problem::error(path("tag_ttl"), "there is no tag, and no prefix, which is one"));
        }
        problems
    }

    fn refused(&self) -> [Option<Problem>; 2] {
        let callable = Cannot::refuse(
            self.callable,
            "callable",
            "what a callable returns cannot be computed from outside",
            "write the template of what it returns as `key`; or leave the key out and name the `tags` of the decorator",
        );
        let refresh = Cannot::refuse(
            self.refresh,
            "refresh",
            "the function runs in the application alone",
            "take it out: what is removed is computed by the next call; or let the application listen with `publish`",
        );
        [callable, refresh]
    }

    /// One spelling per function and way to call it, or the one of the template; none where only tags are known.
    fn keys(&self, args: &Args) -> Vec<Spelling> {
        let mut begin = Spelling::default();
        if let Some(prefix) = &self.prefix {
            begin.template(pieces(prefix), args);
            begin.literal(self.delimiter());
        }
        match (&self.key, &self.function) {
            (Some(Key::Template(template)), _) => {
                begin.template(pieces(template), args);
                vec![begin]
            }
            (Some(Key::Names(names)), _) => {
                for (index, name) in names.iter().enumerate() {
                    begin.literal(if index == 0 { "" } else { self.delimiter() });
                    begin.template(pieces(&format!("{{{name}}}")), args);
                }
                vec![begin]
            }
            (None, Some(functions)) => {
                let calls = self.calls();
                let pairs =
                    functions.as_slice().iter().flat_map(|function| calls.iter().map(move |call| (function, call)));
                pairs.map(|(function, call)| self.automatic(begin.clone(), function, call, args)).collect()
            }
            (None, None) => Vec::new(),
        }
    }

    /// The key that the library makes where it was given none.
    fn automatic(&self, mut key: Spelling, function: &str, call: &Call, args: &Args) -> Spelling {
        let mut kwargs = call.kwargs.clone();
        kwargs.sort();
        key.literal(function);
        for arg in call.args.iter().chain(&kwargs).filter_map(|name| args.position(name)) {
            key.literal(self.delimiter());
            key.text(arg, args);
        }
        key
    }

    /// Narrowest first.
    fn tags(&self, args: &Args) -> Vec<Spelling> {
        let begin = format!("{}{}", self.tag_prefix.as_deref().unwrap_or("tag"), self.delimiter());
        let spell = |template: &String| {
            let mut tag = Spelling::default();
            tag.literal(&begin);
            tag.template(pieces(template), args);
            tag
        };
        let mut tags: Vec<_> = self.tags.iter().chain(&self.prefix).map(spell).collect();
        tags.sort_by_key(|tag| std::cmp::Reverse(tag.args().len()));
        tags
    }
}

/// The pieces of a template; what is wrong with it was reported before.
fn pieces(template: &str) -> Vec<Piece> {
    parse(template).unwrap_or_default()
}

/// The arguments of a template.
fn fields(template: &str) -> impl Iterator<Item = String> + use<> {
    pieces(template).into_iter().filter_map(|piece| match piece {
        Piece::Literal(_) => None,
        Piece::Field(field) => Some(argument(&field)),
    })
}

/// What the cache calls the value of a field: `n`, `self.id`; of `kwargs[p]` it is `p`.
fn argument(Field { path, .. }: &Field) -> String {
    match path.as_slice() {
        [kwargs, name] if kwargs == "kwargs" => name.clone(),
        path => path.join("."),
    }
}

/// The keys of one function.
#[derive(Debug)]
struct EasyCache {
    args: Args,
    names: Vec<String>,
    /// None where they are not known.
    keys: Vec<Spelling>,
    tags: Vec<Spelling>,
    write: Write,
}

/// What removes a key set.
enum Choice<'s> {
    Keys(usize),
    /// The tag, and how many of its times are written.
    Tags(&'s Spelling, usize),
    Search,
    Nothing(&'static str),
}

const NO_TAG: &str = "no tag has exact values for all its arguments, and the key is not known: declare the `key`, or a \
                      tag without arguments";
const NO_ROOT: &str = "keys begin with an argument, so that a search could take keys of others: give `map` or `values` \
                       for it, or the decorator `tags` or a `prefix`";

impl EasyCache {
    fn choose(&self, exact: ArgSet, max_keys: usize) -> Choice<'_> {
        let keys = self.keys.iter().map(|key| self.count(key, exact)).sum::<Option<usize>>();
        // What has nothing to enumerate stays as it is, also where nothing may be enumerated any more.
        let few = |count: &usize, max: usize| (1..=max).contains(count);
        if let Some(count) = keys.filter(|count| few(count, max_keys.max(self.keys.len()))) {
            return Choice::Keys(count);
        }
        let counted = |tag| Some((tag, self.count(tag, exact)?)).filter(|(_, count)| few(count, max_keys.max(1)));
        let rounds_up = |tag: &Spelling| !exact.is_subset_of(tag.args());
        // Of equal ones the first is the narrowest.
        match self.tags.iter().filter_map(counted).min_by_key(|(tag, count)| (rounds_up(tag), *count)) {
            Some((tag, count)) => Choice::Tags(tag, count),
            None if self.keys.is_empty() => Choice::Nothing(NO_TAG),
            None if self.keys.iter().any(|key| key.root().is_empty()) => Choice::Nothing(NO_ROOT),
            None => Choice::Search,
        }
    }

    /// How many keys or tags these are in which just these arguments are exact, if all of them can be named.
    fn count(&self, spelling: &Spelling, exact: ArgSet) -> Option<usize> {
        self.args.count(spelling.args().difference(exact))
    }

    fn shown(&self, exact: ArgSet) -> String {
        let shown: Vec<_> = self.keys.iter().map(|key| key.shown(exact)).collect();
        shown.join(", ")
    }

    fn searching(&self, exact: ArgSet) -> Reach {
        let used = self.keys.iter().fold(ArgSet::EMPTY, |used, key| used.union(key.args()));
        let by = match self.keys.iter().all(|key| key.ends_with_gap(exact)) {
            _ if used.is_subset_of(used.difference(exact)) => ReachBy::WholeCache,
            true => ReachBy::Prefix,
            false => ReachBy::Pattern,
        };
        let rounds_up = !exact.is_subset_of(used) || self.keys.iter().any(|key| key.has_open_gap(exact));
        let reach = Reach { actions: self.keys.len(), ..Reach::one(by, self.shown(exact), rounds_up) };
        reach.advising("give the decorator `tags`, or `values` to arguments with few of them")
    }
}

impl Scheme for EasyCache {
    fn args(&self) -> &[String] {
        &self.names
    }

    fn reach(&self, exact: ArgSet, max_keys: usize) -> Reach {
        match self.choose(exact, max_keys) {
            Choice::Keys(count) => Reach::keys(self.shown(self.args.all()), count),
            Choice::Tags(tag, actions) => {
                let rounds_up = !exact.is_subset_of(tag.args());
                Reach { actions, ..Reach::one(ReachBy::Tag, tag.shown(self.args.all()), rounds_up) }
            }
            Choice::Search => self.searching(exact),
            Choice::Nothing(why) => {
                let all = self.args.all();
                let tags = self.tags.iter().map(|tag| tag.shown(all));
                let shown: Vec<_> = self.keys.iter().map(|key| key.shown(all)).chain(tags).collect();
                Reach::nothing(shown.join(", "), why)
            }
        }
    }

    fn actions(&self, exact: ArgSet, max_keys: usize) -> usize {
        match self.choose(exact, max_keys) {
            Choice::Keys(count) | Choice::Tags(_, count) => count,
            Choice::Search => self.keys.len(),
            Choice::Nothing(_) => 0,
        }
    }

    fn remove(
        &self,
        key_set: &KeySet<'_>,
        max_keys: usize,
        buffer: &mut String,
        remover: &mut dyn Remover,
    ) -> Result<(), KeyError> {
        let exact = key_set.exact();
        match self.choose(exact, max_keys) {
            Choice::Keys(_) => self.keys.iter().try_for_each(|key| {
                self.args.each(key_set, key.args().difference(exact), |filled| {
                    key.render(filled, buffer)?;
                    remover.delete(buffer)
                })
            }),
            Choice::Tags(tag, _) => self.args.each(key_set, tag.args().difference(exact), |filled| {
                tag.render(filled, buffer)?;
                remover.set(buffer, self.write)
            }),
            Choice::Search => {
                self.keys.iter().try_for_each(|key| match key.search(exact, &self.args.filled(key_set))? {
                    Found::Prefix(prefix) => remover.delete_prefix(&prefix),
                    Found::Pattern(pattern) => remover.delete_pattern(&pattern),
                })
            }
            Choice::Nothing(why) => Err(KeyError::OutOfReach(why.to_owned())),
        }
    }

    fn remove_all(&self, remover: &mut dyn Remover) {
        /// More are seldom cheaper than to let them expire.
        const KEYS_MAX: usize = 10_000;
        let all = KeySet::all(self.args.len());
        // All these stand in the configuration; where they cannot be told, nothing from outside removes them.
        drop(self.remove(&all, KEYS_MAX, &mut String::new(), remover));
    }
}

#[cfg(test)]
mod tests;
