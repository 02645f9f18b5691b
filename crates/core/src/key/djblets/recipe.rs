//! Spells one key as the releases of Djblets do: cleaned and shortened, or as an HMAC.

use std::fmt;

use crate::glob::GlobBuilder;
use crate::key::digest::{Digest, hmac_sha256_hex};
use crate::key::{KeyError, Remover};

/// How many characters a key has at most.
const KEY_MAX: usize = 240;

/// What becomes of a key before it goes to the cache.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Recipe {
    /// 2.x: blanks taken out, shortened with MD5.
    Stripped,
    /// From 3.0 on: control characters and blanks escaped, shortened with SHA-256.
    Escaped,
    /// From 3.0 on, where keys are encrypted: nothing can be read.
    Encrypted(AesKey),
}

/// The key of an HMAC, which is that of AES too; it prints as `***`.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct AesKey(Box<[u8]>);

impl AesKey {
    /// A key of these bytes; `None` when AES takes none of this length.
    pub(super) fn new(bytes: &[u8]) -> Option<Self> {
        matches!(bytes.len(), 16 | 24 | 32).then(|| Self(bytes.into()))
    }

    /// A key in hexadecimal, as Python's `bytes.hex()` gives it.
    pub(super) fn from_hex(text: &str) -> Option<Self> {
        let digit = |byte: &u8| char::from(*byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        let digits = text.as_bytes().iter().map(digit).collect::<Option<Vec<u8>>>()?;
        let (pairs, rest) = digits.as_chunks::<2>();
        let bytes: Vec<u8> = pairs.iter().map(|[high, low]| high << 4 | low).collect();
        rest.is_empty().then(|| Self::new(&bytes))?
    }
}

impl fmt::Debug for AesKey {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("***")
    }
}

/// What is known of the keys that are searched for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Texts {
    /// Their beginning.
    Beginning(String),
    /// What stands around the gaps, at least two.
    Around(Vec<String>),
}

impl Recipe {
    /// The key, given its whole text with the site.
    pub(super) fn key(&self, full: &str) -> String {
        if let Self::Encrypted(AesKey(key)) = self {
            return hmac_sha256_hex(key, full);
        }
        let text = self.clean(full);
        if text.chars().count() <= KEY_MAX {
            return text;
        }
        cut(&text, self.kept()).to_owned() + &self.digest().hex(&text)
    }

    /// Asks for all keys that could be behind the site: one prefix, or the patterns of whole keys and of shortened ones.
    pub(super) fn search(&self, site: &str, texts: &Texts, remover: &mut dyn Remover) -> Result<(), KeyError> {
        match texts {
            // What shortened keys begin with is cut there too.
            Texts::Beginning(text) => remover.delete_prefix(cut(&self.clean(&format!("{site}{text}")), self.kept())),
            Texts::Around(texts) => {
                let texts: Vec<String> = texts.iter().map(|text| self.clean(text)).collect();
                let (mut whole, mut shortened) = (GlobBuilder::new(), GlobBuilder::new());
                let begin = self.clean(site) + texts.first().map_or("", String::as_str);
                whole.literal(&begin);
                texts.iter().skip(1).for_each(|text| {
                    whole.any().literal(text);
                });
                shortened.literal(cut(&begin, self.kept()));
                if begin.chars().count() < self.kept() {
                    shortened.any();
                }
                shortened.hex(KEY_MAX - self.kept());
                [whole, shortened]
                    .into_iter()
                    .filter_map(GlobBuilder::build)
                    .try_for_each(|glob| remover.delete_pattern(&glob))
            }
        }
    }

    fn clean(&self, text: &str) -> String {
        let mut out = String::with_capacity(text.len());
        for character in text.chars() {
            match (self, character) {
                (Self::Stripped, ' ' | '\t' | '\n' | '\r') => {}
                (Self::Escaped, '\0'..=' ' | '\u{7f}') => out.push_str(&format!("\\x{:02x}", u32::from(character))),
                _ => out.push(character),
            }
        }
        out
    }

    const fn digest(&self) -> Digest {
        match self {
            Self::Stripped => Digest::Md5,
            Self::Escaped | Self::Encrypted(_) => Digest::Sha256,
        }
    }

    /// How many characters of a key stay readable when it is shortened; the digest takes the rest.
    const fn kept(&self) -> usize {
        match self {
            Self::Stripped => KEY_MAX - 32,
            Self::Escaped | Self::Encrypted(_) => KEY_MAX - 64,
        }
    }
}

/// The first characters of a text.
fn cut(text: &str, max: usize) -> &str {
    text.char_indices().nth(max).map_or(text, |(end, _)| &text[..end])
}
