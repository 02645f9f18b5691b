//! Takes rows out of the outbox in transactions, over a connection that is made again when it broke.

use std::future::{Future, poll_fn};
use std::sync::Arc;
use std::time::Duration;

use quash_relay::postgres::{Address, Encrypted};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{AsyncMessage, Client, Connection, Error, IsolationLevel, Socket, Transaction};

use super::layout::{CHANNEL, Table};

/// How long the database may take to answer; past it the connection counts as broken.
const ANSWER_LIMIT: Duration = Duration::from_secs(30);

/// The server ends the transaction of a relay whose machine is gone, so that others get its rows. What a crash of the server
/// forgets of a removal is published again, so that nobody needs to wait for its disk.
const SETTINGS: &str = "set local idle_in_transaction_session_timeout = '5min'; set local synchronous_commit = off";

/// The outbox of one database.
pub(super) struct Database {
    address: Address,
    table: Table,
    link: Option<Link>,
    /// Rung when there may be rows, or when the connection broke.
    bell: Arc<Notify>,
}

/// An open connection.
struct Link {
    client: Client,
    driver: JoinHandle<()>,
}

/// A row of the outbox.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) id: i64,
    /// Its event, cut somewhere past the limit of a message.
    pub(super) body: String,
    /// How many bytes were cut off.
    pub(super) cut: usize,
}

/// Rows that nobody else takes meanwhile. Dropped, they are left as they were.
pub(super) struct Taken<'a> {
    pub(super) rows: Vec<Row>,
    transaction: Transaction<'a>,
    table: &'a Table,
}

/// Why the database did not do what was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum DatabaseError {
    /// It cannot be reached or stopped answering: trying again can help.
    #[error("cannot reach the database: {0}")]
    Unreachable(String),
    /// It answered with an error that stays until somebody changes something.
    #[error("the database refused: {0}")]
    Refused(String),
}

impl Database {
    /// The outbox at an address; connects when rows are taken.
    pub(super) fn new(address: Address, table: Table) -> Self {
        Self { address, table, link: None, bell: Arc::default() }
    }

    /// Takes the oldest rows that nobody else has taken, and of each body little more than this many bytes.
    ///
    /// # Errors
    /// When there is no connection, or it breaks.
    pub(super) async fn take(&mut self, rows: u32, body_bytes: usize) -> Result<Taken<'_>, DatabaseError> {
        if self.link.as_ref().is_none_or(|link| link.client.is_closed()) {
            self.link = Some(Link::open(&self.address, self.bell.clone()).await?);
        }
        // It was just made where it was missing.
        let Some(link) = &mut self.link else { return Err(DatabaseError::Unreachable("no connection".to_owned())) };
        answered(take(&mut link.client, &self.table, rows, body_bytes))
            .await
            .map_err(|failure| failure.about(&self.table))
    }

    /// Rings when there may be rows. Never, where the table has no trigger.
    pub(super) async fn rings(&self) {
        self.bell.notified().await;
    }

    /// Gives the connection up: what it is about is not known any more.
    pub(super) fn disconnect(&mut self) {
        self.link = None;
    }
}

impl Link {
    async fn open(address: &Address, bell: Arc<Notify>) -> Result<Self, DatabaseError> {
        let connecting = answered(address.config.connect(address.tls.clone())).await;
        let (client, connection) = connecting.map_err(|failure| failure.explained(""))?;
        let driver = tokio::spawn(drive(connection, bell));
        // Poolers may refuse to: then there are only the looks at intervals.
        if let Err(error) = answered(client.batch_execute(&format!("listen {CHANNEL}"))).await {
            tracing::debug!(error = %error.words(), "the database does not wake this relay");
        }
        Ok(Self { client, driver })
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

async fn drive(mut connection: Connection<Socket, Encrypted>, bell: Arc<Notify>) {
    while let Some(Ok(message)) = poll_fn(|context| connection.poll_message(context)).await {
        if matches!(message, AsyncMessage::Notification(_)) {
            bell.notify_one();
        }
    }
    bell.notify_one();
}

async fn take<'a>(client: &'a mut Client, table: &'a Table, rows: u32, body_bytes: usize) -> Result<Taken<'a>, Error> {
    let transaction = client.build_transaction().isolation_level(IsolationLevel::ReadCommitted).start().await?;
    transaction.batch_execute(SETTINGS).await?;
    let oldest = format!(
        "select id, left(body, $2), octet_length(body) from {} where error = '' \
         order by id limit $1 for update skip locked",
        table.quoted()
    );
    let (rows, body_bytes) = (i64::from(rows), i32::try_from(body_bytes).unwrap_or(i32::MAX));
    let found = transaction.query_typed(&oldest, &[(&rows, Type::INT8), (&body_bytes, Type::INT4)]).await?;
    let rows = found.iter().map(row).collect::<Result<_, _>>()?;
    Ok(Taken { rows, transaction, table })
}

fn row(row: &tokio_postgres::Row) -> Result<Row, Error> {
    let body: String = row.try_get(1)?;
    let length = usize::try_from(row.try_get::<_, i32>(2)?).unwrap_or_default();
    // In a database that is not in UTF-8 the length may be shorter than what came.
    let cut = length.saturating_sub(body.len());
    Ok(Row { id: row.try_get(0)?, body, cut })
}

impl Taken<'_> {
    /// Removes these rows and marks those with their error, at once. Returns when it is done.
    ///
    /// # Errors
    /// It is then not known whether it was done.
    pub(super) async fn settle(self, remove: &[i64], refused: &[(i64, String)]) -> Result<(), DatabaseError> {
        let settled = answered(async {
            let table = self.table.quoted();
            let mark = format!("update {table} set error = $2 where id = $1");
            for (id, error) in refused {
                let arguments: [(&(dyn ToSql + Sync), Type); 2] = [(id, Type::INT8), (error, Type::TEXT)];
                self.transaction.execute_typed(&mark, &arguments).await?;
            }
            let gone = format!("delete from {table} where id = any($1)");
            self.transaction.execute_typed(&gone, &[(&remove, Type::INT8_ARRAY)]).await?;
            self.transaction.commit().await
        });
        settled.await.map_err(|failure| failure.about(self.table))
    }
}

/// What came instead of an answer.
#[derive(Debug)]
enum Failure {
    Silence,
    Error(Error),
}

async fn answered<T>(asking: impl Future<Output = Result<T, Error>>) -> Result<T, Failure> {
    timeout(ANSWER_LIMIT, asking).await.map_err(|_| Failure::Silence)?.map_err(Failure::Error)
}

impl Failure {
    fn words(&self) -> String {
        match self {
            Self::Silence => format!("no answer within {ANSWER_LIMIT:?}"),
            Self::Error(error) => match (error.as_db_error(), std::error::Error::source(error)) {
                (Some(said), _) => format!("{} ({})", said.message(), said.code().code()),
                (None, Some(cause)) => format!("{error}: {cause}"),
                (None, None) => error.to_string(),
            },
        }
    }

    fn about(self, table: &Table) -> DatabaseError {
        let help = match self.code() {
            Some("42P01") => format!("; `quash schema outbox` prints the SQL that makes {table}"),
            Some("42501") => format!("; the relay needs SELECT, UPDATE and DELETE on {table}"),
            Some("42703") => format!("; {table} is not laid out as `quash schema outbox` prints it"),
            _ => String::new(),
        };
        self.explained(&help)
    }

    fn explained(self, help: &str) -> DatabaseError {
        let words = format!("{}{help}", self.words());
        match self.is_refusal() {
            true => DatabaseError::Refused(words),
            false => DatabaseError::Unreachable(words),
        }
    }

    fn code(&self) -> Option<&str> {
        match self {
            Self::Error(error) => error.code().map(SqlState::code),
            Self::Silence => None,
        }
    }

    /// Whether it stays until somebody changes something: who may log in (28), which databases (3D) and tables (42) there are.
    fn is_refusal(&self) -> bool {
        self.code().is_some_and(|code| ["28", "3D", "42"].iter().any(|class| code.starts_with(class)))
    }
}
