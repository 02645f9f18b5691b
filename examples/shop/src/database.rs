//! Keeps books in PostgreSQL.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;
use tokio_postgres::{Client, NoTls, Row};

use crate::Failure;

/// Authors and books to begin with.
const SCHEMA: &str = "
create table author (id bigint primary key, name text not null);
create table book (
    id bigint primary key,
    title text not null,
    price numeric(8, 2) not null,
    author_id bigint not null references author
);
insert into author values (1, 'Ursula K. Le Guin'), (2, 'Stanisław Lem');
insert into book values
    (1, 'The Dispossessed', 9.90, 1), (2, 'The Lathe of Heaven', 8.50, 1), (3, 'Solaris', 7.90, 2);
";
/// Prices travel as text: a JSON number would lose digits.
const COLUMNS: &str = "id, title, price::text, author_id";

/// A row of the table of books, and the image of it that events carry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Book {
    pub(crate) id: i64,
    pub(crate) title: String,
    pub(crate) price: String,
    pub(crate) author_id: i64,
}

/// What may be changed about a book.
#[derive(Debug, Clone)]
pub(crate) enum Change {
    /// What it costs.
    Price(String),
    /// Who wrote it.
    Author(i64),
}

/// One connection, which requests take in turn: enough for an example.
#[derive(Clone)]
pub(crate) struct Database(Arc<Mutex<Client>>);

impl Database {
    /// Connects and makes the tables.
    pub(crate) async fn open(url: &str) -> Result<Self, Failure> {
        let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
        tokio::spawn(connection);
        client.batch_execute(SCHEMA).await?;
        Ok(Self(Arc::new(Mutex::new(client))))
    }

    /// A book, if it is there.
    pub(crate) async fn book(&self, id: i64) -> Result<Option<Book>, Failure> {
        let found = self.0.lock().await.query_opt(&format!("select {COLUMNS} from book where id = $1"), &[&id]).await?;
        Ok(found.as_ref().map(book))
    }

    /// The books of an author.
    pub(crate) async fn books_of(&self, author_id: i64) -> Result<Vec<Book>, Failure> {
        let sql = format!("select {COLUMNS} from book where author_id = $1 order by id");
        Ok(self.0.lock().await.query(&sql, &[&author_id]).await?.iter().map(book).collect())
    }

    /// Changes a book and returns it as it was and as it is, if it is there. Committed when this returns.
    pub(crate) async fn change(&self, id: i64, change: &Change) -> Result<Option<(Book, Book)>, Failure> {
        let mut client = self.0.lock().await;
        let transaction = client.transaction().await?;
        // Locked, so that the row before is the one that is changed.
        let old =
            transaction.query_opt(&format!("select {COLUMNS} from book where id = $1 for update"), &[&id]).await?;
        let Some(old) = old else { return Ok(None) };
        let new = match change {
            Change::Price(price) => {
                let sql = format!("update book set price = $2::text::numeric where id = $1 returning {COLUMNS}");
                transaction.query_one(&sql, &[&id, price]).await?
            }
            Change::Author(author) => {
                let sql = format!("update book set author_id = $2 where id = $1 returning {COLUMNS}");
                transaction.query_one(&sql, &[&id, author]).await?
            }
        };
        transaction.commit().await?;
        Ok(Some((book(&old), book(&new))))
    }

    /// Deletes a book and returns it as it was, if it was there. Committed when this returns.
    pub(crate) async fn delete(&self, id: i64) -> Result<Option<Book>, Failure> {
        let sql = format!("delete from book where id = $1 returning {COLUMNS}");
        let gone = self.0.lock().await.query_opt(&sql, &[&id]).await?;
        Ok(gone.as_ref().map(book))
    }
}

fn book(row: &Row) -> Book {
    Book { id: row.get(0), title: row.get(1), price: row.get(2), author_id: row.get(3) }
}
