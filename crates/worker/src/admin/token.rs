//! Compares bearer tokens in constant time.

use quash_config::Secret;

/// The token that requests must carry.
pub(super) struct Token(Secret);

impl Token {
    pub(super) fn new(secret: &Secret) -> Self {
        Self(secret.clone())
    }

    /// Whether this is the token. Takes as long for every guess of one length: each byte is looked at, whatever came
    /// before it. That the length can be found out is no help against a long random token.
    pub(super) fn is(&self, given: &[u8]) -> bool {
        let token = self.0.expose().as_bytes();
        let differences =
            token.iter().zip(given).fold(0, |differences, (a, b)| std::hint::black_box(differences | (a ^ b)));
        !token.is_empty() && token.len() == given.len() && differences == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_whole_token_is_the_token() {
        let token = Token::new(&Secret::new("s3cret"));
        assert!(token.is(b"s3cret"));
        for wrong in [b"".as_slice(), b"s3cre", b"s3crets", b"S3cret", b"\0\0\0\0\0\0"] {
            assert!(!token.is(wrong), "{wrong:?}");
        }
        assert!(!Token::new(&Secret::new("")).is(b""), "an empty token opens nothing");
    }
}
