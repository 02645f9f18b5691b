//! Reads and writes what stands at a key: an entry, a lease or a hold, byte for byte.
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 0 | 3 | [`MAGIC`] |
//! | 3 | 1 | state: `V` value, `S` stale value, `L` lease, `T` hold or bar |
//! | 4 | 1 | codec of the payload: `0` as it is, `z` zstd, `g` zlib; `-` in L and T |
//! | 5 | 1 | form: `v` value, `n` nothing, `c` chunks; `-` in L and T |
//! | 6 | 1 | encryption: `-` none, `a` to `z` the letter of the key |
//! | 7 | 1 | number of tags, one hexadecimal digit |
//! | 8 | 16 | token of the lease; zeros are nobody's |
//! | 24 | 13 | until when the lease or hold is good, in milliseconds of the server's time |
//! | 37 | 20 | version: in V what the value knows, in the others what a fill must reach |
//! | 57 | 13 | fresh until, in milliseconds; only in V and S from here on |
//! | 70 | 19 n | the tags' tokens, in decimal |
//! | 70 + 19 n | | payload |
//!
//! Numbers are decimal and padded with zeros, so that scripts compare them as text: Lua's numbers end at 2⁵³.

use std::fmt;

use smallvec::SmallVec;

/// What every frame begins with. The third byte is the version of this layout.
pub const MAGIC: [u8; 3] = *b"\xC1Q1";

/// Bytes of what a lease or a hold is, and what scripts read of any frame.
pub const HEADER: usize = 57;

/// The most tags that an entry can have: their number is one hexadecimal digit.
pub const TAGS_MAX: usize = 15;

/// A hold, which is the same for every key: nothing is stored until its own time to live ends it.
pub const HOLD: [u8; HEADER] = blank(b'T', Token::NOBODY);

/// Where an entry goes on after its header, before its tags.
const TAGS_AT: usize = 70;
const TAG_DIGITS: usize = 19;
/// The largest number of 13 digits: what the key's own time to live ends.
const FOREVER: u64 = 9_999_999_999_999;

/// A frame: what stands at a key, if it is ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame<'a> {
    /// What it is.
    pub state: State<'a>,
    /// Whose lease it is; in an entry, of who refreshes it.
    pub token: Token,
    /// When lease or hold end, in milliseconds since the Unix epoch by the clock of the server.
    pub until_ms: u64,
    /// In a value: changes up to this one are in it. In the others: what a fill must reach. 0 without versions.
    pub version: u64,
}

/// What a frame is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State<'a> {
    /// A value that is fresh if its tags are.
    Value(Entry<'a>),
    /// A value that a change made stale; it may be served as that.
    Stale(Entry<'a>),
    /// Somebody loads.
    Lease,
    /// Nothing may be stored yet.
    Hold,
}

/// An entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry<'a> {
    /// How the payload is compressed.
    pub codec: Codec,
    /// What the payload is.
    pub form: Form,
    /// The key that the payload is encrypted with.
    pub encryption: Option<KeyLetter>,
    /// When it should be refreshed although it is fresh, in milliseconds since the Unix epoch; 0 for never.
    pub fresh_until_ms: u64,
    /// The tags' tokens that it was loaded under, in the order in which the cache declares the tags.
    pub tags: SmallVec<[Tag; 4]>,
    /// The payload.
    pub payload: &'a [u8],
}

/// How a payload is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Codec {
    /// Not at all.
    Plain,
    /// zstd.
    Zstd,
    /// zlib.
    Zlib,
}

/// What a payload is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Form {
    /// A value.
    Value,
    /// The knowledge that there is no value.
    Nothing,
    /// A list of chunks under keys of their own.
    Chunks,
}

/// Names an encryption key: a letter from `a` to `z`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct KeyLetter(u8);

/// Who holds a lease: 64 random bits in hexadecimal.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Token([u8; 16]);

/// The token of a tag, by which entries of one generation are told from those of the next; has at most 19 digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Tag(u64);

/// An entry with more tags than [`TAGS_MAX`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("an entry has at most {TAGS_MAX} tags, not {0}")]
pub struct TooManyTags(pub usize);

impl<'a> Frame<'a> {
    /// Reads what stands at a key. `None` is foreign: not a frame of this layout, or shorter than its header says.
    #[must_use]
    pub fn decode(bytes: &'a [u8]) -> Option<Self> {
        let header: &[u8; HEADER] = bytes.first_chunk()?;
        if header[..3] != MAGIC {
            return None;
        }
        let state = match header[3] {
            b'V' => State::Value(Entry::decode(header, bytes)?),
            b'S' => State::Stale(Entry::decode(header, bytes)?),
            b'L' => State::Lease,
            b'T' => State::Hold,
            _ => return None,
        };
        let token = Token(*header[8..].first_chunk()?);
        Some(Self { state, token, until_ms: number(&header[24..37])?, version: number(&header[37..57])? })
    }

    /// The entry, fresh or stale.
    #[must_use]
    pub const fn entry(&self) -> Option<&Entry<'a>> {
        match &self.state {
            State::Value(entry) | State::Stale(entry) => Some(entry),
            State::Lease | State::Hold => None,
        }
    }
}

impl<'a> Entry<'a> {
    /// What a reader stores: a value, leased by nobody. A time past the year 2286 is the end of that year's 13 digits.
    ///
    /// # Errors
    /// [`TooManyTags`].
    pub fn encode(&self, version: u64) -> Result<Vec<u8>, TooManyTags> {
        let count = u8::try_from(self.tags.len()).ok().filter(|count| usize::from(*count) <= TAGS_MAX);
        let count = count.ok_or(TooManyTags(self.tags.len()))?;
        let mut bytes = Vec::with_capacity(TAGS_AT + TAG_DIGITS * self.tags.len() + self.payload.len());
        bytes.extend(MAGIC);
        bytes.extend([b'V', self.codec.byte(), self.form.byte(), self.encryption.map_or(b'-', |letter| letter.0)]);
        bytes.push(b"0123456789abcdef"[usize::from(count)]);
        bytes.extend(Token::NOBODY.0);
        bytes.extend([b'0'; 13]);
        bytes.extend(digits::<20>(version));
        bytes.extend(digits::<13>(self.fresh_until_ms.min(FOREVER)));
        self.tags.iter().for_each(|tag| bytes.extend(digits::<TAG_DIGITS>(tag.0)));
        bytes.extend(self.payload);
        Ok(bytes)
    }

    fn decode(header: &[u8; HEADER], bytes: &'a [u8]) -> Option<Self> {
        let codec = Codec::ALL.into_iter().find(|codec| codec.byte() == header[4])?;
        let form = Form::ALL.into_iter().find(|form| form.byte() == header[5])?;
        let encryption = match header[6] {
            b'-' => None,
            letter => Some(KeyLetter::new(letter)?),
        };
        let count = match header[7] {
            digit @ b'0'..=b'9' => usize::from(digit - b'0'),
            digit @ b'a'..=b'f' => usize::from(digit - b'a') + 10,
            _ => return None,
        };
        let fresh_until_ms = number(bytes.get(HEADER..TAGS_AT)?)?;
        let (tags, payload) = bytes[TAGS_AT..].split_at_checked(TAG_DIGITS * count)?;
        let tags = tags.chunks_exact(TAG_DIGITS).map(|tag| number(tag).map(Tag)).collect::<Option<_>>()?;
        Some(Self { codec, form, encryption, fresh_until_ms, tags, payload })
    }
}

/// A lease as a reader writes it where there is nothing.
#[must_use]
pub const fn lease(token: Token) -> [u8; HEADER] {
    blank(b'L', token)
}

impl Codec {
    const ALL: [Self; 3] = [Self::Plain, Self::Zstd, Self::Zlib];

    /// Its byte in a frame.
    #[must_use]
    pub const fn byte(self) -> u8 {
        match self {
            Self::Plain => b'0',
            Self::Zstd => b'z',
            Self::Zlib => b'g',
        }
    }
}

impl Form {
    const ALL: [Self; 3] = [Self::Value, Self::Nothing, Self::Chunks];

    /// Its byte in a frame.
    #[must_use]
    pub const fn byte(self) -> u8 {
        match self {
            Self::Value => b'v',
            Self::Nothing => b'n',
            Self::Chunks => b'c',
        }
    }
}

impl KeyLetter {
    /// The key of this letter, if it is one from `a` to `z`.
    #[must_use]
    pub const fn new(letter: u8) -> Option<Self> {
        if letter.is_ascii_lowercase() { Some(Self(letter)) } else { None }
    }

    /// The letter.
    #[must_use]
    pub const fn byte(self) -> u8 {
        self.0
    }
}

impl Token {
    /// The token that nobody has, and that fills nothing.
    pub const NOBODY: Self = Self([b'0'; 16]);

    /// The token of these random bits. Zero is nobody's, so it gives another.
    #[must_use]
    pub fn from_random(bits: u64) -> Self {
        let mut text = [0; 16];
        for (index, digit) in text.iter_mut().enumerate() {
            *digit = b"0123456789abcdef"[(bits.max(1) >> (60 - 4 * index) & 0xf) as usize];
        }
        Self(text)
    }

    /// The token of this text, if it is 16 bytes long.
    #[must_use]
    pub fn read(text: &[u8]) -> Option<Self> {
        text.try_into().ok().map(Self)
    }

    /// Its text.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}", self.0.escape_ascii())
    }
}

impl Tag {
    /// A token of these random bits, as workers make them: at most 62 bits.
    #[must_use]
    pub const fn from_random(bits: u64) -> Self {
        Self(bits >> 2)
    }

    /// Reads what stands at the key of a tag. `None` is no token: nothing is fresh under it, and nothing may be stored.
    #[must_use]
    pub fn read(text: &[u8]) -> Option<Self> {
        (text.len() <= TAG_DIGITS).then(|| number(text).map(Self)).flatten()
    }
}

/// As it stands at the key of the tag.
impl fmt::Display for Tag {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(out)
    }
}

pub(super) const fn blank(state: u8, token: Token) -> [u8; HEADER] {
    let mut bytes = *b"\xC1Q1?---00000000000000000999999999999900000000000000000000";
    bytes[3] = state;
    let mut at = 0;
    while at < token.0.len() {
        bytes[8 + at] = token.0[at];
        at += 1;
    }
    bytes
}

/// A number of digits alone.
pub(super) fn number(text: &[u8]) -> Option<u64> {
    let digit = |number: u64, digit: &u8| {
        let digit = digit.is_ascii_digit().then(|| u64::from(digit - b'0'))?;
        number.checked_mul(10)?.checked_add(digit)
    };
    if text.is_empty() { None } else { text.iter().try_fold(0, digit) }
}

/// A number padded with zeros; its digits beyond `N` are cut.
pub(super) fn digits<const N: usize>(mut number: u64) -> [u8; N] {
    let mut text = [b'0'; N];
    for digit in text.iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
    }
    text
}

#[cfg(test)]
mod tests;
