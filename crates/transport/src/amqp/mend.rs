//! Writes anew what publishers wrote and the driver could not read, with a word why; pure.

use crate::message::{UNREADABLE, legible};

/// How deep headers may be nested: the driver calls itself for every level, and so does whoever writes them as JSON.
const DEPTH_MAX: usize = 128;

/// A frame that was mended is no longer than it was, or than this: the driver refuses what is longer than was agreed.
const GROWN_MAX: usize = 64 * 1024;

/// How much of a name is quoted.
const QUOTED_MAX: usize = 60;

/// Class, weight and the length of the body stand before the properties.
const FIXED: usize = 12;

/// Names and texts of a property have a length of one octet.
const SHORT_MAX: usize = 255;

/// How a property is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Short,
    Table,
    Octets(usize),
}

/// The properties of a message in their order; the first has the highest bit.
const PROPERTIES: [(&str, Kind); 14] = [
    ("content-type", Kind::Short),
    ("content-encoding", Kind::Short),
    ("headers", Kind::Table),
    ("delivery-mode", Kind::Octets(1)),
    ("priority", Kind::Octets(1)),
    ("correlation-id", Kind::Short),
    ("reply-to", Kind::Short),
    ("expiration", Kind::Short),
    ("message-id", Kind::Short),
    ("timestamp", Kind::Octets(8)),
    ("type", Kind::Short),
    ("user-id", Kind::Short),
    ("app-id", Kind::Short),
    ("cluster-id", Kind::Short),
];

/// The class and the methods that carry names which a publisher chose.
const BASIC: u16 = 60;
const RETURN: u16 = 50;
const DELIVER: u16 = 60;
const GET_OK: u16 = 71;

/// Mends a method in place: names that are not UTF-8 get question marks. They say where a message came by, no more.
pub(super) fn method(payload: &mut [u8]) {
    let mut reader = Reader(payload);
    let (Some(BASIC), Some(method)) = (reader.short(), reader.short()) else { return };
    let (before, names) = match method {
        // Why; then the exchange and the routing key, as with the others.
        RETURN => (reader.take(2), 3),
        // The consumer's name, the number, and whether it was handed out before.
        DELIVER => (reader.text().and_then(|_| reader.take(9)), 2),
        GET_OK => (reader.take(9), 2),
        _ => return,
    };
    if before.is_none() {
        return;
    }
    let mut at = payload.len() - reader.0.len();
    for _ in 0..names {
        let Some(length) = payload.get(at) else { return };
        let (from, until) = (at + 1, at + 1 + usize::from(*length));
        let Some(text) = payload.get_mut(from..until) else { return };
        if std::str::from_utf8(text).is_err() {
            text.iter_mut().filter(|byte| !byte.is_ascii()).for_each(|byte| *byte = b'?');
        }
        at = until;
    }
}

/// What must stand for a content header, if the driver could not read it.
pub(super) fn header(payload: &[u8]) -> Option<Vec<u8>> {
    let why = flaw(payload).err()?;
    let mended = rewritten(payload, &why);
    Some(if mended.len() > payload.len().max(GROWN_MAX) { bare(payload, &why) } else { mended })
}

/// What the driver could not read.
fn flaw(payload: &[u8]) -> Result<(), String> {
    let cut = || "the properties end too early".to_owned();
    let mut reader = Reader(payload.get(FIXED..).ok_or_else(cut)?);
    let flags = reader.short().ok_or_else(cut)?;
    for (_, (name, kind)) in present(flags) {
        let value = reader.property(kind).ok_or_else(cut)?;
        match kind {
            Kind::Short if std::str::from_utf8(value).is_err() => {
                return Err(format!("the property `{name}` is not UTF-8"));
            }
            Kind::Table => table(value, 1)?,
            Kind::Short | Kind::Octets(_) => {}
        }
    }
    if reader.0.is_empty() { Ok(()) } else { Err("something follows the properties".into()) }
}

/// What could not be read of a table, at this depth.
fn table(bytes: &[u8], depth: usize) -> Result<(), String> {
    let mut reader = Reader(bytes);
    while !reader.0.is_empty() {
        let Some((name, kind, value)) = reader.entry() else { return Err("a table of headers is cut short".into()) };
        let Ok(name) = std::str::from_utf8(name) else {
            return Err(format!("the name of the header `{}` is not UTF-8", quoted(name)));
        };
        inner(kind, value, depth)
            .map_err(|why| if depth == 1 { format!("the header `{}`: {why}", quoted(name.as_bytes())) } else { why })?;
    }
    Ok(())
}

fn inner(kind: u8, value: &[u8], depth: usize) -> Result<(), String> {
    if matches!(kind, b'A' | b'F') && depth >= DEPTH_MAX {
        return Err(format!("nested more than {DEPTH_MAX} deep"));
    }
    match kind {
        b'F' => table(value, depth + 1),
        b'A' => {
            let mut reader = Reader(value);
            while !reader.0.is_empty() {
                let Some((kind, value)) = reader.value() else { return Err("a list is cut short".into()) };
                inner(kind, value, depth + 1)?;
            }
            Ok(())
        }
        _ => Ok(()),
    }
}

/// The header with what can be read, and with why the rest cannot.
fn rewritten(payload: &[u8], why: &str) -> Vec<u8> {
    let Some(mut reader) = payload.get(FIXED..).map(Reader) else { return bare(payload, why) };
    let flags = reader.short().unwrap_or(0);
    let (mut kept, mut properties, mut whole) = (0, Vec::new(), true);
    for (index, (_, kind)) in PROPERTIES.into_iter().enumerate() {
        let bit = bit(index);
        let value = if whole && flags & bit != 0 { reader.property(kind) } else { None };
        // What follows something that is cut short is anybody's guess.
        whole &= value.is_some() || flags & bit == 0;
        match (kind, value) {
            (Kind::Table, value) => put_table(&mut properties, value.unwrap_or_default(), why),
            (Kind::Short, Some(value)) => put_short(&mut properties, &escaped(value)),
            (Kind::Octets(_), Some(value)) => properties.extend(value),
            (_, None) => continue,
        }
        kept |= bit;
    }
    framed(payload, kept, &properties)
}

/// The header with nothing but why it cannot be read.
fn bare(payload: &[u8], why: &str) -> Vec<u8> {
    let mut properties = Vec::new();
    put_table(&mut properties, &[], why);
    framed(payload, bit(2), &properties)
}

fn framed(payload: &[u8], flags: u16, properties: &[u8]) -> Vec<u8> {
    let mut fixed = payload.get(..FIXED).unwrap_or_default().to_vec();
    fixed.resize(FIXED, 0);
    [&fixed, &flags.to_be_bytes()[..], properties].concat()
}

/// Writes a table with those of its entries that can be read, and why it is not all of them.
fn put_table(into: &mut Vec<u8>, table: &[u8], why: &str) {
    let (mut entries, mut reader) = (Vec::new(), Reader(table));
    while let Some((name, kind, value)) = reader.entry() {
        put_short(&mut entries, &escaped(name));
        match inner(kind, value, 1) {
            Ok(()) => put_value(&mut entries, kind, value),
            Err(why) => put_value(&mut entries, b'S', format!("(left out: {why})").as_bytes()),
        }
    }
    put_short(&mut entries, UNREADABLE.as_bytes());
    put_value(&mut entries, b'S', why.as_bytes());
    put_long(into, &entries);
}

fn put_value(into: &mut Vec<u8>, kind: u8, value: &[u8]) {
    into.push(kind);
    if matches!(kind, b'S' | b'A' | b'F' | b'x') { put_long(into, value) } else { into.extend(value) }
}

fn put_long(into: &mut Vec<u8>, bytes: &[u8]) {
    into.extend(u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_be_bytes());
    into.extend(bytes);
}

fn put_short(into: &mut Vec<u8>, bytes: &[u8]) {
    into.push(u8::try_from(bytes.len()).unwrap_or(u8::MAX));
    into.extend(bytes);
}

/// A name or a text as UTF-8 that is short enough.
fn escaped(bytes: &[u8]) -> Vec<u8> {
    cut(legible(bytes), SHORT_MAX).into_bytes()
}

fn quoted(bytes: &[u8]) -> String {
    cut(legible(bytes), QUOTED_MAX)
}

fn cut(mut text: String, most: usize) -> String {
    text.truncate((0..=most.min(text.len())).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0));
    text
}

const fn bit(index: usize) -> u16 {
    1 << (15 - index)
}

fn present(flags: u16) -> impl Iterator<Item = (usize, (&'static str, Kind))> {
    PROPERTIES.into_iter().enumerate().filter(move |(index, _)| flags & bit(*index) != 0)
}

/// Reads what is written in the protocol's types; nothing where it is cut short.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn short(&mut self) -> Option<u16> {
        self.take(2)?.try_into().ok().map(u16::from_be_bytes)
    }

    fn text(&mut self) -> Option<&'a [u8]> {
        let length = self.take(1)?[0];
        self.take(length.into())
    }

    fn long(&mut self) -> Option<&'a [u8]> {
        let length = self.take(4)?.try_into().ok().map(u32::from_be_bytes)?;
        self.take(usize::try_from(length).ok()?)
    }

    fn property(&mut self, kind: Kind) -> Option<&'a [u8]> {
        match kind {
            Kind::Short => self.text(),
            Kind::Table => self.long(),
            Kind::Octets(count) => self.take(count),
        }
    }

    /// A name, and a value with its type.
    fn entry(&mut self) -> Option<(&'a [u8], u8, &'a [u8])> {
        let name = self.text()?;
        let (kind, value) = self.value()?;
        Some((name, kind, value))
    }

    /// A value with its type; without the length that stands before it.
    fn value(&mut self) -> Option<(u8, &'a [u8])> {
        let kind = self.take(1)?[0];
        let value = match kind {
            b't' | b'b' | b'B' => self.take(1),
            b's' | b'U' | b'u' => self.take(2),
            b'I' | b'i' | b'f' => self.take(4),
            b'D' => self.take(5),
            b'L' | b'l' | b'd' | b'T' => self.take(8),
            b'V' => self.take(0),
            b'S' | b'A' | b'F' | b'x' => self.long(),
            _ => None,
        }?;
        Some((kind, value))
    }
}

#[cfg(test)]
mod tests;
