//! Says what a reader would be served of what stands at a key: pure.

use quash_core::freshness::{Codec, Entry, Form, Frame, State, Tag};
use quash_core::rule::freshness::{Foreign, Freshness, Layout};
use quash_store::Stood;
use ring::digest::{SHA256, digest};

use crate::tally::Outcome;

/// Bytes of an entry that are compared at most: of longer ones nothing is known.
pub(crate) const BYTES_MAX: usize = 1024 * 1024;

/// What readers of a cache do.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Readers {
    pub(crate) freshness: Freshness,
    pub(crate) layout: Layout,
    pub(crate) foreign: Foreign,
}

/// What a reader would be served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Look {
    /// This, as fresh.
    Served(Payload),
    /// Nothing that could be stale.
    Nothing(Outcome),
}

/// What is served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Payload {
    /// Whether it is the knowledge that there is no value.
    pub(crate) is_absence: bool,
    /// What stands before it: the header of a frame, with tags.
    pub(crate) head: Vec<u8>,
    /// As it is stored.
    pub(crate) stored: Vec<u8>,
    /// Whether it is neither compressed nor encrypted, nor in chunks.
    pub(crate) is_plain: bool,
}

impl Payload {
    /// Names it without saying what is in it.
    pub(crate) fn digest(&self) -> String {
        let form = if self.is_absence { "n" } else { "v" };
        sha256(&[form.as_bytes(), &self.stored].concat())
    }
}

/// SHA-256 in hexadecimal.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    hex(digest(&SHA256, bytes).as_ref())
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What a reader would be served, given what stands at the tags.
pub(crate) fn look(stood: Option<&Stood>, tags: &[Option<Stood>], readers: Readers) -> Look {
    let Some(stood) = stood else { return Look::Nothing(Outcome::Absent) };
    let Some(bytes) = stood.bytes.as_deref().filter(|bytes| bytes.len() <= BYTES_MAX) else {
        return Look::Nothing(Outcome::Unreadable);
    };
    let is_framed = readers.freshness != Freshness::None && readers.layout == Layout::Framed;
    let Some(frame) = Frame::decode(bytes).filter(|_| readers.layout == Layout::Framed) else {
        // What is in no frame is served by who knows of none.
        return match is_framed && readers.foreign == Foreign::Refuse {
            true => Look::Nothing(Outcome::Unreadable),
            false => {
                Look::Served(Payload { is_absence: false, head: Vec::new(), stored: bytes.to_vec(), is_plain: true })
            }
        };
    };
    match &frame.state {
        State::Lease => Look::Nothing(Outcome::Absent),
        State::Hold => Look::Nothing(Outcome::Held),
        State::Stale(_) => Look::Nothing(Outcome::StaleDeclared),
        // Of another generation: no reader takes it for fresh.
        State::Value(entry) if !is_of_now(entry, tags) => Look::Nothing(Outcome::Absent),
        State::Value(entry) => {
            let head = bytes[..bytes.len() - entry.payload.len()].to_vec();
            let is_plain = entry.codec == Codec::Plain && entry.encryption.is_none() && entry.form != Form::Chunks;
            let is_absence = entry.form == Form::Nothing;
            Look::Served(Payload { is_absence, head, stored: entry.payload.to_vec(), is_plain })
        }
    }
}

fn is_of_now(entry: &Entry<'_>, tags: &[Option<Stood>]) -> bool {
    let token = |stood: &Option<Stood>| Tag::read(stood.as_ref()?.bytes.as_deref()?);
    tags.len() == entry.tags.len() && tags.iter().zip(&entry.tags).all(|(now, then)| token(now) == Some(*then))
}

#[cfg(test)]
mod tests {
    use quash_core::freshness::{HOLD, Token, lease};

    use super::*;

    const LEASE: Readers = Readers { freshness: Freshness::Lease, layout: Layout::Framed, foreign: Foreign::Refuse };

    fn stood(bytes: &[u8]) -> Stood {
        Stood { bytes: Some(bytes.to_vec()), ttl_ms: None }
    }

    fn value(tags: &[Tag], form: Form) -> Vec<u8> {
        let (codec, encryption) = (Codec::Plain, None);
        Entry { codec, form, encryption, fresh_until_ms: 0, tags: tags.into(), payload: b"{}" }.encode(0).unwrap()
    }

    fn outcome(bytes: &[u8], tags: &[Option<Stood>], readers: Readers) -> Option<Outcome> {
        match look(Some(&stood(bytes)), tags, readers) {
            Look::Served(_) => None,
            Look::Nothing(outcome) => Some(outcome),
        }
    }

    #[test]
    fn only_what_a_reader_would_be_served_as_fresh_is_compared() {
        let (one, two) = (Tag::from_random(4), Tag::from_random(8));
        let now = |tag: Tag| vec![Some(stood(tag.to_string().as_bytes()))];
        assert_eq!(outcome(&value(&[], Form::Value), &[], LEASE), None);
        assert_eq!(outcome(&value(&[one], Form::Value), &now(one), LEASE), None);
        assert_eq!(outcome(&value(&[one], Form::Value), &now(two), LEASE), Some(Outcome::Absent));
        assert_eq!(outcome(&value(&[one], Form::Value), &[None], LEASE), Some(Outcome::Absent));
        assert_eq!(outcome(&lease(Token::from_random(1)), &[], LEASE), Some(Outcome::Absent));
        assert_eq!(outcome(&HOLD, &[], LEASE), Some(Outcome::Held));
        let mut stale = value(&[], Form::Value);
        stale[3] = b'S';
        assert_eq!(outcome(&stale, &[], LEASE), Some(Outcome::StaleDeclared));
        assert_eq!(look(None, &[], LEASE), Look::Nothing(Outcome::Absent));
    }

    #[test]
    fn what_is_in_no_frame_is_compared_where_it_is_served() {
        assert_eq!(outcome(b"{}", &[], LEASE), Some(Outcome::Unreadable));
        assert_eq!(outcome(b"{}", &[], Readers { foreign: Foreign::Accept, ..LEASE }), None);
        assert_eq!(outcome(b"{}", &[], Readers { freshness: Freshness::None, ..LEASE }), None);
        assert_eq!(outcome(b"{}", &[], Readers { layout: Layout::Plain, ..LEASE }), None);
        assert_eq!(outcome(&vec![b'x'; BYTES_MAX + 1], &[], LEASE), Some(Outcome::Unreadable));
        let list = Stood { bytes: None, ttl_ms: None };
        assert_eq!(look(Some(&list), &[], LEASE), Look::Nothing(Outcome::Unreadable));
    }

    #[test]
    fn an_absence_and_an_empty_value_have_different_names() {
        let of = |form| match look(Some(&stood(&value(&[], form))), &[], LEASE) {
            Look::Served(payload) => payload.digest(),
            Look::Nothing(outcome) => panic!("{outcome:?}"),
        };
        assert_ne!(of(Form::Value), of(Form::Nothing));
    }
}
