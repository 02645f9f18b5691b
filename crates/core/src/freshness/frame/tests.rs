//! Proves that frames are the bytes that they must be, and that no bytes are too strange to read.

use proptest::prelude::*;

use super::*;

fn entry(payload: &[u8]) -> Entry<'_> {
    let tags = SmallVec::new();
    Entry { codec: Codec::Plain, form: Form::Value, encryption: None, fresh_until_ms: 0, tags, payload }
}

#[test]
fn a_lease_and_a_hold_are_these_bytes() {
    let token = Token::from_random(0xaa);
    assert_eq!(&lease(token), b"\xC1Q1L---000000000000000aa999999999999900000000000000000000");
    assert_eq!(&HOLD, b"\xC1Q1T---00000000000000000999999999999900000000000000000000");
    let lease = Frame::decode(b"\xC1Q1L---000000000000000aa170000000000000000000000000000007").unwrap();
    assert_eq!(lease, Frame { state: State::Lease, token, until_ms: 1_700_000_000_000, version: 7 });
}

#[test]
fn an_entry_is_these_bytes() {
    let tags = SmallVec::from_slice(&[Tag(7), Tag::from_random(u64::MAX)]);
    let entry = Entry { codec: Codec::Zstd, encryption: KeyLetter::new(b'k'), fresh_until_ms: 5, tags, ..entry(b"v") };
    let bytes = b"\xC1Q1Vzvk200000000000000000000000000000000000000000000000090000000000005\
                  00000000000000000074611686018427387903v";
    assert_eq!(entry.encode(9).unwrap(), bytes);
    let frame = Frame::decode(bytes).unwrap();
    assert_eq!(frame, Frame { state: State::Value(entry), token: Token::NOBODY, until_ms: 0, version: 9 });
}

#[test]
fn what_is_no_frame_is_foreign() {
    let whole = entry(b"").encode(0).unwrap();
    assert!(Frame::decode(&whole).is_some());
    assert!((0..whole.len()).all(|end| Frame::decode(&whole[..end]).is_none()), "cut short");
    for (at, byte) in
        [(0, b'x'), (2, b'2'), (3, b'X'), (4, b'-'), (5, b'-'), (6, b'A'), (7, b'g'), (24, b' '), (57, b'-')]
    {
        let mut other = whole.clone();
        other[at] = byte;
        assert_eq!(Frame::decode(&other), None, "byte {at}");
    }
    let mut one_tag = whole;
    one_tag[7] = b'1';
    assert_eq!(Frame::decode(&one_tag), None, "a tag that is not there");
    for foreign in ["", "plain", "{\"a\": 1}", "\u{80}\u{4}pickle"] {
        assert_eq!(Frame::decode(foreign.as_bytes()), None);
    }
}

#[test]
fn sixteen_tags_are_too_many() {
    let with = |count| Entry { tags: SmallVec::from_elem(Tag(1), count), ..entry(b"v") };
    assert_eq!(with(16).encode(0), Err(TooManyTags(16)));
    let bytes = with(15).encode(0).unwrap();
    assert_eq!(Frame::decode(&bytes).unwrap().entry().unwrap().tags.len(), 15);
}

#[test]
fn a_tag_is_a_number_of_at_most_19_digits() {
    assert_eq!(Tag::read(b"0042"), Some(Tag(42)));
    assert_eq!(Tag::read(b"9999999999999999999"), Some(Tag(9_999_999_999_999_999_999)));
    for other in ["", "-1", "+1", "1.0", " 1", "x", "10000000000000000000"] {
        assert_eq!(Tag::read(other.as_bytes()), None, "{other}");
    }
}

#[test]
fn nobody_has_no_random_token() {
    assert_ne!(Token::from_random(0), Token::NOBODY);
    assert_eq!(Token::from_random(0x0123_4567_89ab_cdef).as_bytes(), b"0123456789abcdef");
}

fn any_entry() -> impl Strategy<Value = (Vec<u8>, Vec<u64>, usize, usize, Option<u8>, u64)> {
    let tags = prop::collection::vec(any::<u64>(), 0..=TAGS_MAX);
    let letter = prop::option::of(b'a'..=b'z');
    (prop::collection::vec(any::<u8>(), 0..40), tags, 0..3_usize, 0..3_usize, letter, 0..=FOREVER)
}

proptest! {
    #[test]
    fn what_is_written_is_read_again(
        (payload, tags, codec, form, letter, fresh_until_ms) in any_entry(), version in any::<u64>(),
    ) {
        let tags = tags.into_iter().map(Tag::from_random).collect();
        let (codec, form) = (Codec::ALL[codec], Form::ALL[form]);
        let encryption = letter.and_then(KeyLetter::new);
        let entry = Entry { codec, form, encryption, fresh_until_ms, tags, payload: &payload };
        let bytes = entry.encode(version).unwrap();
        let frame = Frame { state: State::Value(entry), token: Token::NOBODY, until_ms: 0, version };
        prop_assert_eq!(Frame::decode(&bytes), Some(frame));
    }

    #[test]
    fn any_bytes_can_be_read(bytes in prop::collection::vec(any::<u8>(), 0..120)) {
        let framed = [&MAGIC[..], &bytes].concat();
        let _ = (Frame::decode(&bytes), Frame::decode(&framed), Tag::read(&bytes), Token::read(&bytes));
    }

    /// Bytes that are almost a frame, or are one.
    #[test]
    fn a_broken_frame_can_be_read(
        (payload, tags, ..) in any_entry(), at in 0..90_usize, byte in any::<u8>(), end in 0..200_usize,
    ) {
        let tags = tags.into_iter().map(Tag::from_random).collect();
        let mut bytes = Entry { tags, ..entry(&payload) }.encode(1).unwrap();
        bytes.truncate(end);
        if let Some(index) = bytes.get_mut(at) {
            *index = byte;
        }
        if let Some(frame) = Frame::decode(&bytes) {
            prop_assert!(frame.entry().is_none_or(|entry| entry.payload.len() <= bytes.len()));
        }
    }
}
