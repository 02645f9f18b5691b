//! Says what a reader sees at a key and its tags: pure.

use quash_core::freshness::{Entry, Frame, State, Tag, Token};

/// What stands at a key.
#[derive(Debug, PartialEq)]
pub(crate) enum Seen<'b> {
    /// Nothing.
    Absent,
    /// A value that no change made stale, and whose tags are those of now.
    Fresh(Entry<'b>, Refresher),
    /// A value that a change made stale, and who refreshes it.
    Stale(Entry<'b>, Refresher),
    /// A value of another generation.
    OldTags(Refresher),
    /// Somebody loads.
    Lease(Token),
    /// Nothing may be stored, or only what knows a version.
    Hold(Refresher),
    /// What was not written by a reader.
    Foreign(&'b [u8]),
}

/// Whose token stands in a frame, and until when that is a lease.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Refresher {
    pub(crate) token: Option<Token>,
    pub(crate) until_ms: u64,
}

/// What a reader sees, given the tags of now; `None` where one of them is missing, so that nothing is fresh.
pub(crate) fn look<'b>(bytes: Option<&'b [u8]>, tags: Option<&[Tag]>) -> Seen<'b> {
    let Some(bytes) = bytes else { return Seen::Absent };
    let Some(frame) = Frame::decode(bytes) else { return Seen::Foreign(bytes) };
    let refresher = Refresher { token: some(frame.token), until_ms: frame.until_ms };
    match frame.state {
        State::Value(entry) if tags.is_some_and(|tags| entry.tags.as_slice() == tags) => Seen::Fresh(entry, refresher),
        State::Value(_) => Seen::OldTags(refresher),
        State::Stale(entry) => Seen::Stale(entry, refresher),
        State::Lease => Seen::Lease(frame.token),
        State::Hold => Seen::Hold(refresher),
    }
}

fn some(token: Token) -> Option<Token> {
    (token != Token::NOBODY).then_some(token)
}

/// What stands at the keys of tags.
#[derive(Debug, PartialEq)]
pub(crate) enum Tags {
    /// A token at each.
    All(Vec<Tag>),
    /// None at some, which a reader makes.
    Missing(Vec<Option<Tag>>),
    /// What is no token at some: nothing is fresh under it, and nothing can be stored.
    Broken,
}

impl Tags {
    pub(crate) fn read(values: &[Option<Vec<u8>>]) -> Self {
        let read = |value: &Option<Vec<u8>>| value.as_deref().map(|text| Tag::read(text).ok_or(())).transpose();
        let Ok(tags) = values.iter().map(read).collect::<Result<Vec<_>, ()>>() else { return Self::Broken };
        match tags.iter().copied().collect() {
            Some(all) => Self::All(all),
            None => Self::Missing(tags),
        }
    }

    /// The tags, if all of them are there.
    pub(crate) fn all(&self) -> Option<&[Tag]> {
        match self {
            Self::All(tags) => Some(tags),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use quash_core::freshness::{Codec, Form, HOLD, lease};

    use super::*;

    fn entry(tags: &[Tag]) -> Vec<u8> {
        let (codec, form, encryption) = (Codec::Plain, Form::Value, None);
        Entry { codec, form, encryption, fresh_until_ms: 0, tags: tags.into(), payload: b"v" }.encode(0).unwrap()
    }

    #[test]
    fn the_state_decides_and_then_the_tags() {
        let (one, two) = (Tag::from_random(4), Tag::from_random(8));
        let nobody = Refresher { token: None, until_ms: 0 };
        let value = entry(&[one]);
        let is_fresh = |tags: Option<&[Tag]>| matches!(look(Some(&value), tags), Seen::Fresh(..));
        assert!(is_fresh(Some(&[one])));
        for tags in [None, Some(&[two][..]), Some(&[]), Some(&[one, two])] {
            assert_eq!(look(Some(&value), tags), Seen::OldTags(nobody), "{tags:?}");
        }
        let mut stale = value.clone();
        stale[3] = b'S';
        assert!(matches!(look(Some(&stale), Some(&[two])), Seen::Stale(..)), "whatever its tags are");
        let token = Token::from_random(7);
        assert_eq!(look(Some(&lease(token)), Some(&[])), Seen::Lease(token));
        assert!(matches!(look(Some(&HOLD), Some(&[])), Seen::Hold(Refresher { token: None, .. })));
        assert_eq!(look(Some(b"{}"), Some(&[])), Seen::Foreign(b"{}"));
        assert_eq!(look(None, None), Seen::Absent);
    }

    #[test]
    fn a_tag_that_is_no_token_is_not_taken_for_a_missing_one() {
        let text = |text: &str| Some(text.as_bytes().to_vec());
        assert_eq!(Tags::read(&[text("1"), text("x"), None]), Tags::Broken);
        assert_eq!(Tags::read(&[text("4"), None]), Tags::Missing(vec![Tag::read(b"4"), None]));
        assert_eq!(Tags::read(&[]), Tags::All(Vec::new()));
    }
}
