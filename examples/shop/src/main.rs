//! Runs a small shop with everything that it needs: `cargo run -p quash-example-shop`.

// The shop, from a request to the database, the cache, and those who must hear of a change.
mod cache;
mod changes;
mod database;
mod routes;

// What it runs on, and a walk through it.
mod servers;
mod tour;

use std::net::SocketAddr;
use std::process::ExitCode;

use clap::Parser;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

use routes::Shop;
use servers::Servers;

/// Any error, for the top of a program that only prints it.
type Failure = Box<dyn std::error::Error + Send + Sync>;

/// A small shop: axum, PostgreSQL, a Redis cache, and Quash between them.
#[derive(Debug, Parser)]
struct Options {
    /// Where to serve
    #[arg(long, default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// Walk through the shop, say what was a hit and a miss, and end: with 0 if all was as it should be
    #[arg(long)]
    tour: bool,
}

#[tokio::main]
async fn main() -> ExitCode {
    tracing_subscriber::fmt().with_env_filter("warn").with_writer(std::io::stderr).init();
    match run(Options::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("error: {failure}");
            ExitCode::FAILURE
        }
    }
}

async fn run(options: Options) -> Result<(), Failure> {
    let servers = Servers::start().await?;
    let shop = Shop::open(&servers).await?;
    let any_port = SocketAddr::from(([127, 0, 0, 1], 0));
    let listener = TcpListener::bind(if options.tour { any_port } else { options.listen }).await?;
    let address = listener.local_addr()?;
    let serving = axum::serve(listener, shop.routes());
    let result = if options.tour {
        tokio::select! {
            served = serving => served.map_err(Failure::from),
            toured = tour::walk(address, &servers) => toured,
        }
    } else {
        greet(address);
        serving.with_graceful_shutdown(asked_to_stop()).await.map_err(Failure::from)
    };
    shop.close().await;
    servers.stop().await;
    result
}

/// The servers end with the shop only where it ends by itself.
async fn asked_to_stop() {
    let Ok(mut terminate) = signal(SignalKind::terminate()) else { return drop(tokio::signal::ctrl_c().await) };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminate.recv() => {}
    }
}

fn greet(address: SocketAddr) {
    println!("the shop is open, until Ctrl-C:");
    for (method, path, body) in [
        ("GET", "/books/1", ""),
        ("GET", "/authors/1/books", ""),
        ("PUT", "/books/1/price", r#"{"price": "12.50"}"#),
        ("PUT", "/books/1/author", r#"{"author_id": 2}"#),
        ("DELETE", "/books/1", ""),
    ] {
        let body = if body.is_empty() { String::new() } else { format!(" --json '{body}'") };
        println!("  curl -i -X {method} http://{address}{path}{body}");
    }
    println!("the header Cache-Status says where an answer is from; --tour walks through it");
}
