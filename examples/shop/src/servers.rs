//! Starts what the shop runs on in temporary folders: PostgreSQL, two Redis servers and a worker. All of it ends with the shop.

use std::path::{Path, PathBuf};

use quash_config::{Loader, ProcessEnvironment};
use quash_dispatch::config::Config;
use quash_e2e::{Home, Kind, Postgres, Queue, RedisServer};
use quash_worker::app::{App, Running};

use crate::Failure;

/// The rules of the shop, as they would be with servers of your own.
const CONFIG: &str = include_str!("../shop.yaml");
const NEEDED: &str = "the shop starts servers of its own and needs their programs: \
     on Debian and Ubuntu `sudo apt-get install postgresql redis-server`";

/// The servers of one shop.
pub(crate) struct Servers {
    database: Postgres,
    cache: RedisServer,
    queue: RedisServer,
    worker: Running,
    config: PathBuf,
    // Held so that the configuration is there as long as the shop.
    _home: Home,
}

impl Servers {
    /// Starts all of them.
    pub(crate) async fn start() -> Result<Self, Failure> {
        if !Postgres::is_installed() || !RedisServer::is_installed() {
            return Err(NEEDED.into());
        }
        let (database, cache, queue) = tokio::join!(Postgres::start(), RedisServer::start(), RedisServer::durable());
        let home = Home::new("shop");
        let config = home.write("shop.yaml", configured(&cache.url(0), &queue.url(0)));
        let worker = work(&config).await?;
        Ok(Self { database, cache, queue, worker, config, _home: home })
    }

    /// Where the books are.
    pub(crate) fn database_url(&self) -> String {
        self.database.url()
    }

    /// Where readers store what they loaded.
    pub(crate) fn cache_url(&self) -> String {
        self.cache.url(0)
    }

    /// Where events wait for workers.
    pub(crate) fn queue(&self) -> Queue {
        Queue::at(Kind::RedisStreams, &self.queue.url(0), "shop.events")
    }

    /// The configuration of the application and of the worker.
    pub(crate) fn config(&self) -> &Path {
        &self.config
    }

    /// Lets the worker finish what it has in hand.
    pub(crate) async fn stop(self) {
        self.worker.stop().await;
    }
}

/// The rules with the servers of this shop.
fn configured(cache: &str, queue: &str) -> String {
    let variables =
        [("${CACHE_URL:-redis://127.0.0.1:6379/0}", cache), ("${QUEUE_URL:-redis://127.0.0.1:6380/0}", queue)];
    // Several shops on one machine: none of them takes the port of the others.
    let config = variables.iter().fold(CONFIG.to_owned(), |text, (variable, url)| text.replace(variable, url));
    format!("{config}\nadmin: {{ listen: off }}\n")
}

/// Starts a worker in this process, for the sake of one command; elsewhere it is `quash run -c shop.yaml`.
async fn work(config: &Path) -> Result<Running, Failure> {
    let loaded = Loader::load::<Config>(&[config.to_path_buf()], &ProcessEnvironment)?;
    let app = App::new(loaded.root).map_err(|error| format!("the worker: {error}"))?;
    Ok(app.start().await.map_err(|error| format!("the worker: {error}"))?)
}
