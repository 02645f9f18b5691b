//! Asks a PostgreSQL for the columns of an entry.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::{BufMut, BytesMut};
use quash_config::Secret;
use quash_core::rule::truth::SqlTruth;
use quash_relay::postgres::Address;
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};
use tokio_postgres::types::{Format, IsNull, ToSql, Type, to_sql_checked};
use tokio_postgres::{Client, Statement};

use super::compare::{is_same, spoilt};
use super::{Answer, Asked, Truth};
use crate::entry::{Payload, sha256};

/// How long a query may take at the server; an answer may take a second more.
const SETTINGS: &str = "set statement_timeout = '1s'; set default_transaction_read_only = on";
const ANSWER_LIMIT: Duration = Duration::from_secs(2);
/// How long a server that could not be reached is left alone.
const PAUSE: Duration = Duration::from_secs(1);
/// Rows of one entry at most.
const ROWS_MAX: usize = 1000;

/// A server.
pub(super) struct Database {
    name: String,
    address: Address,
    link: Mutex<Link>,
}

#[derive(Default)]
struct Link {
    client: Option<Arc<Client>>,
    /// Until when it is left alone, and why.
    away: Option<(Instant, String)>,
}

impl Database {
    pub(super) fn new(name: &str, url: &Secret) -> Result<Self, String> {
        let address = Address::parse(url, "quash verify").map_err(|error| format!("server {name}: {error}"))?;
        Ok(Self { name: name.to_owned(), address, link: Mutex::default() })
    }

    async fn client(&self) -> Result<Arc<Client>, String> {
        let mut link = self.link.lock().await;
        if let Some(client) = link.client.as_ref().filter(|client| !client.is_closed()) {
            return Ok(Arc::clone(client));
        }
        if let Some((_, why)) = link.away.as_ref().filter(|(until, _)| *until > Instant::now()) {
            return Err(why.clone());
        }
        match self.connect().await {
            Ok(client) => {
                *link = Link { client: Some(Arc::clone(&client)), away: None };
                Ok(client)
            }
            Err(why) => {
                *link = Link { client: None, away: Some((Instant::now() + PAUSE, why.clone())) };
                Err(why)
            }
        }
    }

    async fn connect(&self) -> Result<Arc<Client>, String> {
        let words = |error: &dyn Error| format!("server {}: {}", self.name, reasons(error));
        let connecting = timeout(Duration::from_secs(10), self.address.config.connect(self.address.tls.clone())).await;
        let (client, connection) = connecting.map_err(|error| words(&error))?.map_err(|error| words(&error))?;
        // It ends with the client.
        tokio::spawn(connection);
        timeout(ANSWER_LIMIT, client.batch_execute(SETTINGS))
            .await
            .map_err(|error| words(&error))?
            .map_err(|error| words(&error))?;
        Ok(Arc::new(client))
    }

    /// Whoever does not answer may hang: the next question is asked over another connection.
    async fn drop_client(&self, client: &Arc<Client>) {
        let mut link = self.link.lock().await;
        if link.client.as_ref().is_some_and(|known| Arc::ptr_eq(known, client)) {
            link.client = None;
        }
    }
}

/// The error with what it is because of.
fn reasons(error: &dyn Error) -> String {
    let mut words = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        words = format!("{words}: {inner}");
        cause = inner.source();
    }
    words
}

/// The query of one cache.
pub(super) struct Query {
    database: Arc<Database>,
    text: String,
    /// The names of what is bound.
    args: Vec<String>,
    prepared: Mutex<Option<(Arc<Client>, Statement)>>,
}

impl Query {
    pub(super) fn new(database: Arc<Database>, declared: &SqlTruth) -> Result<Self, String> {
        // The names alone: whether the cache has them was checked with the configuration.
        let names = quash_core::key::template::Template::names(&declared.query);
        let (text, bound) = declared.bound(&names)?;
        let args = bound.into_iter().map(|index| names[index].clone()).collect();
        let text = format!(
            "select to_jsonb(quash_row)::text from ({}) quash_row limit {}",
            text.trim().trim_end_matches(';'),
            ROWS_MAX + 1
        );
        Ok(Self { database, text, args, prepared: Mutex::default() })
    }

    async fn statement(&self) -> Result<(Arc<Client>, Statement), String> {
        let client = self.database.client().await?;
        let mut prepared = self.prepared.lock().await;
        if let Some((_, statement)) = prepared.as_ref().filter(|(known, _)| Arc::ptr_eq(known, &client)) {
            return Ok((client, statement.clone()));
        }
        let preparing = timeout(ANSWER_LIMIT, client.prepare(&self.text)).await;
        let statement = match preparing {
            Ok(statement) => statement.map_err(|error| reasons(&error))?,
            Err(silence) => {
                self.database.drop_client(&client).await;
                return Err(silence.to_string());
            }
        };
        *prepared = Some((Arc::clone(&client), statement.clone()));
        Ok((client, statement))
    }

    async fn rows(&self, args: &[(String, String)]) -> Result<Vec<String>, String> {
        let text = |name: &String| args.iter().find(|(arg, _)| arg == name).map(|(_, text)| Text(text));
        let bound = self.args.iter().map(text).collect::<Option<Vec<_>>>();
        let bound = bound.ok_or("the key does not tell all arguments of the query")?;
        let (client, statement) = self.statement().await?;
        let params: Vec<&(dyn ToSql + Sync)> = bound.iter().map(|text| text as &(dyn ToSql + Sync)).collect();
        let rows = match timeout(ANSWER_LIMIT, client.query(&statement, &params)).await {
            Ok(rows) => rows.map_err(|error| reasons(&error))?,
            Err(silence) => {
                self.database.drop_client(&client).await;
                return Err(silence.to_string());
            }
        };
        if rows.len() > ROWS_MAX {
            return Err(format!("the query gives more than {ROWS_MAX} rows"));
        }
        rows.iter().map(|row| row.try_get(0).map_err(|error| reasons(&error))).collect()
    }
}

/// An argument as text, whatever type the query wants: the server reads it as it would read a literal.
#[derive(Debug)]
struct Text<'a>(&'a str);

impl ToSql for Text<'_> {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        out.put_slice(self.0.as_bytes());
        Ok(IsNull::No)
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    fn encode_format(&self, _: &Type) -> Format {
        Format::Text
    }

    to_sql_checked!();
}

#[async_trait]
impl Truth for Query {
    async fn ask(&self, asked: &Asked<'_>) -> Answer {
        let payload = asked.payload;
        if !payload.is_plain {
            return Answer::Unreadable;
        }
        let texts = match self.rows(asked.args).await {
            Ok(texts) => texts,
            Err(why) => return Answer::Unknown(why),
        };
        let parsed = texts.iter().map(|text| serde_json::from_str(text)).collect::<Result<Vec<_>, _>>();
        let Ok(rows) = parsed else { return Answer::Unknown("a row that is no JSON".to_owned()) };
        match is_same(&rows, (!payload.is_absence).then_some(&payload.stored)) {
            Some(true) => Answer::Same,
            Some(false) => Answer::Other(Some(sha256(texts.join("\n").as_bytes()))),
            None => Answer::Unreadable,
        }
    }

    fn spoilt(&self, payload: &Payload) -> Option<Vec<u8>> {
        (payload.is_plain && !payload.is_absence).then(|| spoilt(&payload.stored)).flatten()
    }
}
