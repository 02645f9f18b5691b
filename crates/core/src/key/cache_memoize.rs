//! Spells the keys of django-cache-memoize: an MD5 of the function's name, the arguments as the call wrote them, and more.

use serde::Deserialize;

use super::digest::Digest;
use super::entries::exactly;
use super::library::{Built, Cannot, Given, Library};
use super::python;
use super::{ArgSet, Args, Entries, Filled, KeyError, KeyFormat, KeySet, OneOrMany, Reach, ReachBy, Remover, Scheme};
use crate::glob::{Glob, GlobBuilder};
use quash_config::{ConfigPath, Problem};

/// Digits of an MD5 in hexadecimal: the whole logical key.
const DIGITS: usize = 32;

/// Keys that `@cache_memoize` wrote.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The decorated function as `module:qualname`, as `shop.views:price`; the colon may be a dot from release 0.1.9 on.
    pub function: Option<String>,
    /// What the decorator has as `prefix`, which takes the function's place.
    pub prefix: Option<String>,
    /// The positional arguments of the call, as `args_rewrite` leaves them.
    pub args: Vec<Positional>,
    /// The keyword arguments of the call, in its order.
    pub kwargs: Vec<String>,
    /// The ways to call it, where there are several: each has entries of its own. In the place of `args` and `kwargs`.
    pub calls: Vec<Call>,
    /// What the decorator has as `extra`, if that is a value.
    pub extra: Option<serde_json::Value>,
    /// The release that writes the keys, or several while a deployment rolls over; the newest known when left out.
    pub release: Option<OneOrMany<String>>,
    /// The key of a number that a callable `extra` puts into every key, as `gen:price`: another number there makes every
    /// entry unreachable.
    pub generation: Option<String>,
    /// Whether everything that the library wrote on the alias may go, of every function, where exact keys do not do.
    pub wipe: bool,
    /// Cannot be had from outside.
    #[cfg_attr(feature = "schema", schemars(skip))]
    pub key_generator_callable: Option<Cannot>,
    /// Cannot be had from outside.
    #[cfg_attr(feature = "schema", schemars(skip))]
    pub args_rewrite: Option<Cannot>,
}

/// One way to call the function.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct Call {
    /// The positional arguments, as `args_rewrite` leaves them.
    pub args: Vec<Positional>,
    /// The keyword arguments, in the order of the call.
    pub kwargs: Vec<String>,
}

/// A positional argument.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(untagged)]
pub enum Positional {
    /// The argument of this name.
    Arg(String),
    /// The characters of a text, one by one, as an `args_rewrite` that returns a text gives them.
    Chars(Chars),
}

/// The characters of a text: `{ chars: email }`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Chars {
    /// The argument.
    pub chars: String,
}

impl Positional {
    fn name(&self) -> &str {
        match self {
            Self::Arg(name) | Self::Chars(Chars { chars: name }) => name,
        }
    }
}

/// How a release builds the text that it hashes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Recipe {
    /// To 0.1.6: the function's bare name, nothing quoted.
    Plain,
    /// 0.1.7 and 0.1.8: its qualified name, arguments quoted, keyword arguments with their `=`.
    Quoted,
    /// 0.1.9 to 0.2.0: its module too, keyword arguments sorted and quoted in parts.
    Sorted,
    /// From 0.2.1 on: `extra` behind it.
    Extra,
}

impl Recipe {
    fn of(release: &str) -> Option<Self> {
        let mut parts = release.split('.').map(str::parse::<u32>);
        let (Some(Ok(major)), Some(Ok(minor)), Some(Ok(patch)), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return None;
        };
        match (major, minor, patch) {
            (0, 1, ..=6) => Some(Self::Plain),
            (0, 1, 7..=8) => Some(Self::Quoted),
            (0, 1, 9..) | (0, 2, 0) => Some(Self::Sorted),
            (0, 2, _) => Some(Self::Extra),
            _ => None,
        }
    }
}

impl Library for Config {
    fn args(&self) -> Vec<String> {
        let mut names: Vec<String> = Vec::new();
        for name in self.calls().iter().flat_map(Call::names) {
            if !names.iter().any(|known| known == name) {
                names.push(name.to_owned());
            }
        }
        names
    }

    fn format_warning(&self, format: &KeyFormat) -> Option<Problem> {
        let warning = super::library::behind_django(format)?;
        if !self.wipe {
            return Some(warning);
        }
        let message = "without a prefix every key of 32 hexadecimal digits could be wiped, whoever wrote it";
        Some(
            Problem::error(ConfigPath::root().key("wipe"), message)
                .help("set the alias's `key_format: { django: {} }`"),
        )
    }

    fn scheme(&self, given: Given<'_>) -> Built {
        let (recipes, mut problems) = self.recipes();
        problems.extend(self.refused());
        let path = || ConfigPath::root();
        if self.function.is_none() == self.prefix.is_none() {
            problems.push(Problem::error(path(), "name exactly one of `function` and `prefix`"));
        }
        let one_call = !(self.args.is_empty() && self.kwargs.is_empty());
        if one_call && !self.calls.is_empty() {
            problems.push(Problem::error(
                path().key("calls"),
                "`args` and `kwargs` go into `calls`, where there are several",
            ));
        }
        if self.generation.as_ref().is_some_and(String::is_empty) {
            problems.push(Problem::error(path().key("generation"), "a generation needs a key"));
        }
        if self.generation.is_some() && self.extra.is_some() {
            let message = "a function has one `extra`: a value, or a callable with a generation in it";
            problems.push(Problem::error(path().key("generation"), message).help("take one of them out"));
        }
        if !problems.is_empty() {
            return (None, problems);
        }
        let keys = self.spellings(&recipes, &given.args);
        let way = match (&self.generation, self.wipe) {
            (Some(generation), _) => Otherwise::Generation(generation.clone()),
            (None, true) => Otherwise::Wipe(every_digest()),
            (None, false) => Otherwise::Nothing,
        };
        (Some(Box::new(CacheMemoize { names: given.args.names(), args: given.args, keys, otherwise: way })), problems)
    }
}

impl Config {
    fn calls(&self) -> Vec<Call> {
        match self.calls.as_slice() {
            [] => vec![Call { args: self.args.clone(), kwargs: self.kwargs.clone() }],
            calls => calls.to_vec(),
        }
    }

    /// The recipes of the releases, each once, and what is wrong with them.
    fn recipes(&self) -> (Vec<Recipe>, Vec<Problem>) {
        let Some(releases) = &self.release else { return (vec![Recipe::Extra], Vec::new()) };
        let (mut recipes, mut problems) = (Vec::new(), Vec::new());
        let path = ConfigPath::root().key("release");
        if releases.as_slice().is_empty() {
            problems.push(Problem::error(path.clone(), "an empty list would invalidate nothing"));
        }
        for (index, release) in releases.as_slice().iter().enumerate() {
            let path = if matches!(releases, OneOrMany::Many(_)) { path.index(index) } else { path.clone() };
            match Recipe::of(release) {
                Some(recipe) if self.splits(recipe) => recipes.extend((!recipes.contains(&recipe)).then_some(recipe)),
                Some(_) => {
                    let problem = Problem::error(path, format!("release {release} leaves the module out of its keys"));
                    problems.push(problem.help("say where it ends in `function`, as `shop.views:price`"));
                }
                None => {
                    let problem = Problem::error(path, format!("the keys of release `{release}` are not known"));
                    problems.push(problem.help("known are 0.1.0 to 0.2.x"));
                }
            }
        }
        (recipes, problems)
    }

    /// Whether the function says where its module ends, if the recipe needs that.
    fn splits(&self, recipe: Recipe) -> bool {
        let colon = self.function.as_ref().is_none_or(|function| function.contains(':'));
        colon || matches!(recipe, Recipe::Sorted | Recipe::Extra)
    }

    fn refused(&self) -> impl Iterator<Item = Problem> {
        let callable = Cannot::refuse(
            self.key_generator_callable,
            "key_generator_callable",
            "what a callable returns cannot be computed from outside",
            "write the key that it returns by hand, as `key: \"mykey:{a}:{b}\"`, in the place of the library",
        );
        let rewrite = Cannot::refuse(
            self.args_rewrite,
            "args_rewrite",
            "what a callable returns cannot be computed from outside",
            "list what it returns as `args`; for a text that it returns, `args: [{ chars: email }]`",
        );
        callable.into_iter().chain(rewrite)
    }

    /// Every text to hash: one per call and recipe.
    fn spellings(&self, recipes: &[Recipe], args: &Args) -> Vec<Spelling> {
        let calls = self.calls();
        let each = |recipe: &Recipe| calls.iter().map(|call| self.spelling(*recipe, call, args)).collect::<Vec<_>>();
        recipes.iter().flat_map(each).collect()
    }

    fn spelling(&self, recipe: Recipe, call: &Call, args: &Args) -> Spelling {
        let index = |name: &str| args.position(name).unwrap_or_default();
        let positional = call.args.iter().map(|arg| match arg {
            Positional::Arg(name) => Part::Arg(index(name)),
            Positional::Chars(Chars { chars }) => Part::Chars(index(chars)),
        });
        let mut kwargs = call.kwargs.clone();
        if matches!(recipe, Recipe::Sorted | Recipe::Extra) {
            kwargs.sort();
        }
        let keywords = kwargs.iter().map(|name| Part::Keyword(index(name), name.clone()));
        let extra = || self.extra.as_ref().map_or_else(|| "null".to_owned(), python::json);
        let shown = call.args.iter().map(|arg| format!("{{{}}}", arg.name()));
        let shown: Vec<_> = shown.chain(call.kwargs.iter().map(|name| format!("{name}={{{name}}}"))).collect();
        Spelling {
            shown: format!("md5 of {}({})", self.name(Recipe::Extra), shown.join(", ")),
            begin: format!("cache_memoize{}", self.name(recipe)),
            parts: positional.chain(keywords).collect(),
            end: if recipe == Recipe::Extra { extra() } else { String::new() },
            args: args.set_of(call.names()),
            recipe,
        }
    }

    /// What stands for the function in the text.
    fn name(&self, recipe: Recipe) -> String {
        let function = self.function.as_deref().unwrap_or_default();
        let qualified = function.split_once(':').map_or(function, |(_, qualified)| qualified);
        match (&self.prefix, recipe) {
            (Some(prefix), _) => prefix.clone(),
            (None, Recipe::Plain) => qualified.rsplit('.').next().unwrap_or_default().to_owned(),
            (None, Recipe::Quoted) => qualified.to_owned(),
            (None, Recipe::Sorted | Recipe::Extra) => function.replacen(':', ".", 1),
        }
    }
}

impl Call {
    fn names(&self) -> impl Iterator<Item = &str> {
        self.args.iter().map(Positional::name).chain(self.kwargs.iter().map(String::as_str))
    }
}

/// Every key that the library could have written on an alias.
fn every_digest() -> Option<Glob> {
    let mut digest = GlobBuilder::new();
    digest.hex(DIGITS);
    digest.build()
}

/// The keys of one function.
#[derive(Debug)]
struct CacheMemoize {
    args: Args,
    names: Vec<String>,
    keys: Vec<Spelling>,
    otherwise: Otherwise,
}

/// What removes entries whose keys cannot be computed.
#[derive(Debug)]
enum Otherwise {
    /// Another number under this key.
    Generation(String),
    /// Everything that the library wrote on the alias.
    Wipe(Option<Glob>),
    Nothing,
}

/// How the text is built that a key is the hash of.
#[derive(Debug)]
struct Spelling {
    shown: String,
    recipe: Recipe,
    begin: String,
    parts: Vec<Part>,
    end: String,
    args: ArgSet,
}

#[derive(Debug)]
enum Part {
    Arg(usize),
    Chars(usize),
    Keyword(usize, String),
}

impl Spelling {
    /// Puts the key into `out`.
    fn key(&self, filled: &Filled<'_, '_>, out: &mut String) -> Result<(), KeyError> {
        let mut texts = Vec::with_capacity(self.parts.len());
        for part in &self.parts {
            self.part(part, filled, &mut texts)?;
        }
        out.clear();
        out.push_str(&self.begin);
        out.push_str(&texts.join(":"));
        out.push_str(&self.end);
        *out = Digest::Md5.hex(out);
        Ok(())
    }

    fn part(&self, part: &Part, filled: &Filled<'_, '_>, texts: &mut Vec<String>) -> Result<(), KeyError> {
        let (Part::Arg(arg) | Part::Chars(arg) | Part::Keyword(arg, _)) = part;
        let mut text = String::new();
        filled.python_str(*arg, &mut text)?;
        match (part, self.recipe) {
            (Part::Arg(_), _) => texts.push(self.quoted(&text)),
            (Part::Chars(_), _) => texts.extend(text.chars().map(|one| self.quoted(one.encode_utf8(&mut [0; 4])))),
            (Part::Keyword(_, name), Recipe::Plain) => texts.push(format!("{name}={text}")),
            (Part::Keyword(_, name), Recipe::Quoted) => texts.push(python::quote(&format!("{name}={text}"))),
            (Part::Keyword(_, name), Recipe::Sorted | Recipe::Extra) => {
                texts.push(format!("{}={}", python::quote(name), python::quote(&text)));
            }
        }
        Ok(())
    }

    fn quoted(&self, text: &str) -> String {
        if self.recipe == Recipe::Plain { text.to_owned() } else { python::quote(text) }
    }
}

impl CacheMemoize {
    /// How many keys a key set has, if all of them can be computed and are not too many.
    fn count(&self, exact: ArgSet, max_keys: usize) -> Option<usize> {
        let each = self.keys.iter().map(|key| self.args.count(key.args.difference(exact)));
        let count = each.sum::<Option<usize>>()?;
        // What has nothing to enumerate stays as it is, also where nothing may be enumerated any more.
        let computable = count <= max_keys.max(self.keys.len());
        (computable && !matches!(self.otherwise, Otherwise::Generation(_))).then_some(count)
    }

    fn shown(&self) -> String {
        let mut shown: Vec<&str> = self.keys.iter().map(|key| key.shown.as_str()).collect();
        shown.dedup();
        shown.join(", ")
    }

    fn why_nothing(&self, exact: ArgSet) -> String {
        let hidden = self.keys.iter().fold(ArgSet::EMPTY, |all, key| all.union(key.args.difference(exact)));
        let names: Vec<_> = hidden.iter().map(|arg| self.args.name(arg)).collect();
        format!(
            "keys are hashes, which cannot be searched: give `map` or `values` for {}, or a `generation`, or `wipe: true` \
             for all functions of the alias",
            names.join(", ")
        )
    }
}

impl Scheme for CacheMemoize {
    fn args(&self) -> &[String] {
        &self.names
    }

    fn reach(&self, exact: ArgSet, max_keys: usize) -> Reach {
        match (self.count(exact, max_keys), &self.otherwise) {
            (Some(count), _) => Reach::keys(self.shown(), count),
            (None, Otherwise::Generation(generation)) => Reach::one(ReachBy::Tag, generation, !exact.is_empty())
                .advising("a generation is all entries of the function; map nothing, if that is meant"),
            (None, Otherwise::Wipe(_)) => Reach::one(ReachBy::Pattern, "[0-9a-f]{32}", true).advising(
                "these are all functions of the alias; give the function an alias or a generation of its own",
            ),
            (None, Otherwise::Nothing) => Reach::nothing(self.shown(), self.why_nothing(exact)),
        }
    }

    fn actions(&self, exact: ArgSet, max_keys: usize) -> usize {
        match (self.count(exact, max_keys), &self.otherwise) {
            (Some(count), _) => count,
            (None, Otherwise::Nothing) => 0,
            (None, Otherwise::Generation(_) | Otherwise::Wipe(_)) => 1,
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
        match (self.count(exact, max_keys), &self.otherwise) {
            (Some(_), _) => self.keys.iter().try_for_each(|key| {
                self.args.each(key_set, key.args.difference(exact), |filled| {
                    key.key(filled, buffer)?;
                    remover.delete(buffer)
                })
            }),
            (None, Otherwise::Generation(generation)) => remover.bump(generation),
            (None, Otherwise::Wipe(digests)) => digests.iter().try_for_each(|digests| remover.delete_pattern(digests)),
            (None, Otherwise::Nothing) => Err(KeyError::OutOfReach(self.why_nothing(exact))),
        }
    }

    fn remove_all(&self, remover: &mut dyn Remover) {
        /// More are seldom cheaper than to let them expire.
        const KEYS_MAX: usize = 10_000;
        let all = KeySet::all(self.args.len());
        // Where they cannot be computed, nothing from outside removes them.
        drop(self.remove(&all, KEYS_MAX, &mut String::new(), remover));
    }

    fn entries(&self) -> Entries {
        let tags = match &self.otherwise {
            Otherwise::Generation(generation) => exactly(generation).into_iter().collect(),
            Otherwise::Wipe(_) | Otherwise::Nothing => Vec::new(),
        };
        Entries { keys: every_digest().into_iter().collect(), tags, shared: true }
    }
}

#[cfg(test)]
mod tests;
