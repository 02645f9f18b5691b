//! Makes the publication and the slot where there are none, in this order, and checks them where there are. Drops nothing.

use std::collections::BTreeSet;
use std::time::Duration;

use quash_dispatch::config::{Config, PostgresRelay};

use super::catalogue::{About, Catalogue, Publication, Relation, Slot};
use super::failure::{Failure, Said};
use super::link::quoted;

/// How long a slot may take to be made: it waits for every open transaction that has written.
const SLOT_LIMIT: &str = "30s";
/// The first version that hands slots down to standbys.
const FAILOVER_SINCE: i32 = 170_000;
/// The plug-in that is built in.
const PLUGIN: &str = "pgoutput";

/// What a relay needs of its database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(super) slot: String,
    pub(super) publication: String,
    /// As rules name them.
    pub(super) tables: BTreeSet<String>,
    /// Whether somebody named the tables; otherwise they are those that caches depend on, as far as they are tables.
    pub(super) named: bool,
}

impl Wanted {
    /// What this relay needs, with these caches.
    pub(crate) fn of(relay: &PostgresRelay, config: &Config) -> Self {
        let depended = config.caches.values().flat_map(|cache| &cache.depends_on);
        let depended = depended.filter_map(|dependency| dependency.row.clone());
        let tables = match &relay.tables {
            Some(tables) => tables.iter().cloned().collect(),
            None => depended.filter(|entity| entity.contains('.')).collect(),
        };
        let (slot, publication) = (relay.slot.clone(), relay.publication.clone());
        Self { slot, publication, tables, named: relay.tables.is_some() }
    }
}

/// Sees to it that there is a publication, and then a slot. Says what the server is.
///
/// # Errors
/// When something stands in the way, with what to do about it.
pub(super) async fn prepare(catalogue: &Catalogue, wanted: &Wanted) -> Result<About, Failure> {
    let about = catalogue.about().await?;
    fit(&about)?;
    let slot = catalogue.slot(&wanted.slot).await?;
    if let Some(slot) = &slot {
        usable(slot, wanted, &about)?;
    }
    match catalogue.publication(&wanted.publication).await? {
        Some(publication) => complete(catalogue, wanted, &publication).await?,
        None if slot.is_some() => return Err(older_than_publication(wanted)),
        None => publish(catalogue, wanted).await?,
    }
    if slot.is_none() {
        make_slot(catalogue, wanted, about.version).await?;
    }
    Ok(about)
}

fn fit(about: &About) -> Result<(), Failure> {
    if about.standby {
        // Another of its servers may be the primary by now.
        return Err(Failure::Gone("the server is a standby, whose log cannot be read".to_owned()));
    }
    if about.wal_level != "logical" {
        return Err(Failure::Wrong(format!(
            "its wal_level is {}: set it with `alter system set wal_level = logical` and restart the server",
            about.wal_level
        )));
    }
    Ok(())
}

fn usable(slot: &Slot, wanted: &Wanted, about: &About) -> Result<(), Failure> {
    let name = &wanted.slot;
    if slot.plugin != PLUGIN || slot.database != about.database {
        return Err(Failure::Wrong(format!(
            "the slot {name} is of the plug-in `{}` and the database `{}`: name another one in the configuration",
            slot.plugin, slot.database
        )));
    }
    if slot.wal_status == "lost" {
        return Err(Failure::Wrong(format!(
            "the slot {name} is lost: the server no longer has the log that it needs, and changes are missing. Drop it with \
             `select pg_drop_replication_slot('{name}')`, start the relay, which makes a new one, and empty the caches"
        )));
    }
    Ok(())
}

/// The log is decoded with the catalogue as it was then: a publication that is made later is not there for the slot, for ever.
fn older_than_publication(wanted: &Wanted) -> Failure {
    let Wanted { slot, publication, .. } = wanted;
    Failure::Wrong(format!(
        "the slot {slot} is there and the publication {publication} is not, which must be older. Drop the slot with \
         `select pg_drop_replication_slot('{slot}')`, start the relay, which makes both, and empty the caches"
    ))
}

async fn publish(catalogue: &Catalogue, wanted: &Wanted) -> Result<(), Failure> {
    let relations = publishable(catalogue, wanted, &wanted.tables).await?;
    if relations.is_empty() {
        return Err(Failure::Wrong(format!(
            "there is nothing to publish: none of the tables {} is there",
            list(wanted.tables.iter().map(String::as_str))
        )));
    }
    let tables = list(relations.iter().map(|relation| relation.sql()));
    let name = quoted(&wanted.publication);
    let sql = format!("create publication {name} for table {tables} with (publish_via_partition_root = true)");
    catalogue.run(&sql).await.map_err(|failure| explained(failure, &sql))?;
    tracing::info!(publication = wanted.publication, tables, "publication made");
    Ok(())
}

/// Adds what is missing to a publication.
async fn complete(catalogue: &Catalogue, wanted: &Wanted, publication: &Publication) -> Result<(), Failure> {
    if publication.all_tables {
        return Ok(());
    }
    let missing: BTreeSet<String> = wanted.tables.difference(&publication.tables).cloned().collect();
    let relations = publishable(catalogue, wanted, &missing).await?;
    if relations.is_empty() {
        return Ok(());
    }
    let tables = list(relations.iter().map(|relation| relation.sql()));
    let sql = format!("alter publication {} add table {tables}", quoted(&wanted.publication));
    match catalogue.run(&sql).await {
        Ok(()) => tracing::info!(publication = wanted.publication, tables, "tables added to the publication"),
        // What is published goes on.
        Err(failure) => {
            let why = explained(failure, &sql).into_error();
            tracing::warn!(publication = wanted.publication, tables, error = %why, "tables that are not published");
        }
    }
    Ok(())
}

/// Those of the tables that can be published without breaking the application: its updates of a table without identity would fail
/// from then on.
async fn publishable(
    catalogue: &Catalogue,
    wanted: &Wanted,
    tables: &BTreeSet<String>,
) -> Result<Vec<Relation>, Failure> {
    let tables: Vec<String> = tables.iter().cloned().collect();
    let relations = catalogue.relations(&tables).await?;
    if wanted.named && relations.len() < tables.len() {
        let there: BTreeSet<String> = relations.iter().map(Relation::entity).collect();
        let missing = tables.iter().filter(|table| !there.contains(*table)).map(String::as_str);
        return Err(Failure::Wrong(format!("there is no table {}", list(missing))));
    }
    let (fit, unfit): (Vec<_>, Vec<_>) = relations.into_iter().partition(|relation| !relation.identity.is_empty());
    for relation in unfit {
        let mend = format!("alter table {} replica identity full", relation.sql());
        if wanted.named {
            return Err(Failure::Wrong(format!(
                "the table {} has no replica identity: once it is published, its updates and deletes fail. Run `{mend}` first",
                relation.entity()
            )));
        }
        tracing::warn!(
            table = relation.entity(),
            mend,
            "a table without replica identity is not published: its updates and deletes would fail"
        );
    }
    Ok(fit)
}

async fn make_slot(catalogue: &Catalogue, wanted: &Wanted, version: i32) -> Result<(), Failure> {
    let failover = if version >= FAILOVER_SINCE { ", false, false, true" } else { "" };
    // A slot's name has no quote in it.
    let sql = format!("select pg_create_logical_replication_slot('{}', '{PLUGIN}'{failover})", wanted.slot);
    catalogue.run(&format!("set statement_timeout = '{SLOT_LIMIT}'")).await?;
    match catalogue.run(&sql).await {
        Ok(()) => {}
        Err(Failure::Said(Said { code, .. })) if code == "57014" => {
            let blockers = list(catalogue.blockers().await?);
            return Err(Failure::Gone(format!(
                "the slot was not made within {SLOT_LIMIT}: it waits for every transaction that has written, which are: {blockers}"
            )));
        }
        Err(failure) => return Err(explained(failure, &sql)),
    }
    tracing::info!(
        slot = wanted.slot,
        "slot made: changes are relayed from here on; entries that were cached before may be stale, empty the caches once"
    );
    Ok(())
}

/// Adds the SQL that somebody with more rights can run.
fn explained(failure: Failure, sql: &str) -> Failure {
    match failure {
        Failure::Said(Said { code, message }) if code == "42501" => {
            Failure::Said(Said { code, message: format!("{message}: let somebody with the right run `{sql}`") })
        }
        other => other,
    }
}

/// How often a relay that stands by looks whether the slot is free, and how much more than that at most, so that several do not
/// look at once.
const LOOK: Duration = Duration::from_millis(700);
const LOOK_MORE_MS: u64 = 600;

/// Waits until nobody reads the slot.
pub(super) async fn free(catalogue: &Catalogue, slot: &str, taken: impl Fn(i32)) -> Result<(), Failure> {
    while let Some(Slot { active_pid: Some(pid), .. }) = catalogue.slot(slot).await? {
        taken(pid);
        tokio::time::sleep(LOOK + Duration::from_millis(fastrand::u64(..LOOK_MORE_MS))).await;
    }
    Ok(())
}

pub(super) fn list(names: impl IntoIterator<Item = impl AsRef<str>>) -> String {
    names.into_iter().map(|name| name.as_ref().to_owned()).collect::<Vec<_>>().join(", ")
}
