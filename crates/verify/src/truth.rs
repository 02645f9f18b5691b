//! Asks what is true of an entry.

mod callback;
mod compare;
mod sql;

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use quash_core::rule::truth::TruthConfig;
use quash_dispatch::config::Config;

use self::callback::Callback;
use self::sql::{Database, Query};
use crate::entry::Payload;

/// An entry that is asked about.
pub(crate) struct Asked<'a> {
    pub(crate) cache: &'a str,
    pub(crate) target: &'a str,
    pub(crate) key: &'a str,
    /// The text of each argument, by its name.
    pub(crate) args: &'a [(String, String)],
    pub(crate) payload: &'a Payload,
}

/// What is true of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Answer {
    /// What stands there.
    Same,
    /// Something else, of this digest where it was told.
    Other(Option<String>),
    /// Nobody can tell by what stands there.
    Unreadable,
    /// Nobody answered, and why.
    Unknown(String),
}

/// Knows what is true.
#[async_trait]
pub(crate) trait Truth: Send + Sync {
    /// Compares an entry with what is true now.
    async fn ask(&self, asked: &Asked<'_>) -> Answer;

    /// The bytes of an entry that differs from this one in everything that is compared; `None` where that cannot be said.
    fn spoilt(&self, payload: &Payload) -> Option<Vec<u8>>;
}

/// What is true of each cache, of those that declare it, by name.
pub(crate) fn all(config: &Config) -> Result<BTreeMap<String, Arc<dyn Truth>>, String> {
    let mut servers: BTreeMap<&str, Arc<Database>> = BTreeMap::new();
    let mut truths: BTreeMap<String, Arc<dyn Truth>> = BTreeMap::new();
    for (name, declared) in config.caches.iter().filter_map(|(name, cache)| Some((name, cache.truth.as_ref()?))) {
        let TruthConfig { sql, callback } = declared;
        let truth: Arc<dyn Truth> = match (sql, callback) {
            (Some(sql), _) => {
                if !servers.contains_key(sql.server.as_str()) {
                    let server = config.servers.get(&sql.server).ok_or("an undeclared server")?;
                    let opened = Database::new(&sql.server, &server.postgres.url);
                    servers.insert(&sql.server, Arc::new(opened?));
                }
                Arc::new(Query::new(Arc::clone(&servers[sql.server.as_str()]), sql)?)
            }
            (None, Some(callback)) => {
                let secret = config.secrets.get(&callback.secret).ok_or("an undeclared secret")?;
                Arc::new(Callback::new(&callback.url, secret)?)
            }
            (None, None) => continue,
        };
        truths.insert(name.clone(), truth);
    }
    Ok(truths)
}
