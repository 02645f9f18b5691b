//! Digests texts as the libraries do it, in lower-case hexadecimal.

use std::fmt::Write;

use md5::Md5;
use sha2::{Digest as _, Sha224, Sha256, Sha384, Sha512};

/// How many bytes SHA-256 takes at once, which HMAC needs to know.
const SHA256_BLOCK: usize = 64;

/// A digest algorithm, by the name that Python's `hashlib` gives it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Digest {
    /// MD5, 32 digits.
    Md5,
    /// SHA-224, 56 digits.
    Sha224,
    /// SHA-256, 64 digits.
    #[default]
    Sha256,
    /// SHA-384, 96 digits.
    Sha384,
    /// SHA-512, 128 digits.
    Sha512,
}

impl Digest {
    /// The digest of a text's UTF-8 bytes.
    #[must_use]
    pub fn hex(self, text: &str) -> String {
        match self {
            Self::Md5 => hex(&Md5::digest(text)),
            Self::Sha224 => hex(&Sha224::digest(text)),
            Self::Sha256 => hex(&Sha256::digest(text)),
            Self::Sha384 => hex(&Sha384::digest(text)),
            Self::Sha512 => hex(&Sha512::digest(text)),
        }
    }
}

/// HMAC-SHA-256 (RFC 2104) of a text under a secret key of any length.
#[must_use]
pub fn hmac_sha256_hex(key: &[u8], text: &str) -> String {
    let mut block = [0_u8; SHA256_BLOCK];
    if key.len() > SHA256_BLOCK {
        block[..32].copy_from_slice(&Sha256::digest(key));
    } else {
        block[..key.len()].copy_from_slice(key);
    }
    let inner = Sha256::new().chain_update(block.map(|byte| byte ^ 0x36)).chain_update(text).finalize();
    hex(&Sha256::new().chain_update(block.map(|byte| byte ^ 0x5c)).chain_update(inner).finalize())
}

/// Bytes in lower-case hexadecimal.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut out, byte| {
        // Writing to a String cannot fail.
        let _ = write!(out, "{byte:02x}");
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_are_those_of_hashlib() {
        let cases = [
            (Digest::Md5, "900150983cd24fb0d6963f7d28e17f72"),
            (Digest::Sha224, "23097d223405d8228642a477bda255b32aadbce4bda0b3f7e36c9da7"),
            (Digest::Sha256, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
        ];
        for (digest, expected) in cases {
            assert_eq!(digest.hex("abc"), expected, "{digest:?}");
        }
        assert_eq!((Digest::Sha384.hex("").len(), Digest::Sha512.hex("").len()), (96, 128));
    }

    #[test]
    fn an_hmac_is_that_of_the_standard() {
        let cases = [
            (
                "Jefe",
                "what do ya want for nothing?",
                "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
            ),
            (
                "0123456789abcdef",
                "books.example.com:x",
                "2074f338bf63172bb45d3f55cfa8e07d869ac6fab6bed473a0866228d3e85848",
            ),
        ];
        for (key, text, expected) in cases {
            assert_eq!(hmac_sha256_hex(key.as_bytes(), text), expected);
        }
        let (long, digest) = ("k".repeat(65), Sha256::digest("k".repeat(65)));
        assert_ne!(hmac_sha256_hex(long.as_bytes(), "x"), hmac_sha256_hex(&long.as_bytes()[1..], "x"));
        assert_eq!(digest.len(), 32);
    }
}
