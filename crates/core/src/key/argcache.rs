//! Spells the keys of ArgCache: entries by the text of their arguments, and the tokens that every entry was written under.

mod marinade;

use serde::Deserialize;

use super::digest::Digest;
use super::library::{Built, Cannot, Given, Library};
use super::{ArgSet, Args, Filled, KeyError, KeySet, OneOrMany, Reach, ReachBy, Remover, Scheme};
use crate::action::Write;
use crate::glob::GlobBuilder;
use quash_config::{ConfigPath, Problem};

/// What all cached inclusion tags are called, up to the star behind which the tag's function stands.
const INCLUSION_TAG: &str = "argcache.extras.template.CachedInclusionNode.render_given_args*";
/// The parameter of theirs that has a token: the list of the tag's arguments.
const RESOLVED_ARGS: &str = "resolved_args";

/// Keys that `@cache_function` of ArgCache wrote.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The decorated function: as the library names it, `app.models.Book.detail`, or as Python does, `app.models:Book.detail`.
    pub function: Option<String>,
    /// What the decorator has as `extra_name`, which stands behind the name.
    pub extra_name: String,
    /// The function of a `@cache_inclusion_tag`, in the place of `function`: the rendered tag.
    pub inclusion_tag: Option<String>,
    /// The positional parameters of the function in their order, also `self`.
    pub params: Vec<String>,
    // Not called `tokens`: what stands at a key that announces secrets is shown in no error.
    /// The parameters of every token that the code makes over some of them, in the order in which it makes them.
    pub partial: Vec<Vec<String>>,
    /// How the installed release lays out its keys, or several while a deployment rolls over.
    pub layout: Option<OneOrMany<Layout>>,
    /// Whether entries are searched for where no token fits, instead of dropping more with a wider token.
    pub scan: bool,
    /// Cannot be had from outside.
    #[cfg_attr(feature = "schema", schemars(skip))]
    pub derived_field: Option<Cannot>,
}

/// How a state of the library lays out its keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Layout {
    /// The name, `|`, the arguments as text.
    Raw,
    /// The name, `|`, the SHA-256 of the arguments.
    HashedArgs,
    /// The SHA-256 of the raw layout.
    HashedAll,
}

impl Layout {
    fn entry(self, name: &str, args: &str) -> String {
        match self {
            Self::Raw => format!("{name}|{args}"),
            Self::HashedArgs => format!("{name}|{}", Digest::Sha256.hex(args)),
            Self::HashedAll => Digest::Sha256.hex(&format!("{name}|{args}")),
        }
    }

    fn token(self, name: &str, args: &str) -> String {
        format!("TOKEN__{}", self.entry(name, args))
    }
}

impl Library for Config {
    fn args(&self) -> Vec<String> {
        self.params.clone()
    }

    fn scheme(&self, given: Given<'_>) -> Built {
        let problems = self.problems();
        if !problems.is_empty() {
            return (None, problems);
        }
        let (function, kind) = match &self.inclusion_tag {
            Some(tag) => (format!("{INCLUSION_TAG}{}", dotted(tag)), Kind::InclusionTag),
            None => (dotted(self.function.as_deref().unwrap_or_default()) + &self.extra_name, Kind::Function),
        };
        let names = self.params.clone();
        let layouts = self.layouts().to_vec();
        let tokens = self.token_sets(&given.args);
        let scheme = ArgCache { args: given.args, names, function, kind, layouts, tokens, scan: self.scan };
        (Some(Box::new(scheme)), problems)
    }
}

/// The library's name of a function: behind its module the innermost scope around it, and itself.
fn dotted(function: &str) -> String {
    let Some((module, qualified)) = function.split_once(':') else { return function.to_owned() };
    let scopes: Vec<&str> = qualified.split('.').filter(|scope| *scope != "<locals>").collect();
    let named = &scopes[scopes.len().saturating_sub(2)..];
    format!("{module}.{}", named.join("."))
}

impl Config {
    fn layouts(&self) -> &[Layout] {
        self.layout.as_ref().map_or(&[], OneOrMany::as_slice)
    }

    /// The parameters of the tokens that are stored: one over all of them is the entry itself, and one over none is always
    /// there.
    fn token_sets(&self, args: &Args) -> Vec<ArgSet> {
        let mut sets: Vec<ArgSet> = Vec::new();
        for token in &self.partial {
            let set = args.set_of(token.iter().map(String::as_str));
            if !set.is_empty() && set != args.all() && !sets.contains(&set) {
                sets.push(set);
            }
        }
        sets
    }

    fn problems(&self) -> Vec<Problem> {
        let path = ConfigPath::root;
        let mut problems: Vec<Problem> = Vec::new();
        let named = [&self.function, &self.inclusion_tag].into_iter().flatten().filter(|name| !name.is_empty());
        if named.count() != 1 {
            problems.push(Problem::error(path(), "name exactly one of `function` and `inclusion_tag`"));
        }
        if self.layouts().is_empty() {
            let message = "which layout the keys have is not known: the library has had three";
            let help = "look at a key: with `|` and text behind it `raw`, with `|` and 64 digits `hashed_args`, 64 digits \
                        alone `hashed_all`; say `layout: raw`";
            problems.push(Problem::error(path().key("layout"), message).help(help));
        }
        for (index, name) in self.params.iter().enumerate().filter(|(index, name)| self.params[..*index].contains(name))
        {
            let message = format!("parameter `{name}` is named twice");
            problems.push(Problem::error(path().key("params").index(index), message));
        }
        if self.inclusion_tag.is_some() && !(self.partial.is_empty() && self.extra_name.is_empty()) {
            let message = "a rendered tag has one token, over all arguments of the tag, and no name of its own";
            problems
                .push(Problem::error(path().key("inclusion_tag"), message).help("take `partial` and `extra_name` out"));
        }
        problems.extend(self.wrong_tokens());
        problems.extend(self.no_scan());
        problems.extend(Cannot::refuse(
            self.derived_field,
            "derived_field",
            "a DerivedField computes its column on a signal that exists only inside a Django process",
            "keep `depend_on_*` of that field in the application; declare here what is only cached",
        ));
        problems
    }

    fn wrong_tokens(&self) -> impl Iterator<Item = Problem> {
        let names =
            |token: usize| self.partial[token].iter().enumerate().map(move |(index, name)| (token, index, name));
        let all = (0..self.partial.len()).flat_map(names);
        all.filter(|(.., name)| !self.params.contains(name)).map(|(token, index, name)| {
            let path = ConfigPath::root().key("partial").index(token).index(index);
            let problem = Problem::error(path, format!("`{name}` is none of `params`"));
            problem.did_you_mean(name, self.params.iter().map(String::as_str))
        })
    }

    /// Only text can be searched.
    fn no_scan(&self) -> Option<Problem> {
        let hashed = self.layouts().iter().any(|layout| *layout != Layout::Raw);
        let why = match (hashed, &self.inclusion_tag) {
            (true, _) => "hashed keys cannot be searched",
            (false, Some(_)) => "the keys of a rendered tag hold the attributes of its context",
            (false, None) => return None,
        };
        let help = "take `scan` out; a token over the parameters that are known removes the same without a search: \
                    `f.get_or_create_token(('a',))` in the code, `partial: [[a]]` here";
        self.scan.then(|| Problem::error(ConfigPath::root().key("scan"), why).help(help))
    }
}

/// The keys of one function.
#[derive(Debug)]
struct ArgCache {
    args: Args,
    names: Vec<String>,
    function: String,
    kind: Kind,
    layouts: Vec<Layout>,
    /// The tokens over some of the parameters, oldest first; that over none exists always.
    tokens: Vec<ArgSet>,
    scan: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Function,
    /// Its arguments are one parameter, a list, that has a token; its entries are never spelt.
    InclusionTag,
}

/// What removes a key set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// The entries themselves, that many.
    Entries { count: usize },
    /// The tokens over these parameters, that many.
    Tokens { over: ArgSet, count: usize },
    /// A search for entries.
    Scan,
}

impl ArgCache {
    /// The cheapest way that removes nothing but the key set; with one action a layout it is the library's own. Where there
    /// is none, the token that the library would take: the one made last of those whose parameters are all known.
    fn way(&self, exact: ArgSet, max_keys: usize) -> Way {
        let all = self.args.all();
        let entries = (self.kind == Kind::Function && !all.is_empty()).then_some(all);
        let tag = (self.kind == Kind::InclusionTag && !all.is_empty()).then_some(all);
        let exactly = [ArgSet::EMPTY].into_iter().chain(self.tokens.iter().copied()).chain(tag);
        let ways = exactly.map(|over| (over, false)).chain(entries.map(|all| (all, true)));
        let fitting = ways.filter(|(over, _)| exact.is_subset_of(*over)).filter_map(|(over, is_entry)| {
            let count = self.args.count(over.difference(exact))?.checked_mul(self.layouts.len())?;
            let way = if is_entry { Way::Entries { count } } else { Way::Tokens { over, count } };
            // What has nothing to enumerate stays as it is, also where nothing may be enumerated any more.
            (count <= max_keys.max(self.layouts.len())).then_some((count, way))
        });
        let cheapest = fitting.min_by_key(|(count, _)| *count).map(|(_, way)| way);
        cheapest.unwrap_or_else(|| self.rounding_up(exact))
    }

    fn rounding_up(&self, exact: ArgSet) -> Way {
        let latest = self.tokens.iter().rev().find(|token| token.is_subset_of(exact));
        match (self.scan, latest) {
            (true, _) => Way::Scan,
            (false, over) => Way::Tokens { over: over.copied().unwrap_or(ArgSet::EMPTY), count: self.layouts.len() },
        }
    }

    fn actions_of(way: Way) -> usize {
        match way {
            Way::Entries { count } | Way::Tokens { count, .. } => count,
            Way::Scan => 1,
        }
    }

    /// The name in the key of the token over these parameters.
    fn token_name(&self, over: ArgSet) -> String {
        if over.is_empty() {
            return self.function.clone();
        }
        let params = match self.kind {
            Kind::Function => over.iter().map(|arg| self.args.name(arg)).collect::<Vec<_>>().join(":"),
            Kind::InclusionTag => RESOLVED_ARGS.to_owned(),
        };
        format!("{}|{params}", self.function)
    }

    /// The text of the arguments that a key holds.
    fn text(&self, over: ArgSet, filled: &Filled<'_, '_>) -> Result<String, KeyError> {
        let texts = over.iter().map(|arg| marinade::of(filled, arg)).collect::<Result<Vec<_>, _>>()?;
        Ok(match self.kind {
            Kind::InclusionTag if !over.is_empty() => format!("[{}]", texts.join(",")),
            Kind::InclusionTag | Kind::Function => texts.join(":"),
        })
    }

    /// The same for people.
    fn shown(&self, over: ArgSet, known: ArgSet) -> String {
        let shown = |arg| if known.contains(arg) { format!("{{{}}}", self.args.name(arg)) } else { "*".to_owned() };
        over.iter().map(shown).collect::<Vec<_>>().join(":")
    }

    /// Every entry of which these parameters are known. A gap takes colons as well, since nothing in a key is escaped.
    fn delete_entries_like(&self, key_set: &KeySet<'_>, remover: &mut dyn Remover) -> Result<(), KeyError> {
        let (filled, mut glob) = (self.args.filled(key_set), GlobBuilder::new());
        glob.literal(&self.function);
        for arg in 0..self.args.len() {
            glob.literal(if arg == 0 { "|" } else { ":" });
            match key_set.get(arg) {
                Some(_) => glob.literal(&marinade::of(&filled, arg)?),
                None => glob.any(),
            };
        }
        glob.build().iter().try_for_each(|glob| remover.delete_pattern(glob))
    }

    fn advice(&self, exact: ArgSet) -> String {
        let names: Vec<_> = exact.iter().map(|arg| self.args.name(arg)).collect();
        match self.kind {
            Kind::Function => format!(
                "make a token in the code, `get_or_create_token(({}{}))`, and name it here, `partial: [[{}]]`",
                names.iter().map(|name| format!("'{name}'")).collect::<Vec<_>>().join(", "),
                if names.len() == 1 { "," } else { "" },
                names.join(", ")
            ),
            Kind::InclusionTag => "a rendered tag goes alone only if all its arguments are known".to_owned(),
        }
    }
}

impl Scheme for ArgCache {
    fn args(&self) -> &[String] {
        &self.names
    }

    fn reach(&self, exact: ArgSet, max_keys: usize) -> Reach {
        let all = self.args.all();
        match self.way(exact, max_keys) {
            Way::Entries { count } => Reach::keys(format!("{}|{}", self.function, self.shown(all, all)), count),
            Way::Scan => Reach::one(ReachBy::Pattern, format!("{}|{}", self.function, self.shown(all, exact)), false)
                .advising(self.advice(exact)),
            Way::Tokens { over, count } => {
                let template = format!("TOKEN__{}|{}", self.token_name(over), self.shown(over, over));
                let rounds_up = !exact.is_subset_of(over);
                let reach = Reach { actions: count, ..Reach::one(ReachBy::Tag, template, rounds_up) };
                if rounds_up { reach.advising(self.advice(exact)) } else { reach }
            }
        }
    }

    fn actions(&self, exact: ArgSet, max_keys: usize) -> usize {
        Self::actions_of(self.way(exact, max_keys))
    }

    fn remove(
        &self,
        key_set: &KeySet<'_>,
        max_keys: usize,
        _buffer: &mut String,
        remover: &mut dyn Remover,
    ) -> Result<(), KeyError> {
        let exact = key_set.exact();
        match self.way(exact, max_keys) {
            Way::Entries { .. } => self.args.each(key_set, self.args.all().difference(exact), |filled| {
                let text = self.text(self.args.all(), filled)?;
                self.layouts.iter().try_for_each(|layout| remover.delete(&layout.entry(&self.function, &text)))
            }),
            Way::Tokens { over, .. } => {
                let name = self.token_name(over);
                self.args.each(key_set, over.difference(exact), |filled| {
                    let text = self.text(over, filled)?;
                    // Another number in the place of the token, where the library deletes it: a token that is made anew is
                    // one of a million, and may be the old one.
                    self.layouts.iter().try_for_each(|layout| remover.set(&layout.token(&name, &text), Write::RENEW))
                })
            }
            Way::Scan => self.delete_entries_like(key_set, remover),
        }
    }

    fn remove_all(&self, remover: &mut dyn Remover) {
        // The key stands in the configuration, and was measured when that was compiled.
        drop(self.remove(&KeySet::all(self.args.len()), 1, &mut String::new(), remover));
    }
}

#[cfg(test)]
mod tests;
