//! Walks through the shop as its customers would, and checks at each step what was a hit, a miss, and invalidated.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use quash_e2e::Queue;
use quash_transport::Backlog;
use redis::AsyncCommands;
use redis::aio::MultiplexedConnection;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::sleep;

use crate::Failure;
use crate::servers::Servers;

/// How long stale entries may take to go: many times what it takes.
const PATIENCE: Duration = Duration::from_secs(20);
const LOOK_EVERY: Duration = Duration::from_millis(2);

const BOOK: &str = "/books/1";
const NEIGHBOUR: &str = "/books/3";
const LE_GUIN: &str = "/authors/1/books";
const LEM: &str = "/authors/2/books";

/// Makes the requests and says what came of each. An error is the first thing that is not as it should be.
pub(crate) async fn walk(shop: SocketAddr, servers: &Servers) -> Result<(), Failure> {
    let cache = redis::Client::open(servers.cache_url())?.get_multiplexed_async_connection().await?;
    let mut tour = Tour { shop, cache, queue: servers.queue() };

    tour.says("readers fill the cache");
    for path in [BOOK, NEIGHBOUR, LE_GUIN, LEM] {
        tour.reads(path, "fwd=miss").await?;
        tour.reads(path, "hit").await?;
    }

    tour.says("a new price makes the book and its author's list stale");
    tour.writes("PUT", "/books/1/price", &json!({ "price": "12.50" }), &["book:1", "author:1:books"]).await?;
    let book = tour.reads(BOOK, "fwd=miss").await?;
    tour.shows(&book["price"], &json!("12.50"))?;
    let list = tour.reads(LE_GUIN, "fwd=miss").await?;
    tour.shows(&list[0]["price"], &json!("12.50"))?;
    tour.reads(NEIGHBOUR, "hit").await?;
    tour.reads(LEM, "hit").await?;

    tour.says("a book that moves makes the lists of both authors stale");
    tour.settles().await?;
    tour.refills(&[BOOK, LE_GUIN]).await?;
    tour.writes("PUT", "/books/1/author", &json!({ "author_id": 2 }), &["book:1", "author:1:books", "author:2:books"])
        .await?;
    let before = tour.reads(LE_GUIN, "fwd=miss").await?;
    tour.shows(&titles(&before), &json!(["The Lathe of Heaven"]))?;
    let after = tour.reads(LEM, "fwd=miss").await?;
    tour.shows(&titles(&after), &json!(["The Dispossessed", "Solaris"]))?;
    tour.reads(NEIGHBOUR, "hit").await?;

    tour.says("a book that is gone leaves nothing behind");
    tour.settles().await?;
    tour.refills(&[BOOK, LEM]).await?;
    tour.writes("DELETE", BOOK, &Value::Null, &["book:1", "author:2:books"]).await?;
    tour.misses(BOOK).await?;
    let left = tour.reads(LEM, "fwd=miss").await?;
    tour.shows(&titles(&left), &json!(["Solaris"]))?;
    tour.reads(NEIGHBOUR, "hit").await?;

    println!("\nall as it should be");
    Ok(())
}

/// Somebody who walks through a shop and looks into its cache.
struct Tour {
    shop: SocketAddr,
    cache: MultiplexedConnection,
    queue: Queue,
}

impl Tour {
    #[expect(clippy::unused_self, reason = "reads as the other steps do")]
    fn says(&self, words: &str) {
        println!("\n{words}");
    }

    /// Gets a page, which must come from where it is said to come from.
    async fn reads(&self, path: &str, expected: &str) -> Result<Value, Failure> {
        let answer = ask(self.shop, "GET", path, &Value::Null).await?;
        println!("  GET {path:<18} {:<5} {}", answer.cache, answer.body);
        match answer.cache == expected {
            true => Ok(serde_json::from_str(&answer.body)?),
            false => Err(format!("GET {path}: a {} instead of a {expected}", answer.cache).into()),
        }
    }

    /// Gets a page that is not there.
    async fn misses(&self, path: &str) -> Result<(), Failure> {
        let answer = ask(self.shop, "GET", path, &Value::Null).await?;
        println!("  GET {path:<18} {}", answer.status);
        (answer.status == 404)
            .then_some(())
            .ok_or_else(|| format!("GET {path}: {} instead of 404", answer.status).into())
    }

    /// Reads pages until they are in the cache.
    async fn refills(&self, paths: &[&str]) -> Result<(), Failure> {
        for path in paths {
            ask(self.shop, "GET", path, &Value::Null).await?;
            self.reads(path, "hit").await?;
        }
        Ok(())
    }

    /// Changes something, which must remove these entries from the cache and no other: the first before it is answered, the
    /// others soon after.
    async fn writes(&mut self, method: &str, path: &str, body: &Value, stale: &[&str]) -> Result<(), Failure> {
        let before = self.entries().await?;
        let asked = Instant::now();
        let answer = ask(self.shop, method, path, body).await?;
        let answered = asked.elapsed();
        if !(200..300).contains(&answer.status) {
            return Err(format!("{method} {path}: {} {}", answer.status, answer.body).into());
        }
        if self.entries().await?.contains(stale[0]) {
            return Err(format!("{method} {path}: answered before {} was gone", stale[0]).into());
        }
        let stale: BTreeSet<String> = stale.iter().map(ToString::to_string).collect();
        let gone = loop {
            let now = self.entries().await?;
            let gone: BTreeSet<String> = before.difference(&now).cloned().collect();
            if gone.is_superset(&stale) || asked.elapsed() > PATIENCE {
                break gone;
            }
            sleep(LOOK_EVERY).await;
        };
        let (answered, took) = (answered.as_secs_f64() * 1000.0, asked.elapsed().as_secs_f64() * 1000.0);
        let body = if body.is_null() { String::new() } else { format!(" {body}") };
        println!("  {method} {path}{body}: answered after {answered:.1} ms");
        println!(
            "    invalidated after {took:.1} ms: {}",
            gone.iter().map(String::as_str).collect::<Vec<_>>().join(", ")
        );
        (gone == stale)
            .then_some(())
            .ok_or_else(|| format!("{method} {path}: gone are {gone:?} instead of {stale:?}").into())
    }

    /// Compares what a page shows.
    #[expect(clippy::unused_self, reason = "reads as the other steps do")]
    fn shows(&self, shown: &Value, expected: &Value) -> Result<(), Failure> {
        (shown == expected).then_some(()).ok_or_else(|| format!("{shown} is shown instead of {expected}").into())
    }

    /// Waits for the later passes of `again_after`, which would remove what the next step fills.
    async fn settles(&self) -> Result<(), Failure> {
        let asked = Instant::now();
        loop {
            let left = self.queue.backlog().await;
            if left == Backlog::default() {
                return Ok(());
            }
            if asked.elapsed() > PATIENCE {
                return Err(format!("the worker is not done: {left:?}").into());
            }
            sleep(LOOK_EVERY).await;
        }
    }

    async fn entries(&mut self) -> Result<BTreeSet<String>, Failure> {
        Ok(self.cache.keys("*").await?)
    }
}

fn titles(list: &Value) -> Value {
    list.as_array().into_iter().flatten().map(|book| book["title"].clone()).collect()
}

/// What the shop answered.
struct Answer {
    status: u16,
    /// Its header `Cache-Status`, behind the name of the cache.
    cache: String,
    body: String,
}

/// Makes a request; HTTP/1.0, so that the answer ends with the connection.
async fn ask(shop: SocketAddr, method: &str, path: &str, body: &Value) -> Result<Answer, Failure> {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let head = format!("{method} {path} HTTP/1.0\r\nHost: {shop}\r\nContent-Type: application/json\r\n");
    let mut stream = TcpStream::connect(shop).await?;
    stream.write_all(format!("{head}Content-Length: {}\r\n\r\n{body}", body.len()).as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    parse(&answer).ok_or_else(|| format!("{method} {path}: no HTTP: {answer}").into())
}

fn parse(answer: &str) -> Option<Answer> {
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let status = head.split_whitespace().nth(1)?.parse().ok()?;
    let cache =
        head.lines().find_map(|line| line.strip_prefix("cache-status: ")?.split_once("; ")).unwrap_or_default().1;
    Some(Answer { status, cache: cache.to_owned(), body: body.to_owned() })
}
