//! Puts the stage together: the shop, its cache, its broker, and the worker between them.

use std::net::TcpListener;
use std::sync::Arc;

use quash_config::{Environment, Loader, Problem, Secret};
use quash_core::action::Action;
use quash_store::{Store, StoreError};

use super::observe::{ObservedStore, ObservedTransport};
use super::shelf::Shelf;
use super::shop::{BROKEN_EVERY, Shop};
use super::tally::Tally;
use super::{Args, Shared, database};
use crate::CliError;
use crate::output::Paint;
use quash_admin::{Desk, Endpoint, Served};
use quash_dispatch::config::Config;
use quash_worker::app::{App, Plugins, Running, StartError};

/// The configuration of the shop, as `--print-config` shows it.
pub(super) const YAML: &str = include_str!("shop.yaml");
/// The names that the configuration gives.
const TARGET: &str = "cache";
const SOURCE: &str = "events";
const IN_MEMORY: &str =
    "cache: { memory: { name: shop } }              # for real: redis: { url: \"redis://127.0.0.1:6379/1\" }";
const IN_REDIS: &str = "cache:\n    redis: { url: \"${REDIS_URL}\" }\n    key_format: { django: { prefix: \"${QUASH_DEV_PREFIX:-quash-dev}\", version: 1 } }";
const ADMIN: &str = "127.0.0.1:9464";

/// Everything that runs.
pub(super) struct Scene {
    pub(super) shop: Shared,
    pub(super) running: Running,
    /// The page, unless it is off; it ends with the scene.
    pub(super) served: Option<Served>,
    pub(super) store: Arc<dyn Store>,
    /// Whether the cache is a real Redis.
    is_real: bool,
}

/// The configuration, with the cache in this process or in a real Redis.
pub(super) fn yaml(in_redis: bool) -> String {
    if in_redis { YAML.replace(IN_MEMORY, IN_REDIS) } else { YAML.to_owned() }
}

/// What the configuration's variables stand for here.
struct Variables<'a>(&'a Args);

impl Environment for Variables<'_> {
    fn get(&self, name: &str) -> Option<String> {
        match name {
            "REDIS_URL" => self.0.redis.clone(),
            // Its own for every process, so that two of them can share a server.
            "QUASH_DEV_PREFIX" => Some(format!("quash-dev-{}", std::process::id())),
            _ => None,
        }
    }
}

/// Opens everything and starts the worker.
///
/// # Errors
/// When the cache cannot be reached, or the admin endpoint cannot be opened.
pub(super) async fn open(args: &Args) -> Result<Scene, CliError> {
    let config = config(args)?;
    let tally = Arc::new(Tally::new());
    let wrong = |name: &'static str| move |problem: Problem| CliError::Configuration(format!("{name}: {problem}"));
    let store = config.targets[TARGET].kind.build().map_err(wrong("--redis"))?;
    store.identity().await.map_err(|error| unreachable(&error))?;
    let transport = config.sources[SOURCE].kind.build().map_err(wrong("the broker"))?;
    let transport = Arc::new(ObservedTransport { inner: transport, tally: Arc::clone(&tally) });
    let shelf = shelf(args, &config).await?;
    let shop = Arc::new(Shop::new(shelf, Arc::clone(&transport) as _, Arc::clone(&tally)));
    let observed = Arc::new(ObservedStore { inner: Arc::clone(&store), tally });
    let endpoint = Endpoint::bind(&config.admin).await.map_err(|error| CliError::Io(error.to_string()))?;
    let running = worker(config.clone(), observed, transport).await?;
    let served = endpoint.map(|endpoint| endpoint.serve(Desk::of_worker(&config, running.view())));
    Ok(Scene { shop, running, served, store, is_real: args.redis.is_some() })
}

fn config(args: &Args) -> Result<Config, CliError> {
    let loaded = Loader::load_text::<Config>("shop.yaml", &yaml(args.redis.is_some()), &Variables(args));
    let mut config = loaded.map_err(|problems| CliError::Configuration(problems.to_string()))?.root;
    config.admin.listen = match &args.admin {
        Some(listen) => listen.clone(),
        // Somebody else may look at his own worker there.
        None if TcpListener::bind(ADMIN).is_ok() => ADMIN.to_owned(),
        None => "127.0.0.1:0".to_owned(),
    };
    Ok(config)
}

/// Starts a worker on a cache and a broker that somebody else holds the other ends of.
async fn worker(
    config: Config,
    store: Arc<ObservedStore>,
    transport: Arc<ObservedTransport>,
) -> Result<Running, CliError> {
    let mut plugins = Plugins::default();
    plugins.stores.insert(TARGET.to_owned(), store);
    plugins.transports.insert(SOURCE.to_owned(), transport);
    let app = App::new(config).map_err(failed)?;
    app.plugins(plugins).start().await.map_err(failed)
}

fn failed(error: StartError) -> CliError {
    match error {
        StartError::Invalid(problems) => CliError::Configuration(Problem::join(&problems)),
        StartError::Source { .. } => CliError::Unreachable(error.to_string()),
    }
}

async fn shelf(args: &Args, config: &Config) -> Result<Shelf, CliError> {
    let prefixes = config.targets[TARGET].options.key_format.prefixes();
    let prefix = prefixes.first().map_or("", |prefix| prefix);
    match &args.redis {
        None => Ok(Shelf::memory("shop", prefix)),
        Some(url) => Shelf::redis(&Secret::new(url), prefix)
            .await
            .map_err(|error| CliError::Unreachable(format!("cannot reach the Redis of --redis: {error}"))),
    }
}

fn unreachable(error: &StoreError) -> CliError {
    match error {
        StoreError::Unreachable(_) => CliError::Unreachable(error.to_string()),
        _ => CliError::Refused(error.to_string()),
    }
}

/// Removes from a real cache what the shop wrote there. What stays goes by itself after some minutes.
pub(super) async fn clear(shop: &Shop, store: &dyn Store) {
    let prefix = shop.shelf.physical("");
    if !prefix.is_empty() {
        let _ = store.apply(&[Action::DeletePrefix(prefix.into())]).await;
    }
}

impl Scene {
    /// What a newcomer looks at, and what to try next.
    pub(super) fn introduction(&self, paint: Paint) -> String {
        let cache = if self.is_real { "the Redis that you named" } else { "a cache in this process" };
        let products = database::PRODUCTS;
        let admin = match &self.served {
            Some(served) => format!("http://{}/", served.address()),
            None => "--admin 127.0.0.1:9464".to_owned(),
        };
        let title = paint.bold("quash dev");
        format!(
            "{title}: a shop with {products} products caches its pages in\n{cache}. Its writer changes rows and publishes\n\
             an event for each; a worker removes what went stale; readers fill it again.\n\
             One message in {BROKEN_EVERY} is broken on purpose.\n\n  \
             rules    quash dev --print-config > shop.yaml\n  \
             cases    quash test shop.yaml\n  \
             explain  quash explain shop.yaml -e '{{\"entity\": \"shop.Category\",\n           \
             \"op\": \"update\", \"key\": {{\"id\": 3}}}}'\n  \
             page     {admin}\n  \
             stop     Ctrl-C, which also compares the cache with the database\n\n"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(redis: Option<&str>) -> Args {
        let redis = redis.map(str::to_owned);
        Args { duration: None, redis, rate: 1, admin: Some("off".to_owned()), print_config: false }
    }

    #[test]
    fn the_shop_is_declared_without_a_warning_wherever_its_cache_is() {
        for redis in [None, Some("redis://127.0.0.1:6379/1")] {
            let config = config(&args(redis)).unwrap();
            assert_eq!(config.compile().1, [], "{redis:?}");
            let kind = if redis.is_some() { "redis" } else { "memory" };
            assert_eq!(config.targets[TARGET].kind.kind(), kind);
        }
    }

    #[test]
    fn the_cases_of_the_shop_pass_and_exercise_every_dependency() {
        let config = config(&args(None)).unwrap();
        let resolver = config.compile().0.unwrap();
        let ran: Vec<_> = config.tests.iter().map(|case| crate::test::case::run(&resolver, case)).collect();
        for case in &ran {
            assert!(case.passed, "{case:?}");
        }
        assert_eq!(crate::test::coverage::Coverage::of(&resolver, &ran).missing(), 0);
    }
}
