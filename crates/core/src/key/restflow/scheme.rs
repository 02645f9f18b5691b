//! Removes entries of drf-restflow: exact keys, partitions by their prefix, others by patterns.
//!
//! A key is a head (namespace and function), the partition's fields and the suffix's fields, with `::` between them. What is
//! known of a key set gives the key up to the last field that is known, with gaps; then follows how a key may go on from there.

use super::super::digest::Digest;
use super::super::{ArgSet, Args, KeyError, KeySet, Reach, ReachBy, Remover, Scheme};
use super::SEPARATOR;
use super::field::{Field, Piece, Source};
use crate::glob::GlobBuilder;

/// The keys of one function, or of several that share a constructor.
#[derive(Debug)]
pub(super) struct Restflow {
    pub(super) args: Args,
    pub(super) names: Vec<String>,
    /// What the keys of each function begin with, without the separator.
    pub(super) prefixes: Vec<String>,
    /// Those of the partition, then the others.
    pub(super) fields: Vec<Field>,
    /// How many fields the partition has.
    pub(super) partition: usize,
    /// Whether the head is a namespace, behind which functions follow.
    pub(super) is_namespace: bool,
    pub(super) overflow: Option<Overflow>,
    pub(super) releases: Vec<Release>,
}

/// What becomes of a long suffix.
#[derive(Debug, Clone, Copy)]
pub(super) struct Overflow {
    /// In characters.
    pub(super) longest: usize,
    pub(super) digest: Digest,
}

/// How a release ends the keys that have no suffix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Release {
    /// To 1.1: by nothing.
    Stripped,
    /// From 1.2 on: by the separator.
    Separated,
}

impl Release {
    pub(super) fn of(release: &str) -> Option<Self> {
        let mut parts = release.split('.').map(str::parse::<u32>);
        let (Some(Ok(major)), Some(Ok(minor))) = (parts.next(), parts.next()) else { return None };
        match (major, minor, parts.all(|part| part.is_ok())) {
            (1, 0..=1, true) => Some(Self::Stripped),
            (1, 2..=4, true) | (2, 0, true) => Some(Self::Separated),
            _ => None,
        }
    }
}

/// What follows behind the part of a key that is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tail {
    /// Nothing.
    End,
    /// The separator, and nothing.
    Separator,
    /// The separator, and anything.
    More,
    /// Anything: the known part ends amid a field.
    Rest,
}

/// How a key set is removed.
#[derive(Debug)]
struct Route {
    /// The last field that is spelt.
    last: Option<usize>,
    /// The arguments that are spelt.
    known: ArgSet,
    enumerated: ArgSet,
    /// How many combinations of enumerated arguments there are.
    count: usize,
    tails: Vec<Tail>,
}

impl Restflow {
    fn route(&self, exact: ArgSet, max_keys: usize) -> Route {
        let whole = self.fields.len().checked_sub(1);
        let (enumerated, tails) = (self.args.all().difference(exact), self.tails(whole, false));
        let each = self.prefixes.len() * tails.len();
        // What has nothing to enumerate stays as it is, also where nothing may be enumerated any more.
        let few = |count: &usize| count.saturating_mul(each) <= max_keys.max(each);
        let is_spelt = !self.is_namespace && !self.fields.iter().any(Field::is_any);
        match self.args.count(enumerated).filter(few).filter(|_| is_spelt) {
            Some(count) => Route { last: whole, known: self.args.all(), enumerated, count, tails },
            None => self.partly(exact),
        }
    }

    /// As far as these arguments go.
    fn partly(&self, known: ArgSet) -> Route {
        let last = self.fields.iter().rposition(|field| field.shows(known));
        let suffix = || self.fields[self.partition..].iter();
        let last = match (last, &self.overflow) {
            // The suffix may be a digest, which is known as a whole or not at all.
            (Some(last), Some(_)) if last >= self.partition => match suffix().all(|field| field.is_full(known)) {
                true => self.fields.len().checked_sub(1),
                false => self.fields[..self.partition].iter().rposition(|field| field.shows(known)),
            },
            _ => last,
        };
        let is_amid = last.is_some_and(|last| self.fields[last].goes_on_behind(known));
        Route { last, known, enumerated: ArgSet::EMPTY, count: 1, tails: self.tails(last, is_amid) }
    }

    /// How keys go on behind this field, in every release.
    fn tails(&self, last: Option<usize>, is_amid: bool) -> Vec<Tail> {
        if self.is_namespace {
            return vec![Tail::More];
        }
        if is_amid {
            return vec![Tail::Rest];
        }
        let later = &self.fields[last.map_or(0, |last| last + 1)..];
        let mut tails = Vec::new();
        for release in &self.releases {
            let is_bare = last.is_some_and(|last| last >= self.partition) || *release == Release::Stripped;
            let ends = if is_bare { Tail::End } else { Tail::Separator };
            let of_release = match later {
                [] => [Some(ends), None],
                later if is_bare && later.iter().all(Field::may_be_empty) => [Some(Tail::More), Some(Tail::End)],
                _ => [Some(Tail::More), None],
            };
            tails.extend(of_release.into_iter().flatten().filter(|tail| !tails.contains(tail)).collect::<Vec<_>>());
        }
        tails
    }

    /// The key behind the head, as far as the route goes.
    fn stem(&self, route: &Route, source: Source<'_, '_, '_>) -> Result<Vec<Piece>, KeyError> {
        let Some(last) = route.last else { return Ok(Vec::new()) };
        let (partition, suffix) = self.fields[..=last].split_at(self.partition.min(last + 1));
        let mut stem = Vec::new();
        let section = self.section(partition, route, last < self.partition, source)?;
        let swallows = !suffix.is_empty() && partition.last().is_some_and(Field::may_be_empty);
        if !section.is_empty() {
            stem.push(Piece::Text(SEPARATOR.to_owned()));
            stem.extend(section);
        }
        if !suffix.is_empty() {
            let mut section = self.section(suffix, route, true, source)?;
            if let ([Piece::Text(text)], Some(overflow)) = (section.as_mut_slice(), self.overflow)
                && matches!(source, Source::Values(_))
                && text.chars().count() > overflow.longest
            {
                *text = overflow.digest.hex(text);
            }
            if !swallows {
                stem.push(Piece::Text(SEPARATOR.to_owned()));
            }
            stem.extend(section);
        }
        Ok(stem)
    }

    /// Fields with separators between them and none at the end.
    fn section(
        &self,
        fields: &[Field],
        route: &Route,
        is_last: bool,
        source: Source<'_, '_, '_>,
    ) -> Result<Vec<Piece>, KeyError> {
        // The library strips separators at the end, so that a gap there may have swallowed those before it.
        let open = fields.iter().rev().take_while(|field| field.may_be_empty()).count();
        let (kept, open) = fields.split_at(fields.len() - open);
        let mut joined: Vec<Piece> = Vec::new();
        for (index, field) in kept.iter().enumerate() {
            if index > 0 {
                append(&mut joined, Piece::Text(SEPARATOR.to_owned()));
            }
            let ends = is_last && index + 1 == fields.len();
            field.pieces(route.known, ends, source)?.into_iter().for_each(|piece| append(&mut joined, piece));
        }
        match joined.as_mut_slice() {
            [.., Piece::Text(text)] => text.truncate(text.trim_end_matches(SEPARATOR).len()),
            // Of a value of colons alone the library strips the colon before it as well.
            [.., Piece::Text(name), Piece::Any] => name.truncate(name.strip_suffix(':').unwrap_or(name).len()),
            _ => {}
        }
        if !open.is_empty() {
            if !joined.is_empty() {
                append(&mut joined, Piece::Text(SEPARATOR.to_owned()));
            }
            append(&mut joined, Piece::Any);
        }
        Ok(joined)
    }

    /// What the key set asks for that no part of the keys shows.
    fn unused(&self, exact: ArgSet, route: &Route) -> ArgSet {
        let spelt = self.fields[..route.last.map_or(0, |last| last + 1)].iter();
        let used = spelt.filter(|field| field.shows(exact) || field.is_full(route.known));
        used.fold(exact, |unused, field| unused.difference(field.args))
    }
}

impl Restflow {
    fn advice(&self, unused: ArgSet, by: ReachBy) -> Option<String> {
        let can_be_exact = !self.is_namespace && !self.fields.iter().any(Field::is_any);
        match unused.iter().next() {
            _ if by == ReachBy::Keys => None,
            Some(arg) => Some(format!(
                "{} stands in a digest with others; give `map` or `values` for all that the field, or the suffix where it may \
                 be hashed, has",
                self.args.name(arg)
            )),
            None if can_be_exact => Some(
                "with `values` for all other arguments these are exact keys; else the batch has one such pass for all"
                    .to_owned(),
            ),
            None => Some("the batch has one such pass for all".to_owned()),
        }
    }
}

impl Scheme for Restflow {
    fn args(&self) -> &[String] {
        &self.names
    }

    fn reach(&self, exact: ArgSet, max_keys: usize) -> Reach {
        let route = self.route(exact, max_keys);
        // Names are always spelt.
        let stem = self.stem(&route, Source::Names(&self.args)).unwrap_or_default();
        let has_gap = stem.iter().any(|piece| !matches!(piece, Piece::Text(_)));
        let is_open = route.tails.iter().any(|tail| matches!(tail, Tail::More | Tail::Rest));
        let by = match (has_gap, is_open, route.last) {
            (true, ..) => ReachBy::Pattern,
            (false, true, None) => ReachBy::WholeCache,
            (false, true, Some(_)) => ReachBy::Prefix,
            (false, false, _) => ReachBy::Keys,
        };
        let tail = route.tails.first().copied().unwrap_or(Tail::End);
        let shown =
            |head: &String| format!("{head}{}{}", stem.iter().map(Piece::shown).collect::<String>(), tail.shown());
        let template = self.prefixes.iter().map(shown).collect::<Vec<_>>().join(", ");
        let actions = self.prefixes.len() * route.tails.len() * route.count;
        let unused = self.unused(exact, &route);
        let reach = Reach { by, template, actions, rounds_up: !unused.is_empty(), advice: None };
        match self.advice(unused, by) {
            Some(advice) => reach.advising(advice),
            None => reach,
        }
    }

    fn actions(&self, exact: ArgSet, max_keys: usize) -> usize {
        let route = self.route(exact, max_keys);
        self.prefixes.len() * route.tails.len() * route.count
    }

    fn remove(
        &self,
        key_set: &KeySet<'_>,
        max_keys: usize,
        buffer: &mut String,
        remover: &mut dyn Remover,
    ) -> Result<(), KeyError> {
        let route = self.route(key_set.exact(), max_keys);
        self.args.each(key_set, route.enumerated, |filled| {
            let stem = self.stem(&route, Source::Values(filled))?;
            self.prefixes
                .iter()
                .try_for_each(|head| route.tails.iter().try_for_each(|tail| ask(head, &stem, *tail, buffer, remover)))
        })
    }

    fn remove_all(&self, remover: &mut dyn Remover) {
        // Nothing in it is a value, so that it is always spelt; its keys were measured when the configuration was compiled.
        drop(self.remove(&KeySet::all(self.args.len()), 0, &mut String::new(), remover));
    }
}

impl Piece {
    fn shown(&self) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::Any => "*".to_owned(),
            Self::Hex(digits) => format!("[0-9a-f]{{{digits}}}"),
        }
    }
}

impl Tail {
    const fn shown(self) -> &'static str {
        match self {
            Self::End => "",
            Self::Separator => SEPARATOR,
            Self::More => "::*",
            Self::Rest => "*",
        }
    }
}

fn append(pieces: &mut Vec<Piece>, piece: Piece) {
    match (pieces.last_mut(), piece) {
        (Some(Piece::Text(before)), Piece::Text(text)) => before.push_str(&text),
        (_, piece) => pieces.push(piece),
    }
}

fn ask(head: &str, stem: &[Piece], tail: Tail, buffer: &mut String, remover: &mut dyn Remover) -> Result<(), KeyError> {
    if stem.iter().any(|piece| !matches!(piece, Piece::Text(_))) {
        return ask_pattern(head, stem, tail, remover);
    }
    buffer.clear();
    buffer.push_str(head);
    buffer.extend(stem.iter().map(|piece| if let Piece::Text(text) = piece { text.as_str() } else { "" }));
    if matches!(tail, Tail::Separator | Tail::More) {
        buffer.push_str(SEPARATOR);
    }
    match tail {
        Tail::End | Tail::Separator => remover.delete(buffer),
        Tail::More | Tail::Rest => remover.delete_prefix(buffer),
    }
}

fn ask_pattern(head: &str, stem: &[Piece], tail: Tail, remover: &mut dyn Remover) -> Result<(), KeyError> {
    let mut glob = GlobBuilder::new();
    glob.literal(head);
    for piece in stem {
        match piece {
            Piece::Text(text) => glob.literal(text),
            Piece::Any => glob.any(),
            Piece::Hex(digits) => glob.hex(*digits),
        };
    }
    if matches!(tail, Tail::Separator | Tail::More) {
        glob.literal(SEPARATOR);
    }
    if matches!(tail, Tail::More | Tail::Rest) {
        glob.any();
    }
    // The head is never empty, so that there is a pattern.
    glob.build().map_or(Ok(()), |glob| remover.delete_pattern(&glob))
}
