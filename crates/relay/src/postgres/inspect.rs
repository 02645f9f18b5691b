//! Inspects a PostgreSQL for `check --connect`: whether its log can be read, and has what the rules read. Changes nothing.

use std::collections::BTreeMap;

use quash_config::Finding;

use super::address::Address;
use super::catalogue::{About, Catalogue, Publication, Relation, Slot};
use super::failure::Failure;
use super::link::quoted;
use super::setup::Wanted;

/// The columns that rules read of old rows, by entity and then by cache.
pub(crate) type Reads = BTreeMap<String, BTreeMap<String, Vec<String>>>;

/// Bytes that a slot may be behind without somebody hearing of it.
const BEHIND_MAX: i64 = 1024 * 1024 * 1024;

/// What was found, with what mends it.
///
/// # Errors
/// When the server cannot be asked.
pub(crate) async fn inspect(address: &Address, wanted: &Wanted, reads: &Reads) -> Result<Vec<Finding>, Failure> {
    let catalogue = Catalogue::open(address).await?;
    let about = catalogue.about().await?;
    let mut findings = vec![log(&about), rights(&about), disk(&about)];
    let publication = catalogue.publication(&wanted.publication).await?;
    let slot = catalogue.slot(&wanted.slot).await?;
    findings.extend(published(wanted, publication.as_ref(), slot.as_ref()));
    findings.extend(read(wanted, slot.as_ref(), &about));
    let tables: Vec<String> = wanted.tables.iter().cloned().collect();
    let relations = catalogue.relations(&tables).await?;
    for table in &tables {
        let relation = relations.iter().find(|relation| relation.entity() == *table);
        let of_caches = reads.get(table);
        findings.extend(compared(table, relation, publication.as_ref(), wanted, of_caches));
    }
    Ok(findings)
}

fn log(about: &About) -> Finding {
    match about.wal_level.as_str() {
        "logical" => Finding::ok("its log can be decoded"),
        other => Finding::error(
            format!("its wal_level is {other}: the log does not have the rows"),
            "alter system set wal_level = logical; then restart the server",
        ),
    }
}

fn rights(about: &About) -> Finding {
    let role = &about.role;
    match about.may_replicate {
        true => Finding::ok(format!("{role} may read the log")),
        false => Finding::error(
            format!("{role} may not read the log"),
            format!("alter role {} replication (a managed server has its own way)", quoted(role)),
        ),
    }
}

/// A slot that nobody reads keeps the log until the disk is full, unless it is told when to give up.
fn disk(about: &About) -> Finding {
    match about.slot_keep.as_str() {
        "-1" => Finding::warning(
            "a slot that nobody reads fills the disk: max_slot_wal_keep_size is not set",
            "alter system set max_slot_wal_keep_size = '10GB'; select pg_reload_conf()",
        ),
        size => Finding::ok(format!("a slot keeps {size} of the log at most")),
    }
}

fn published(wanted: &Wanted, publication: Option<&Publication>, slot: Option<&Slot>) -> Vec<Finding> {
    let name = &wanted.publication;
    let Some(publication) = publication else {
        return vec![match slot {
            None => Finding::ok(format!("there is no publication {name} yet: the relay makes it")),
            Some(_) => Finding::error(
                format!("there is a slot {} and no publication {name}, which must be older", wanted.slot),
                format!("select pg_drop_replication_slot('{}'); start the relay, and empty the caches", wanted.slot),
            ),
        }];
    };
    let mut findings = vec![Finding::ok(format!("publication {name} is there"))];
    let alter = |what: &str| format!("alter publication {} set ({what})", quoted(name));
    if !publication.via_root {
        let what = "changes of partitions come under the names of the partitions";
        findings.push(Finding::warning(what, alter("publish_via_partition_root = true")));
    }
    if !publication.whole {
        let what = format!("publication {name} leaves operations out");
        findings.push(Finding::error(what, alter("publish = 'insert, update, delete, truncate'")));
    }
    findings
}

fn read(wanted: &Wanted, slot: Option<&Slot>, about: &About) -> Option<Finding> {
    let name = &wanted.slot;
    let Some(slot) = slot else { return Some(Finding::ok(format!("there is no slot {name} yet: the relay makes it"))) };
    let drop = format!("select pg_drop_replication_slot('{name}'); start the relay, and empty the caches");
    if slot.plugin != "pgoutput" || slot.database != about.database {
        let what = format!("slot {name} is of the plug-in `{}` and the database `{}`", slot.plugin, slot.database);
        return Some(Finding::error(what, "name another slot in the configuration"));
    }
    let behind = slot.behind.unwrap_or_default();
    Some(match (slot.wal_status.as_str(), slot.active_pid) {
        ("lost", _) => Finding::error(format!("slot {name} is lost, and changes with it"), drop),
        ("extended" | "unreserved", _) => Finding::warning(
            format!("slot {name} is about to be lost: {behind} bytes behind"),
            "see why the relay does not get on",
        ),
        (_, None) => Finding::warning(
            format!("nobody reads slot {name}: {behind} bytes behind"),
            "start `quash relay`, or drop the slot",
        ),
        (_, Some(_)) if behind > BEHIND_MAX => {
            Finding::warning(format!("slot {name} is {behind} bytes behind"), "see why the relay does not get on")
        }
        (_, Some(pid)) => Finding::ok(format!("slot {name} is read by process {pid}, {behind} bytes behind")),
    })
}

/// Whether a table's changes arrive, with what the rules read.
fn compared(
    table: &str,
    relation: Option<&Relation>,
    publication: Option<&Publication>,
    wanted: &Wanted,
    of_caches: Option<&BTreeMap<String, Vec<String>>>,
) -> Vec<Finding> {
    let Some(relation) = relation else {
        let what = format!("{table} is no table here that can be published: its changes never come");
        return vec![Finding::warning(what, "mend the name, or the URL of the server")];
    };
    let full = format!("alter table {} replica identity full", relation.sql());
    let mut findings = Vec::new();
    if relation.identity.is_empty() {
        let what = format!("{table} has no replica identity: once it is published, its updates and deletes fail");
        return vec![Finding::error(what, full)];
    }
    if let Some(publication) =
        publication.filter(|publication| !publication.all_tables && !publication.tables.contains(table))
    {
        let sql = format!("alter publication {} add table {}", quoted(&wanted.publication), relation.sql());
        let mend = if publication.ours { format!("the relay does so when it starts: {sql}") } else { sql };
        findings.push(Finding::warning(format!("{table} is not published"), mend));
    }
    if relation.odd_leaves > 0 {
        let what = format!("{} partitions of {table} have another replica identity", relation.odd_leaves);
        findings.push(Finding::warning(what, "set it on each partition: alter table … replica identity …"));
    }
    for (cache, columns) in of_caches.into_iter().flatten() {
        let unknown: Vec<&str> = columns
            .iter()
            .filter(|column| !relation.full && !relation.identity.contains(*column))
            .map(String::as_str)
            .collect();
        if !unknown.is_empty() {
            let what =
                format!("{cache} reads {} of old rows of {table}, which are not logged: it widens", unknown.join(", "));
            findings.push(Finding::warning(what, full.clone()));
        }
    }
    if findings.is_empty() {
        findings.push(Finding::ok(format!("the log has what caches read of {table}")));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn relation(identity: &[&str], full: bool) -> Relation {
        let identity = identity.iter().map(|column| (*column).to_owned()).collect();
        Relation { schema: "public".to_owned(), name: "Book".to_owned(), identity, full, odd_leaves: 0 }
    }

    #[test]
    fn what_a_rule_reads_and_the_log_does_not_have_is_named_with_the_sql_that_mends_it() {
        let wanted = Wanted {
            slot: "quash".to_owned(),
            publication: "quash".to_owned(),
            tables: std::collections::BTreeSet::new(),
            named: false,
        };
        let reads = BTreeMap::from([("page".to_owned(), vec!["author".to_owned(), "id".to_owned()])]);
        let full = "alter table \"public\".\"Book\" replica identity full";
        let cases = [
            (Some(relation(&["id"], false)), "page reads author of old rows of public.Book", full),
            (Some(relation(&["id", "author"], false)), "the log has what caches read", ""),
            (Some(relation(&["id"], true)), "the log has what caches read", ""),
            (Some(relation(&[], false)), "public.Book has no replica identity", full),
            (None, "is no table here", "mend the name"),
        ];
        for (relation, what, mend) in cases {
            let findings = compared("public.Book", relation.as_ref(), None, &wanted, Some(&reads));
            assert_eq!(findings.len(), 1, "{findings:?}");
            assert!(findings[0].what.contains(what) && findings[0].mend.contains(mend), "{findings:?}");
        }
    }
}
