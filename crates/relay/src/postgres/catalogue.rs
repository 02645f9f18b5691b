//! Asks a PostgreSQL what it has: tables and their replica identities, the publication, the slot, the rights.

use std::collections::BTreeSet;

use tokio::task::JoinHandle;
use tokio_postgres::Client;
use tokio_postgres::types::Type;

use super::address::Address;
use super::failure::Failure;
use super::link::{ANSWER_LIMIT, quoted};

/// An ordinary connection, for what the protocol of replication has no words for.
pub(super) struct Catalogue {
    client: Client,
    driver: JoinHandle<()>,
}

impl Drop for Catalogue {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

/// What the server says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct About {
    /// As `150018`.
    pub(super) version: i32,
    /// `logical` where its log can be decoded.
    pub(super) wal_level: String,
    /// It follows another server, and its log cannot be read here.
    pub(super) standby: bool,
    /// A whole transaction id of about now.
    pub(super) xid: u64,
    /// Bytes of the log that slots may hold; -1 is as many as there is disk.
    pub(super) slot_keep: String,
    /// Who is logged in.
    pub(super) role: String,
    /// Whether the role may read the log.
    pub(super) may_replicate: bool,
    /// The database.
    pub(super) database: String,
}

/// A table that can be published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Relation {
    pub(super) schema: String,
    pub(super) name: String,
    /// The columns that the log has of an old row; empty where it has none, and then no row may be updated or deleted once the
    /// table is published.
    pub(super) identity: BTreeSet<String>,
    /// Whether the log has all of them.
    pub(super) full: bool,
    /// Leaves of a partitioned table whose replica identity is another.
    pub(super) odd_leaves: i64,
}

impl Relation {
    /// As rules name it.
    pub(super) fn entity(&self) -> String {
        format!("{}.{}", self.schema, self.name)
    }

    /// As SQL names it.
    pub(super) fn sql(&self) -> String {
        format!("{}.{}", quoted(&self.schema), quoted(&self.name))
    }
}

/// The publication.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Publication {
    /// Whether changes of partitions come under the name of their table.
    pub(super) via_root: bool,
    /// Whether it publishes inserts, updates, deletes and truncates.
    pub(super) whole: bool,
    /// Whether it has all tables, whatever their identity.
    pub(super) all_tables: bool,
    /// Its tables, as rules name them.
    pub(super) tables: BTreeSet<String>,
    /// Whether this role may change it.
    pub(super) ours: bool,
}

/// The slot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Slot {
    pub(super) plugin: String,
    pub(super) database: String,
    /// The process that reads it.
    pub(super) active_pid: Option<i32>,
    /// `lost` where the server no longer has what it needs.
    pub(super) wal_status: String,
    /// Bytes of the log that nobody has confirmed.
    pub(super) behind: Option<i64>,
}

impl Catalogue {
    /// Connects.
    pub(super) async fn open(address: &Address) -> Result<Self, Failure> {
        let connecting = address.config.connect(address.tls.clone());
        let (client, connection) =
            tokio::time::timeout(ANSWER_LIMIT, connecting).await.map_err(|_| Failure::silence())??;
        let driver = tokio::spawn(async move { drop(connection.await) });
        Ok(Self { client, driver })
    }

    /// Runs SQL that answers nothing.
    pub(super) async fn run(&self, sql: &str) -> Result<(), Failure> {
        Ok(self.client.batch_execute(sql).await?)
    }

    /// What the server says of itself.
    pub(super) async fn about(&self) -> Result<About, Failure> {
        let row = self.client.query_typed(ABOUT, &[]).await?;
        let row = row.first().ok_or_else(|| Failure::odd("nothing"))?;
        let xid: String = row.try_get(3)?;
        Ok(About {
            version: row.try_get(0)?,
            wal_level: row.try_get(1)?,
            standby: row.try_get(2)?,
            xid: xid.parse().unwrap_or_default(),
            slot_keep: row.try_get(4)?,
            role: row.try_get(5)?,
            may_replicate: row.try_get(6)?,
            database: row.try_get(7)?,
        })
    }

    /// Those of these tables that are there, by name.
    pub(super) async fn relations(&self, entities: &[String]) -> Result<Vec<Relation>, Failure> {
        let rows = self.client.query_typed(RELATIONS, &[(&entities, Type::TEXT_ARRAY)]).await?;
        let relation = |row: &tokio_postgres::Row| {
            let identity: Vec<String> = row.try_get(3)?;
            Ok(Relation {
                schema: row.try_get(0)?,
                name: row.try_get(1)?,
                full: row.try_get(2)?,
                identity: identity.into_iter().collect(),
                odd_leaves: row.try_get(4)?,
            })
        };
        rows.iter().map(relation).collect()
    }

    /// The publication, if there is one.
    pub(super) async fn publication(&self, name: &str) -> Result<Option<Publication>, Failure> {
        let found = self.client.query_typed(PUBLICATION, &[(&name, Type::TEXT)]).await?;
        let Some(row) = found.first() else { return Ok(None) };
        let tables: Vec<String> = row.try_get(3)?;
        Ok(Some(Publication {
            via_root: row.try_get(0)?,
            whole: row.try_get(1)?,
            all_tables: row.try_get(2)?,
            tables: tables.into_iter().collect(),
            ours: row.try_get(4)?,
        }))
    }

    /// The slot, if there is one.
    pub(super) async fn slot(&self, name: &str) -> Result<Option<Slot>, Failure> {
        let found = self.client.query_typed(SLOT, &[(&name, Type::TEXT)]).await?;
        let Some(row) = found.first() else { return Ok(None) };
        Ok(Some(Slot {
            plugin: row.try_get(0)?,
            database: row.try_get(1)?,
            active_pid: row.try_get(2)?,
            wal_status: row.try_get(3)?,
            behind: row.try_get(4)?,
        }))
    }

    /// Who keeps a slot from being made: open transactions that have written, and prepared ones.
    pub(super) async fn blockers(&self) -> Result<Vec<String>, Failure> {
        let rows = self.client.query_typed(BLOCKERS, &[]).await?;
        rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
    }
}

const ABOUT: &str = "
select current_setting('server_version_num')::int, current_setting('wal_level'), pg_is_in_recovery(),
       case when pg_is_in_recovery() then '0' else pg_snapshot_xmax(pg_current_snapshot())::text end,
       current_setting('max_slot_wal_keep_size'), current_user::text,
       coalesce((select rolreplication or rolsuper from pg_roles where rolname = current_user), false),
       current_database()::text";

/// For a table of partitions, what is logged is said by each of its leaves.
const RELATIONS: &str = "
select n.nspname::text, c.relname::text, c.relreplident = 'f',
       array(select a.attname::text from pg_attribute a
             where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
               and (c.relreplident = 'f' or exists (
                    select from pg_index i
                    where i.indrelid = c.oid and a.attnum = any(i.indkey)
                      and case c.relreplident when 'd' then i.indisprimary when 'i' then i.indisreplident else false end))),
       (select count(*) from pg_partition_tree(c.oid) t join pg_class l on l.oid = t.relid
        where t.isleaf and l.relreplident <> c.relreplident)
from pg_class c join pg_namespace n on n.oid = c.relnamespace
where c.relkind in ('r', 'p') and c.relpersistence = 'p' and n.nspname || '.' || c.relname = any($1)
order by 1, 2";

const PUBLICATION: &str = "
select p.pubviaroot, p.pubinsert and p.pubupdate and p.pubdelete and p.pubtruncate, p.puballtables,
       array(select t.schemaname || '.' || t.tablename from pg_publication_tables t where t.pubname = p.pubname),
       pg_has_role(p.pubowner, 'usage')
from pg_publication p where p.pubname = $1";

const SLOT: &str = "
select coalesce(plugin, '')::text, coalesce(database, '')::text, active_pid, coalesce(wal_status, ''),
       case when pg_is_in_recovery() then null
            else pg_wal_lsn_diff(pg_current_wal_lsn(), confirmed_flush_lsn)::bigint end
from pg_replication_slots where slot_name = $1";

const BLOCKERS: &str = "
select format('process %s of %s since %s', pid, usename, xact_start) from pg_stat_activity
where backend_xid is not null and pid <> pg_backend_pid()
union all
select format('prepared transaction %L of %s since %s', gid, owner, prepared) from pg_prepared_xacts";
