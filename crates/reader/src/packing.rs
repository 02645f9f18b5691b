//! Compresses and encrypts what is stored, and reads it back: pure but for the random bytes of a nonce.

use quash_core::freshness::{Codec, Form, KeyLetter};
#[cfg(feature = "encryption")]
use ring::{
    aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey},
    rand::{SecureRandom, SystemRandom},
};

use crate::error::BoxError;

/// Bytes that a payload may have once it is decompressed.
#[cfg(feature = "zlib")]
const WHOLE_MAX: usize = 256 * 1024 * 1024;
/// As fast as it gets for text that compresses well.
#[cfg(feature = "zlib")]
const LEVEL: u8 = 3;

/// The keys that entries are encrypted with by AES-256-GCM: one that is used, and older ones that are still read. An entry says
/// by a letter which it is. It is bound to its key in the cache, so that none can be put in the place of another.
///
/// ```
/// use quash_reader::ValueEncryption;
///
/// let [old, new] = [[1; 32], [2; 32]];      // from where secrets are kept
/// let keys = ValueEncryption::new('b', &new).and('a', &old);
/// # drop(keys);
/// ```
#[cfg(feature = "encryption")]
pub struct ValueEncryption {
    keys: Vec<(KeyLetter, LessSafeKey)>,
}

#[cfg(feature = "encryption")]
impl ValueEncryption {
    /// This key, under a letter from `a` to `z`.
    ///
    /// # Panics
    /// When the letter is another one.
    #[must_use]
    pub fn new(letter: char, key: &[u8; 32]) -> Self {
        Self { keys: Vec::new() }.and(letter, key)
    }

    /// One more, with which nothing is written any more.
    ///
    /// # Panics
    /// When the letter is none from `a` to `z`, or was given before.
    #[must_use]
    pub fn and(mut self, letter: char, key: &[u8; 32]) -> Self {
        let named = u8::try_from(letter).ok().and_then(KeyLetter::new);
        let fresh = named.filter(|letter| self.keys.iter().all(|(known, _)| known != letter));
        let (Some(letter), Ok(key)) = (fresh, UnboundKey::new(&AES_256_GCM, key)) else {
            panic!("`{letter}` is no letter from a to z, or names another key already");
        };
        self.keys.push((letter, LessSafeKey::new(key)));
        self
    }

    fn seal(&self, about: &[u8], mut bytes: Vec<u8>) -> Result<(KeyLetter, Vec<u8>), BoxError> {
        let (letter, key) = self.keys.first().ok_or("there is no key")?;
        let mut nonce = [0; NONCE_LEN];
        SystemRandom::new().fill(&mut nonce).map_err(|_| "the system gives no random bytes")?;
        let unique = Nonce::assume_unique_for_key(nonce);
        key.seal_in_place_append_tag(unique, Aad::from(about), &mut bytes).map_err(|_| "it is too long to encrypt")?;
        Ok((*letter, [&nonce[..], &bytes].concat()))
    }

    fn open(&self, letter: KeyLetter, about: &[u8], bytes: &[u8]) -> Result<Vec<u8>, BoxError> {
        let (_, key) = self.keys.iter().find(|(known, _)| *known == letter).ok_or("its key is not known here")?;
        let (nonce, sealed) = bytes.split_first_chunk::<NONCE_LEN>().ok_or("it is too short to be encrypted")?;
        let mut sealed = sealed.to_vec();
        let opened = key.open_in_place(Nonce::assume_unique_for_key(*nonce), Aad::from(about), &mut sealed);
        Ok(opened.map_err(|_| "it was not encrypted for this key, or was changed")?.to_vec())
    }
}

#[cfg(feature = "encryption")]
impl std::fmt::Debug for ValueEncryption {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let letters = self.keys.iter().map(|(letter, _)| char::from(letter.byte()));
        write!(out, "ValueEncryption({})", letters.collect::<String>())
    }
}

/// Without the feature `encryption` there are no keys.
#[cfg(not(feature = "encryption"))]
#[derive(Debug)]
pub(crate) enum ValueEncryption {}

/// What was made of a payload.
#[derive(Debug)]
pub(crate) struct Packed {
    pub(crate) codec: Codec,
    pub(crate) encryption: Option<KeyLetter>,
    pub(crate) bytes: Vec<u8>,
}

/// Compresses a payload if it is at least so long and gets shorter by it, then encrypts it if there are keys.
pub(crate) fn pack(
    key: &str,
    form: Form,
    bytes: Vec<u8>,
    compress_above: Option<usize>,
    keys: Option<&ValueEncryption>,
) -> Result<Packed, BoxError> {
    let (codec, bytes) = match compress_above {
        Some(least) if bytes.len() >= least && form == Form::Value => compressed(bytes),
        _ => (Codec::Plain, bytes),
    };
    let Some(keys) = keys else { return Ok(Packed { codec, encryption: None, bytes }) };
    #[cfg(feature = "encryption")]
    {
        let (letter, bytes) = keys.seal(&about(key, form, codec), bytes)?;
        Ok(Packed { codec, encryption: Some(letter), bytes })
    }
    #[cfg(not(feature = "encryption"))]
    {
        let _ = key;
        match *keys {}
    }
}

/// What a packed payload was made of.
pub(crate) fn unpack(
    key: &str,
    form: Form,
    packed: &Packed,
    keys: Option<&ValueEncryption>,
) -> Result<Option<Vec<u8>>, BoxError> {
    let opened = match packed.encryption {
        None => None,
        #[cfg(feature = "encryption")]
        Some(letter) => {
            let keys = keys.ok_or("it is encrypted, and no keys are given")?;
            Some(keys.open(letter, &about(key, form, packed.codec), &packed.bytes)?)
        }
        #[cfg(not(feature = "encryption"))]
        Some(_) => {
            let _ = (key, form, keys);
            return Err("it is encrypted, and this program is built without the feature `encryption`".into());
        }
    };
    match packed.codec {
        Codec::Plain => Ok(opened),
        Codec::Zlib => inflated(opened.as_deref().unwrap_or(&packed.bytes)).map(Some),
        Codec::Zstd => Err("it is compressed by zstd, which this crate does not read".into()),
    }
}

/// What the ciphertext is bound to: the scripts change the rest of a header.
#[cfg(feature = "encryption")]
fn about(key: &str, form: Form, codec: Codec) -> Vec<u8> {
    [key.as_bytes(), &[0, form.byte(), codec.byte()]].concat()
}

#[cfg(feature = "zlib")]
fn compressed(bytes: Vec<u8>) -> (Codec, Vec<u8>) {
    let short = miniz_oxide::deflate::compress_to_vec_zlib(&bytes, LEVEL);
    if short.len() < bytes.len() { (Codec::Zlib, short) } else { (Codec::Plain, bytes) }
}

#[cfg(not(feature = "zlib"))]
fn compressed(bytes: Vec<u8>) -> (Codec, Vec<u8>) {
    (Codec::Plain, bytes)
}

#[cfg(feature = "zlib")]
fn inflated(bytes: &[u8]) -> Result<Vec<u8>, BoxError> {
    miniz_oxide::inflate::decompress_to_vec_zlib_with_limit(bytes, WHOLE_MAX)
        .map_err(|_| "it is compressed, and not by zlib, or too long".into())
}

#[cfg(not(feature = "zlib"))]
fn inflated(_: &[u8]) -> Result<Vec<u8>, BoxError> {
    Err("it is compressed, and this program is built without the feature `zlib`".into())
}

#[cfg(all(test, feature = "zlib", feature = "encryption"))]
mod tests {
    use super::*;

    fn back(key: &str, form: Form, packed: &Packed, keys: Option<&ValueEncryption>) -> Result<Vec<u8>, String> {
        let unpacked = unpack(key, form, packed, keys).map_err(|error| error.to_string())?;
        Ok(unpacked.unwrap_or_else(|| packed.bytes.clone()))
    }

    #[test]
    fn what_is_packed_comes_back_and_only_for_its_key() {
        let keys = ValueEncryption::new('b', &[2; 32]).and('a', &[1; 32]);
        let old = ValueEncryption::new('a', &[1; 32]);
        for length in [0, 5, 5000] {
            let bytes = vec![b'x'; length];
            for (above, keys) in [(None, None), (Some(10), None), (None, Some(&keys)), (Some(10), Some(&keys))] {
                let packed = pack("k", Form::Value, bytes.clone(), above, keys).unwrap();
                assert_eq!(packed.codec == Codec::Zlib, length == 5000 && above.is_some());
                assert_eq!(back("k", Form::Value, &packed, keys), Ok(bytes.clone()));
            }
        }
        let packed = pack("k", Form::Value, b"secret".to_vec(), None, Some(&old)).unwrap();
        assert!(!packed.bytes.windows(6).any(|part| part == b"secret"));
        assert_eq!(back("k", Form::Value, &packed, Some(&keys)), Ok(b"secret".to_vec()), "an older key is still read");
        assert!(back("l", Form::Value, &packed, Some(&keys)).is_err(), "in the place of another");
        assert!(back("k", Form::Nothing, &packed, Some(&keys)).is_err());
        assert!(back("k", Form::Value, &packed, None).is_err());
        let short = Packed { bytes: vec![0; 5], ..packed };
        assert!(back("k", Form::Value, &short, Some(&keys)).is_err());
        assert_eq!(format!("{keys:?}"), "ValueEncryption(ba)");
    }

    #[test]
    fn what_was_compressed_wrongly_is_an_error() {
        let of = |codec, bytes: &[u8]| Packed { codec, encryption: None, bytes: bytes.to_vec() };
        for packed in [of(Codec::Zlib, b"x"), of(Codec::Zlib, b""), of(Codec::Zstd, b"x")] {
            assert!(back("k", Form::Value, &packed, None).is_err(), "{packed:?}");
        }
    }
}
