//! Answers requests: reads go through the cache, writes to the database, and then Quash is told.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, put};
use axum::{Json, Router};
use serde::{Deserialize, Serialize};

use crate::Failure;
use crate::cache::{Cache, Read};
use crate::changes::Changes;
use crate::database::{Change, Database};
use crate::servers::Servers;

/// All that a request needs.
#[derive(Clone)]
pub(crate) struct Shop {
    database: Database,
    cache: Cache,
    changes: Changes,
}

#[derive(Deserialize)]
struct Price {
    price: String,
}

#[derive(Deserialize)]
struct Author {
    author_id: i64,
}

impl Shop {
    /// Connects to its servers.
    pub(crate) async fn open(servers: &Servers) -> Result<Self, Failure> {
        Ok(Self {
            database: Database::open(&servers.database_url()).await?,
            cache: Cache::open(servers.config(), &servers.cache_url())?,
            changes: Changes::load(servers.config())?,
        })
    }

    /// Its routes.
    pub(crate) fn routes(&self) -> Router {
        Router::new()
            .route("/books/{id}", get(show).delete(delete))
            .route("/books/{id}/price", put(set_price))
            .route("/books/{id}/author", put(set_author))
            .route("/authors/{id}/books", get(list))
            .with_state(self.clone())
    }

    /// Waits for what it has still to tell.
    pub(crate) async fn close(&self) {
        self.changes.close().await;
    }

    async fn change(&self, id: i64, change: Change) -> Result<Response, Refused> {
        let Some((before, after)) = self.database.change(id, &change).await? else { return Err(Refused::Missing) };
        self.changes.updated(&before, &after).await.map_err(Refused::Untold)?;
        Ok(Json(after).into_response())
    }
}

async fn show(State(shop): State<Shop>, Path(id): Path<i64>) -> Result<Response, Refused> {
    let read = shop.cache.book(&shop.database, id).await?;
    read.map(answer).ok_or(Refused::Missing)
}

async fn list(State(shop): State<Shop>, Path(author_id): Path<i64>) -> Result<Response, Refused> {
    let read = shop.cache.books_of(&shop.database, author_id).await?;
    read.map(answer).ok_or(Refused::Missing)
}

async fn set_price(State(shop): State<Shop>, Path(id): Path<i64>, Json(new): Json<Price>) -> Result<Response, Refused> {
    shop.change(id, Change::Price(new.price)).await
}

async fn set_author(
    State(shop): State<Shop>,
    Path(id): Path<i64>,
    Json(new): Json<Author>,
) -> Result<Response, Refused> {
    shop.change(id, Change::Author(new.author_id)).await
}

async fn delete(State(shop): State<Shop>, Path(id): Path<i64>) -> Result<StatusCode, Refused> {
    let Some(before) = shop.database.delete(id).await? else { return Err(Refused::Missing) };
    shop.changes.deleted(&before).await.map_err(Refused::Untold)?;
    Ok(StatusCode::NO_CONTENT)
}

fn answer<V: Serialize>(read: Read<V>) -> Response {
    ([("cache-status", read.status)], Json(&*read.value)).into_response()
}

/// Why a request is not answered as it hoped.
enum Refused {
    Missing,
    /// The change is committed, and nobody was told: entries may be stale until they expire.
    Untold(Failure),
    Failed(Failure),
}

impl From<Failure> for Refused {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let (status, words) = match self {
            Self::Missing => (StatusCode::NOT_FOUND, "there is no such thing".to_owned()),
            Self::Untold(why) => (StatusCode::ACCEPTED, format!("changed; readers may see it a minute later: {why}")),
            Self::Failed(why) => (StatusCode::INTERNAL_SERVER_ERROR, why.to_string()),
        };
        if status != StatusCode::NOT_FOUND {
            tracing::error!("{words}");
        }
        (status, words).into_response()
    }
}
