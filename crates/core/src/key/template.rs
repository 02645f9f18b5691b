//! Spells native keys: a template with `{argument}` and filters, and the templates of its tags.

mod parse;
mod read;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::digest::Digest;
use super::format_spec::FormatSpec;
use super::key_set::Arg;
use super::text::spell;
use super::{ArgSet, Args, Entries, Filled, KeyError, KeySet, Reach, ReachBy, Remover, Scheme, Spelt};
use crate::action::Write;
use crate::event::Value;
use crate::glob::{Glob, GlobBuilder};

pub use parse::TemplateError;

/// Everything but what RFC 3986 calls unreserved, as `urllib.parse.quote(safe="")` does it.
const URL_RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Text with places for arguments: `catalog:{author_id}:{title|lower|md5}`; `{{` and `}}` are braces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    source: String,
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Literal(String),
    Arg { arg: usize, name: String, format: FormatSpec, filters: Vec<Filter>, source: String },
}

/// What may follow an argument in a template.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Filter {
    Lower,
    Urlencode,
    Md5,
    Sha256,
}

impl Filter {
    const NAMES: [(&'static str, Self); 4] =
        [("lower", Self::Lower), ("urlencode", Self::Urlencode), ("md5", Self::Md5), ("sha256", Self::Sha256)];

    fn apply(self, text: &str) -> String {
        match self {
            Self::Lower => text.to_lowercase(),
            Self::Urlencode => utf8_percent_encode(text, URL_RESERVED).to_string(),
            Self::Md5 => Digest::Md5.hex(text),
            Self::Sha256 => Digest::Sha256.hex(text),
        }
    }

    /// How many hexadecimal digits it gives, if it is a digest.
    const fn digits(self) -> Option<usize> {
        match self {
            Self::Lower | Self::Urlencode => None,
            Self::Md5 => Some(32),
            Self::Sha256 => Some(64),
        }
    }
}

impl Template {
    fn args(&self) -> ArgSet {
        self.parts.iter().fold(ArgSet::EMPTY, |args, part| match part {
            Part::Literal(_) => args,
            Part::Arg { arg, .. } => args.with(*arg),
        })
    }

    /// How many parts stand before the first argument that is not exact.
    fn parts_before_any(&self, exact: ArgSet) -> usize {
        let any = |part: &Part| matches!(part, Part::Arg { arg, .. } if !exact.contains(*arg));
        self.parts.iter().position(any).unwrap_or(self.parts.len())
    }

    /// Renders the first parts; all their arguments are exact in `values`.
    fn render(&self, parts: usize, filled: &Filled<'_, '_>, out: &mut String) -> Result<(), KeyError> {
        out.clear();
        for part in &self.parts[..parts] {
            match part {
                Part::Literal(text) => out.push_str(text),
                Part::Arg { arg, name, format, filters, .. } => {
                    let start = out.len();
                    let known = filled.get(*arg).unwrap_or(Arg { value: &Value::Null, declared: None });
                    let spelt = if format.is_plain() { spell(known.value, out) } else { format.format(known, out) };
                    spelt.map_err(|why| KeyError::Unspellable { arg: name.clone(), why })?;
                    for filter in filters {
                        let filtered = filter.apply(&out[start..]);
                        out.truncate(start);
                        out.push_str(&filtered);
                    }
                }
            }
        }
        Ok(())
    }

    /// The text that every key of the template begins with; never empty.
    fn root(&self) -> &str {
        match self.parts.first() {
            Some(Part::Literal(text)) => text,
            _ => &self.source,
        }
    }

    /// What every key of the template looks like.
    fn pattern(&self) -> Option<Glob> {
        let mut pattern = GlobBuilder::new();
        for part in &self.parts {
            match part {
                Part::Literal(text) => pattern.literal(text),
                Part::Arg { filters, .. } => match filters.last().and_then(|filter| filter.digits()) {
                    Some(digits) => pattern.hex(digits),
                    None => pattern.any(),
                },
            };
        }
        pattern.build()
    }

    fn shown(&self, parts: usize) -> String {
        let mut out = String::new();
        for part in &self.parts[..parts] {
            match part {
                Part::Literal(text) => out.push_str(text),
                Part::Arg { source, .. } => out.extend(["{", source, "}"]),
            }
        }
        out
    }
}

/// The native scheme: one key template, enumerable values, and the tags that readers check.
#[derive(Debug)]
pub struct TemplateScheme {
    args: Args,
    names: Vec<String>,
    /// `None` where entries are removed by their tags alone.
    key: Option<Template>,
    key_args: ArgSet,
    /// Narrowest first.
    tags: Vec<(Template, ArgSet)>,
    /// The same as the cache declares them.
    declared_tags: Vec<Template>,
    readers: Readers,
}

/// What readers of the entries check, which decides what has to be done to make one of them stale.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Readers {
    /// They may check tags, and may rely on the worker to make them.
    #[default]
    Unknown,
    /// They take the tags' tokens before they load and make those that are missing. Removing a key does not hold up a load
    /// that is under way: only another token does.
    CheckTags,
    /// They take a lease in the key before they load, and its tags' tokens, and make those that are missing. Removing the
    /// key or renewing a tag: either does.
    TakeLeases,
}

/// What removes a key set.
enum Choice<'s> {
    Keys { key: &'s Template, enumerated: ArgSet, count: usize },
    Tag(&'s Template, ArgSet),
    Prefix { key: &'s Template, parts: usize },
    Nothing,
}

/// Why tags alone do not remove a key set, and the way out.
const NO_TAG: &str = "no tag has exact values for all its arguments: add a tag without arguments, or a `key`";

impl TemplateScheme {
    /// Puts a scheme together.
    #[must_use]
    pub fn new(args: Args, key: Option<Template>, tags: Vec<Template>) -> Self {
        let declared_tags = tags.clone();
        let mut tags: Vec<_> = tags.into_iter().map(|tag| (tag.args(), tag)).map(|(args, tag)| (tag, args)).collect();
        tags.sort_by_key(|(_, args)| std::cmp::Reverse(args.len()));
        let key_args = key.as_ref().map(Template::args).unwrap_or_default();
        Self { names: args.names(), args, key, key_args, tags, declared_tags, readers: Readers::default() }
    }

    /// The same for readers that check this.
    #[must_use]
    pub fn for_readers(self, readers: Readers) -> Self {
        Self { readers, ..self }
    }

    /// The arguments that neither the key nor a tag spells.
    #[must_use]
    pub fn unused_args(&self) -> Vec<&str> {
        let used = self.tags.iter().fold(self.key_args, |used, (_, args)| used.union(*args));
        self.names.iter().enumerate().filter(|(arg, _)| !used.contains(*arg)).map(|(_, name)| name.as_str()).collect()
    }

    fn choose(&self, exact: ArgSet, max_keys: usize) -> Choice<'_> {
        if self.readers == Readers::CheckTags {
            return self.choose_tag(exact);
        }
        let enumerated = self.key_args.difference(exact);
        // A key set that is one key stays one, also where nothing may be enumerated any more.
        let count = self.args.count(enumerated).filter(|count| *count <= max_keys.max(1));
        if let (Some(key), Some(count)) = (&self.key, count) {
            return Choice::Keys { key, enumerated, count };
        }
        match (self.covering_tag(exact), &self.key) {
            (Some((tag, args)), _) => Choice::Tag(tag, *args),
            (None, Some(key)) => Choice::Prefix { key, parts: key.parts_before_any(exact) },
            (None, None) => Choice::Nothing,
        }
    }

    /// For readers that check every tag of an entry. Where no tag is wholly known, removing all tokens that one of them may
    /// have does as well: one that is missing means stale.
    fn choose_tag(&self, exact: ArgSet) -> Choice<'_> {
        match (self.covering_tag(exact), self.tags.last()) {
            (Some((tag, args)), _) => Choice::Tag(tag, *args),
            (None, Some((tag, _))) => Choice::Prefix { key: tag, parts: tag.parts_before_any(exact) },
            (None, None) => Choice::Nothing,
        }
    }

    /// The narrowest tag all of whose arguments are exact.
    fn covering_tag(&self, exact: ArgSet) -> Option<&(Template, ArgSet)> {
        self.tags.iter().find(|(_, args)| args.is_subset_of(exact))
    }

    fn renew(&self, tag: &str, remover: &mut dyn Remover) -> Result<(), KeyError> {
        match self.readers {
            Readers::Unknown => remover.bump(tag),
            // Where there is none nothing is fresh, and readers make one.
            Readers::CheckTags | Readers::TakeLeases => remover.set(tag, Write::RENEW),
        }
    }

    fn remove_prefix(
        &self,
        key: &Template,
        key_set: &KeySet<'_>,
        parts: usize,
        buffer: &mut String,
        remover: &mut dyn Remover,
    ) -> Result<(), KeyError> {
        if let Some(Part::Arg { arg, name, .. }) = key.parts[..parts].last()
            && matches!(key_set.get(*arg), Some(Value::Text(text)) if text.trim().is_empty())
        {
            return Err(KeyError::EmptyInPrefix { arg: name.clone() });
        }
        key.render(parts, &self.args.filled(key_set), buffer)?;
        remover.delete_prefix(buffer)
    }
}

/// The arguments that the first parts of a key spell, and whether a neighbour's key could begin with the same text
/// because nothing literal ends the last of them.
fn prefix_args(key: &Template, parts: usize) -> (ArgSet, bool) {
    let args = key.parts[..parts].iter().fold(ArgSet::EMPTY, |args, part| match part {
        Part::Literal(_) => args,
        Part::Arg { arg, .. } => args.with(*arg),
    });
    (args, matches!(key.parts[..parts].last(), Some(Part::Arg { .. })))
}

impl Scheme for TemplateScheme {
    fn args(&self) -> &[String] {
        &self.names
    }

    fn reach(&self, exact: ArgSet, max_keys: usize) -> Reach {
        match self.choose(exact, max_keys) {
            Choice::Keys { key, count, .. } => Reach::keys(key.shown(key.parts.len()), count),
            Choice::Tag(tag, args) => Reach::one(ReachBy::Tag, tag.shown(tag.parts.len()), !exact.is_subset_of(args)),
            Choice::Prefix { key, parts } => {
                let (args, open) = prefix_args(key, parts);
                let by = if args.is_empty() { ReachBy::WholeCache } else { ReachBy::Prefix };
                Reach::one(by, key.shown(parts) + "*", open || !exact.is_subset_of(args))
            }
            Choice::Nothing => {
                let tags: Vec<_> = self.tags.iter().map(|(tag, _)| tag.shown(tag.parts.len())).collect();
                Reach::nothing(tags.join(", "), NO_TAG)
            }
        }
    }

    fn actions(&self, exact: ArgSet, max_keys: usize) -> usize {
        match self.choose(exact, max_keys) {
            Choice::Keys { count, .. } => count,
            Choice::Tag(..) | Choice::Prefix { .. } => 1,
            Choice::Nothing => 0,
        }
    }

    fn remove(
        &self,
        key_set: &KeySet<'_>,
        max_keys: usize,
        buffer: &mut String,
        remover: &mut dyn Remover,
    ) -> Result<(), KeyError> {
        match self.choose(key_set.exact(), max_keys) {
            Choice::Keys { key, enumerated, .. } => self.args.each(key_set, enumerated, |filled| {
                key.render(key.parts.len(), filled, buffer)?;
                remover.delete(buffer)
            }),
            Choice::Tag(tag, _) => {
                tag.render(tag.parts.len(), &self.args.filled(key_set), buffer)?;
                self.renew(buffer, remover)
            }
            Choice::Prefix { key, parts } => self.remove_prefix(key, key_set, parts, buffer, remover),
            Choice::Nothing => Err(KeyError::OutOfReach(NO_TAG.to_owned())),
        }
    }

    fn remove_all(&self, remover: &mut dyn Remover) {
        // All these stand in the configuration, and were measured when it was compiled.
        let everywhere = || self.tags.iter().filter(|(_, args)| args.is_empty());
        let asked = match (&self.key, self.tags.last()) {
            // Any one of its tags is enough to make an entry stale.
            (_, Some((tag, args))) if self.readers == Readers::CheckTags => match args.is_empty() {
                true => self.renew(tag.root(), remover),
                false => tag.pattern().map_or(Ok(()), |pattern| remover.delete_pattern(&pattern)),
            },
            (Some(key), _) if self.key_args.is_empty() => remover.delete(key.root()),
            (Some(key), _) => remover.delete_prefix(key.root()),
            (None, _) => everywhere().map(|(tag, _)| tag.root()).try_for_each(|tag| self.renew(tag, remover)),
        };
        drop(asked);
    }

    fn spell(&self, key_set: &KeySet<'_>) -> Option<Result<Spelt, KeyError>> {
        let filled = self.args.filled(key_set);
        let render = |template: &Template| {
            let mut text = String::new();
            template.render(template.parts.len(), &filled, &mut text).map(|()| text)
        };
        let key = self.key.as_ref()?;
        let tags = || self.declared_tags.iter().map(render).collect::<Result<_, _>>();
        let narrowest = (0..self.declared_tags.len()).rev().max_by_key(|tag| self.declared_tags[*tag].args().len());
        Some(render(key).and_then(|key| Ok(Spelt { key, tags: tags()?, narrowest })))
    }

    fn read<'k>(&self, key: &'k str) -> Option<Vec<(usize, &'k str)>> {
        self.key.as_ref()?.read(key)
    }

    fn entries(&self) -> Entries {
        let keys = self.key.iter().filter_map(Template::pattern).collect();
        let tags = self.tags.iter().filter_map(|(tag, _)| tag.pattern()).collect();
        Entries { keys, tags, shared: false }
    }
}
