//! Asks whether a queue and a cache are one database of one server, however their addresses are spelt.

use std::sync::Arc;

use quash_config::{Finding, Severity};
use quash_dispatch::config::{Config, SourceConfig, database_in};
use quash_store::{Identity, Store, StoreConfig, TargetConfig, redis};
use quash_transport::{TransportConfig, redis_streams};

/// What is wrong with sources, by their names. Who may not be asked is not doubted.
pub(super) async fn one_server(config: &Config) -> Vec<(String, Finding)> {
    let mut wrong = Vec::new();
    for (name, source) in &config.sources {
        let Some((database, queue)) = source_of(source) else { continue };
        let Some(server) = runs(queue).await.pop() else { continue };
        for (target, cache) in &config.targets {
            let Ok(store) = cache.kind.build() else { continue };
            if database_of(cache).as_deref() == Some(&*database) && runs(store).await.contains(&server) {
                let what =
                    format!("this is the database of target {target}: what empties the cache takes events along");
                let mend = "keep events on a server of their own, which evicts nothing".to_owned();
                wrong.push((name.clone(), Finding { severity: Severity::Error, what, mend }));
            }
        }
    }
    wrong
}

/// The database that a queue is in, and the server as if it were a cache: only caches are asked who they are.
fn source_of(source: &SourceConfig) -> Option<(String, Arc<dyn Store>)> {
    let TransportConfig::RedisStreams(queue) = &source.kind else { return None };
    let redis_streams::Config { url, username, password, tls, .. } = &**queue;
    let shown = |file: &Option<std::path::PathBuf>| file.as_ref().map(|file| file.display().to_string());
    let tls = redis::TlsFiles {
        ca_file: shown(&tls.ca_file),
        cert_file: shown(&tls.cert_file),
        key_file: shown(&tls.key_file),
    };
    let as_cache = redis::Config {
        url: Some(url.clone()),
        username: username.as_ref().map(|name| name.expose().to_owned()),
        password: password.clone(),
        tls: Box::new(tls),
        ..redis::Config::default()
    };
    Some((database_in(url), as_cache.build().ok()?))
}

fn database_of(target: &TargetConfig) -> Option<String> {
    let StoreConfig::Redis(cache) = &target.kind else { return None };
    match (&cache.url, &cache.sentinel) {
        (Some(url), _) => Some(database_in(url)),
        (None, Some(sentinel)) => Some(sentinel.db.to_string()),
        // A cluster has this one alone.
        (None, None) => Some("0".to_owned()),
    }
}

/// The run ids of the servers of a store, whatever their addresses are; none where they do not say.
async fn runs(store: Arc<dyn Store>) -> Vec<String> {
    let Ok(Identity(nodes)) = store.identity().await else { return Vec::new() };
    let run = |node: &str| node.rsplit_once('=').map(|(_, run)| run.to_owned());
    nodes.split(' ').filter_map(run).filter(|run| !run.starts_with('/')).collect()
}
