//! Tells who has a token, comparing in constant time.

use std::sync::Arc;

use quash_config::Secret;
use quash_dispatch::config::{AdminConfig, Payloads, Role};

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Who {
    /// The name in logs and metrics.
    pub(crate) name: Arc<str>,
    /// What may be done.
    pub(crate) role: Role,
    /// Whether what events carried is shown.
    pub(crate) sees_payloads: bool,
}

impl Who {
    /// Whoever reaches the port, where there is no token.
    pub(crate) fn local() -> Self {
        Self { name: AdminConfig::LOCAL.into(), role: Role::Operator, sees_payloads: true }
    }

    /// Whether this one may replay and discard.
    pub(crate) fn operates(&self) -> bool {
        self.role >= Role::Operator
    }
}

/// The configured tokens, with who has them.
pub(crate) struct Tokens(Vec<(Who, Secret)>);

impl Tokens {
    pub(crate) fn of(config: &AdminConfig) -> Self {
        let own = config.token.iter().map(|token| {
            let who = Who { name: AdminConfig::TOKEN.into(), role: Role::Operator, sees_payloads: true };
            (who, token.clone())
        });
        let named = config.tokens.iter().map(|(name, token)| {
            let sees_payloads = token.payloads == Payloads::Shown;
            (Who { name: name.as_str().into(), role: token.role, sees_payloads }, token.token.clone())
        });
        Self(own.chain(named).collect())
    }

    /// Whether nobody needs a token.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Who has this token. Every configured one is compared, whichever it is.
    pub(crate) fn who_has(&self, given: &[u8]) -> Option<&Who> {
        self.0.iter().fold(None, |found, (who, token)| if is_same(token, given) { Some(who) } else { found })
    }

    /// Who has this name.
    pub(crate) fn who_is(&self, name: &str) -> Option<&Who> {
        self.0.iter().map(|(who, _)| who).find(|who| &*who.name == name)
    }
}

/// Whether this is the token. Takes as long for every guess of one length: each byte is looked at, whatever came before
/// it. That the length can be found out is no help against a long random token.
fn is_same(token: &Secret, given: &[u8]) -> bool {
    let token = token.expose().as_bytes();
    let differences =
        token.iter().zip(given).fold(0, |differences, (a, b)| std::hint::black_box(differences | (a ^ b)));
    !token.is_empty() && token.len() == given.len() && differences == 0
}

#[cfg(test)]
mod tests {
    use quash_dispatch::config::TokenConfig;

    use super::*;

    #[test]
    fn only_the_whole_token_is_the_token() {
        let token = Secret::new("s3cret");
        assert!(is_same(&token, b"s3cret"));
        for wrong in [b"".as_slice(), b"s3cre", b"s3crets", b"S3cret", b"\0\0\0\0\0\0"] {
            assert!(!is_same(&token, wrong), "{wrong:?}");
        }
        assert!(!is_same(&Secret::new(""), b""), "an empty token opens nothing");
    }

    #[test]
    fn each_token_has_its_name_role_and_sight() {
        let viewer = TokenConfig { token: Secret::new("vvv"), role: Role::Viewer, payloads: Payloads::Hidden };
        let tokens = Tokens::of(&AdminConfig {
            token: Some(Secret::new("ooo")),
            tokens: [("bob".to_owned(), viewer)].into(),
            ..AdminConfig::default()
        });
        let admitted = |given: &[u8]| tokens.who_has(given).map(|who| (&*who.name, who.operates(), who.sees_payloads));
        assert_eq!(admitted(b"ooo"), Some(("token", true, true)));
        assert_eq!(admitted(b"vvv"), Some(("bob", false, false)));
        assert_eq!(admitted(b"vvo"), None);
        assert_eq!(tokens.who_is("bob"), tokens.who_has(b"vvv"));
    }
}
