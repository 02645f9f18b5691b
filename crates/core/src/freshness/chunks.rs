//! Names the chunks of a value that is too large for one key, and says whether they are whole.
//!
//! The payload of an entry in chunks ([`Form::Chunks`](super::Form::Chunks)) is 60 bytes: 16 hexadecimal digits, the name; the number of
//! chunks as `u32`, the bytes of the whole as `u64`, both big-endian; SHA-256 of the whole. Chunk *i*, from 0, stands at `KEY~NAME~i`.
//! Each fill draws a name of its own, and the payload says it: the token in the header of an entry changes while somebody refreshes it,
//! and two loads that share a lease have the same one.

use sha2::{Digest as _, Sha256};

use super::Token;

/// Chunks of one value at most.
pub const CHUNKS_MAX: u32 = 1024;
/// Bytes of a value in chunks at most.
pub const WHOLE_MAX: u64 = 256 * 1024 * 1024;

const BYTES: usize = 60;

/// The chunks of one value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chunks {
    name: Token,
    count: u32,
    length: u64,
    digest: [u8; 32],
}

impl Chunks {
    /// Those of a payload, so many bytes each, under a name that nobody had before. `None` where it is too large.
    #[must_use]
    pub fn of(payload: &[u8], chunk_bytes: usize, name: Token) -> Option<Self> {
        let length = u64::try_from(payload.len()).ok().filter(|length| (1..=WHOLE_MAX).contains(length))?;
        let count =
            u32::try_from(payload.len().div_ceil(chunk_bytes.max(1))).ok().filter(|count| *count <= CHUNKS_MAX)?;
        Some(Self { name, count, length, digest: Sha256::digest(payload).into() })
    }

    /// Reads the payload of an entry in chunks. `None` is none, or one that nobody may be asked to fetch.
    #[must_use]
    pub fn read(payload: &[u8]) -> Option<Self> {
        let payload: &[u8; BYTES] = payload.try_into().ok()?;
        let name = Token::read(&payload[..16]).filter(|name| name.as_bytes().iter().all(u8::is_ascii_hexdigit))?;
        let count = u32::from_be_bytes(*payload[16..].first_chunk()?);
        let length = u64::from_be_bytes(*payload[20..].first_chunk()?);
        let is_bounded = (1..=CHUNKS_MAX).contains(&count) && (u64::from(count)..=WHOLE_MAX).contains(&length);
        is_bounded.then_some(Self { name, count, length, digest: *payload[28..].first_chunk()? })
    }

    /// What stands in the entry.
    #[must_use]
    pub fn payload(&self) -> [u8; BYTES] {
        let mut payload = [0; BYTES];
        payload[..16].copy_from_slice(self.name.as_bytes());
        payload[16..20].copy_from_slice(&self.count.to_be_bytes());
        payload[20..28].copy_from_slice(&self.length.to_be_bytes());
        payload[28..].copy_from_slice(&self.digest);
        payload
    }

    /// The keys of the chunks of this key's entry, in their order.
    #[must_use]
    pub fn keys(&self, key: &str) -> Vec<String> {
        let name = String::from_utf8_lossy(self.name.as_bytes());
        (0..self.count).map(|chunk| format!("{key}~{name}~{chunk}")).collect()
    }

    /// The whole, if nothing of it is missing and nothing was changed.
    #[must_use]
    pub fn join(&self, chunks: &[Option<Vec<u8>>]) -> Option<Vec<u8>> {
        let parts = chunks.iter().map(Option::as_deref).collect::<Option<Vec<_>>>()?;
        let length: usize = parts.iter().map(|part| part.len()).sum();
        (parts.len() == self.count as usize && length as u64 == self.length).then_some(())?;
        let whole = parts.concat();
        (<[u8; 32]>::from(Sha256::digest(&whole)) == self.digest).then_some(whole)
    }
}

/// Whether a key is that of a chunk.
#[must_use]
pub fn is_chunk(key: &str) -> bool {
    let named = key.rsplit_once('~').and_then(|(rest, chunk)| Some((rest.rsplit_once('~')?.1, chunk)));
    named.is_some_and(|(name, chunk)| {
        let is_name = name.len() == 16 && name.bytes().all(|byte| byte.is_ascii_hexdigit());
        is_name && !chunk.is_empty() && chunk.bytes().all(|byte| byte.is_ascii_digit())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_whole_is_what_was_cut_and_nothing_else() {
        let chunks = Chunks::of(b"abcdefg", 3, Token::from_random(0xa)).unwrap();
        assert_eq!(Chunks::read(&chunks.payload()), Some(chunks.clone()));
        let keys = ["k~000000000000000a~0", "k~000000000000000a~1", "k~000000000000000a~2"];
        assert_eq!(chunks.keys("k"), keys);
        let some = |text: &str| Some(text.as_bytes().to_vec());
        assert_eq!(chunks.join(&[some("abc"), some("def"), some("g")]), some("abcdefg"));
        for wrong in [
            vec![some("abc"), some("def"), None],
            vec![some("abc"), some("def")],
            vec![some("abc"), some("def"), some("h")],
            vec![some("def"), some("abc"), some("g")],
            vec![some("abc"), some("def"), some("g"), some("")],
        ] {
            assert_eq!(chunks.join(&wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn nobody_is_made_to_fetch_without_end() {
        let payload = |count: u32, length: u64| {
            [&b"000000000000000a"[..], &count.to_be_bytes(), &length.to_be_bytes(), &[0; 32]].concat()
        };
        assert!(Chunks::read(&payload(1, 1)).is_some() && Chunks::read(&payload(CHUNKS_MAX, WHOLE_MAX)).is_some());
        for (count, length) in [(0, 1), (CHUNKS_MAX + 1, WHOLE_MAX), (1, WHOLE_MAX + 1), (2, 1), (1, 0)] {
            assert_eq!(Chunks::read(&payload(count, length)), None, "{count} {length}");
        }
        assert_eq!(Chunks::read(&payload(1, 1)[1..]), None);
        assert_eq!(Chunks::of(b"", 3, Token::NOBODY), None);
        assert_eq!(Chunks::of(&[0; 5000], 1, Token::NOBODY), None);
    }

    #[test]
    fn keys_of_chunks_are_told_from_others() {
        for (key, expect) in [
            ("k~000000000000000a~0", true),
            ("a~b~000000000000000A~12", true),
            ("k~000000000000000a~", false),
            ("k~000000000000000~0", false),
            ("k~00000000000000xx~0", false),
            ("k", false),
        ] {
            assert_eq!(is_chunk(key), expect, "{key}");
        }
    }
}
