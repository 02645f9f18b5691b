//! Says who may ask the HTTP endpoint, and finds what lets too many in.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use quash_config::{ConfigPath, Problem, Secret};
use serde::Deserialize;

/// The HTTP endpoint: metrics, health, dead letters.
///
/// ```
/// use quash_dispatch::config::{AdminConfig, Config};
///
/// let config = Config::parse("{ version: 1, admin: { listen: '127.0.0.1:9000' } }")?;
/// assert_eq!(config.admin, AdminConfig { listen: "127.0.0.1:9000".to_owned(), ..AdminConfig::default() });
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct AdminConfig {
    /// Where to listen; `off` listens nowhere. A wider bind than loopback needs a token.
    pub listen: String,
    /// A token of an operator, for who needs no names in the log.
    pub token: Option<Secret>,
    /// Tokens by the names of those who have them.
    pub tokens: BTreeMap<String, TokenConfig>,
}

impl Default for AdminConfig {
    fn default() -> Self {
        Self { listen: "127.0.0.1:9464".to_owned(), token: None, tokens: BTreeMap::new() }
    }
}

/// Who may ask the HTTP endpoint, and for what.
///
/// ```
/// use quash_dispatch::config::{Config, Payloads, Role};
///
/// let config = Config::parse("{ version: 1, admin: { tokens: { alice: { token: 7Hq0vW5dC2sLxGmZ } } } }")?;
/// let alice = &config.admin.tokens["alice"];
/// assert_eq!((alice.role, alice.payloads), (Role::Viewer, Payloads::Shown));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct TokenConfig {
    /// What requests carry, or what is typed to log in.
    pub token: Secret,
    /// What may be done with it.
    #[serde(default)]
    pub role: Role,
    /// Whether it shows what events carried.
    #[serde(default)]
    pub payloads: Payloads,
}

/// What somebody may do at the HTTP endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Look.
    #[default]
    Viewer,
    /// Look, replay and discard.
    Operator,
}

/// Whether payloads and headers of events are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Payloads {
    /// They are shown, and can be exported.
    #[default]
    Shown,
    /// Neither; records are shown all the same, with the keys in their errors.
    Hidden,
}

impl AdminConfig {
    /// What the one who has [`Self::token`] is called in logs and metrics.
    pub const TOKEN: &str = "token";
    /// What everybody is called where there is no token: whoever reaches the port from this machine.
    pub const LOCAL: &str = "local";

    /// Whether requests must carry a token.
    #[must_use]
    pub fn asks_for_a_token(&self) -> bool {
        self.token.is_some() || !self.tokens.is_empty()
    }

    /// A token for somebody on this machine who only looks: the one that may do least.
    #[must_use]
    pub fn least_token(&self) -> Option<&Secret> {
        let named = self.tokens.values().min_by_key(|token| token.role);
        named
            .filter(|named| named.role == Role::Viewer || self.token.is_none())
            .map(|named| &named.token)
            .or(self.token.as_ref())
    }

    /// What is wrong with it, for who changes it after it was read.
    #[must_use]
    pub fn problems(&self) -> Vec<Problem> {
        self.check(&ConfigPath::root().key("admin"))
    }

    pub(super) fn check(&self, path: &ConfigPath) -> Vec<Problem> {
        let own = self.token.as_ref().map(|token| (path.key("token"), token));
        let below = path.key("tokens");
        let named = self.tokens.iter().map(|(name, config)| (below.key(name).key("token"), &config.token));
        let mut seen = BTreeSet::new();
        let tokens = own.into_iter().chain(named).filter_map(|(path, token)| {
            if token.expose().is_empty() {
                return Some(Problem::error(path, "an empty token lets everybody in"));
            }
            let again = !seen.insert(token.expose());
            again.then(|| Problem::error(path, "somebody else has this token: nobody could say who did what"))
        });
        let tokens: Vec<_> = tokens.collect();
        let taken = self.tokens.keys().filter_map(|name| check_name(&below.key(name), name));
        tokens.into_iter().chain(taken).chain(self.check_listen(path)).collect()
    }
    fn check_listen(&self, path: &ConfigPath) -> Option<Problem> {
        let path = path.key("listen");
        if self.listen == "off" {
            return None;
        }
        match self.listen.parse::<SocketAddr>() {
            Err(_) => {
                let message = format!("`{}` is no address to listen on", self.listen);
                Some(Problem::error(path, message).help("write an address with its port, as 127.0.0.1:9464, or off"))
            }
            Ok(address) if !address.ip().is_loopback() && !self.asks_for_a_token() => {
                let message = "an address that others can reach needs a token";
                Some(Problem::error(path, message).help("set admin.token, or listen on 127.0.0.1"))
            }
            Ok(_) => None,
        }
    }
}

/// Names stand in logs and in metrics.
fn check_name(path: &ConfigPath, name: &str) -> Option<Problem> {
    let fits = |letter: char| letter.is_alphanumeric() || "._-@".contains(letter);
    if name.is_empty() || !name.chars().all(fits) {
        return Some(Problem::error(
            path.clone(),
            "a name has letters, digits, `.`, `_`, `-` and `@` in it, and nothing else",
        ));
    }
    let taken = [AdminConfig::TOKEN, AdminConfig::LOCAL].contains(&name);
    taken.then(|| {
        Problem::error(path.clone(), format!("`{name}` is what Quash calls who has no name: take another one"))
    })
}
