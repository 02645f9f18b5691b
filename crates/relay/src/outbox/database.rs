//! Takes rows out of the outbox in transactions.

use std::future::{Future, poll_fn};
use std::sync::Arc;
use std::time::Duration;

use quash_config::Finding;
use quash_dispatch::config::OutboxTable;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{AsyncMessage, Client, Connection, Error, IsolationLevel, Socket, Transaction};

use super::layout::CHANNEL;
use crate::error::RelayError;
use crate::postgres::{Address, Encrypted, Failure};

/// How long the database may take to answer; past it the connection counts as broken.
const ANSWER_LIMIT: Duration = Duration::from_secs(30);

/// The server ends the transaction of a relay whose machine is gone, so that others get its rows. What a crash of the server
/// forgets of a removal is published again, so that nobody needs to wait for its disk.
const SETTINGS: &str = "set local idle_in_transaction_session_timeout = '5min'; set local synchronous_commit = off";

/// The outbox of one database, over a connection. Once that broke, every call fails.
pub(super) struct Database<'a> {
    client: Client,
    driver: JoinHandle<()>,
    table: &'a OutboxTable,
    /// Rung when there may be rows, or when the connection broke.
    bell: Arc<Notify>,
}

/// A row of the outbox.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) id: i64,
    /// Its event, cut somewhere past the limit of a message.
    pub(super) body: String,
    /// How many bytes were cut off.
    pub(super) cut: usize,
    /// When it was written, in microseconds since 1970.
    pub(super) written_us: i64,
}

/// Rows that nobody else takes meanwhile. Dropped, they are left as they were.
pub(super) struct Taken<'a> {
    pub(super) rows: Vec<Row>,
    transaction: Transaction<'a>,
    table: &'a OutboxTable,
}

impl<'a> Database<'a> {
    /// Connects.
    ///
    /// # Errors
    /// When the database cannot be reached or does not let the relay in.
    pub(super) async fn open(address: &Address, table: &'a OutboxTable) -> Result<Self, RelayError> {
        let connecting = answered(address.config.connect(address.tls.clone())).await;
        let (client, connection) = connecting.map_err(Failure::into_error)?;
        let bell = Arc::<Notify>::default();
        let driver = tokio::spawn(drive(connection, Arc::clone(&bell)));
        // Poolers may refuse to: then there are only the looks at intervals.
        if let Err(error) = answered(client.batch_execute(&format!("listen {CHANNEL}"))).await {
            tracing::debug!(error = %error.into_error(), "the database does not wake this relay");
        }
        Ok(Self { client, driver, table, bell })
    }

    /// Takes the oldest rows that nobody else has taken, and of each body little more than this many bytes.
    ///
    /// # Errors
    /// When the connection breaks, or the table is not what it should be.
    pub(super) async fn take(&mut self, rows: u32, body_bytes: usize) -> Result<Taken<'_>, RelayError> {
        let table = self.table;
        answered(take(&mut self.client, table, rows, body_bytes)).await.map_err(|failure| about(failure, table))
    }

    /// Rings when there may be rows. Never, where the table has no trigger.
    pub(super) async fn rings(&self) {
        self.bell.notified().await;
    }

    /// Says whether the relay may do what it must, and how many rows can never be published. Changes nothing.
    ///
    /// # Errors
    /// When the connection breaks, or the table is not what it should be.
    pub(super) async fn look(&mut self) -> Result<Vec<Finding>, RelayError> {
        let table = self.table;
        answered(look(&self.client, table)).await.map_err(|failure| about(failure, table))
    }
}

impl Drop for Database<'_> {
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

async fn take<'a>(
    client: &'a mut Client,
    table: &'a OutboxTable,
    rows: u32,
    body_bytes: usize,
) -> Result<Taken<'a>, Error> {
    let transaction = client.build_transaction().isolation_level(IsolationLevel::ReadCommitted).start().await?;
    transaction.batch_execute(SETTINGS).await?;
    let oldest = format!(
        "select id, left(body, $2), octet_length(body), extract(epoch from created_at)::float8 \
         from {} where error = '' order by id limit $1 for update skip locked",
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
    // Whoever writes a row may write any time, and none is too late or too early for a cast.
    #[expect(clippy::cast_possible_truncation, reason = "a time past all integers is the last of them")]
    let written_us = (row.try_get::<_, f64>(3)? * 1e6) as i64;
    Ok(Row { id: row.try_get(0)?, body, cut, written_us })
}

async fn look(client: &Client, table: &OutboxTable) -> Result<Vec<Finding>, Error> {
    let quoted = table.quoted();
    let whole = client.query(&format!("select id, body, error, created_at from {quoted} limit 0"), &[]).await;
    let may = |right: &str| format!("has_table_privilege('{quoted}', '{right}')");
    let rights = client.query_one(&format!("select {}, {}", may("update"), may("delete")), &[]).await?;
    whole?;
    let mut findings = vec![Finding::ok(format!("outbox {table} is there"))];
    if !rights.try_get::<_, bool>(0)? || !rights.try_get::<_, bool>(1)? {
        let grant = format!("grant select, update, delete on {quoted} to current_user");
        findings.push(Finding::error(format!("its rows cannot be removed from {table}"), grant));
    }
    let marked = format!("select count(*) from {quoted} where error <> ''");
    let marked: i64 = client.query_one(&marked, &[]).await?.try_get(0)?;
    if marked > 0 {
        let rows = if marked == 1 { "1 row".to_owned() } else { format!("{marked} rows") };
        findings.push(Finding::warning(
            format!("{rows} of {table} can never be published"),
            format!(
                "select id, error from {quoted} where error <> ''; mend the body and set error = '', or delete the row"
            ),
        ));
    }
    Ok(findings)
}

impl Taken<'_> {
    /// Removes these rows and marks those with their error, at once. Returns when it is done.
    ///
    /// # Errors
    /// It is then not known whether it was done.
    pub(super) async fn settle(self, remove: &[i64], refused: &[(i64, String)]) -> Result<(), RelayError> {
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
        settled.await.map_err(|failure| about(failure, self.table))
    }
}

async fn answered<T>(asking: impl Future<Output = Result<T, Error>>) -> Result<T, Failure> {
    timeout(ANSWER_LIMIT, asking).await.map_err(|_| Failure::silence())?.map_err(Failure::from)
}

/// What it means for the relay of this table.
fn about(failure: Failure, table: &OutboxTable) -> RelayError {
    let help = match failure.code() {
        "42P01" => format!("; `quash schema outbox` prints the SQL that makes {table}"),
        "42501" => format!("; the relay needs SELECT, UPDATE and DELETE on {table}"),
        "42703" => format!("; {table} is not laid out as `quash schema outbox` prints it"),
        _ => String::new(),
    };
    failure.helped(&help)
}
