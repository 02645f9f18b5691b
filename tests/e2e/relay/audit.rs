//! Proves that no committed change is lost and no entry differs from the database at the end, whoever is killed meanwhile.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use quash_e2e::process::Process;
use quash_e2e::{Kind, Session, Worker, eventually};
use redis::AsyncCommands;
use redis::aio::MultiplexedConnection;
use tokio::task::JoinHandle;

use super::Relayed;
use crate::scene::{LIMIT, on_every_broker};

on_every_broker!(no_committed_change_is_lost_whoever_is_killed);

/// Accounts with values of many types, and a table whose every row is one change; both are written in each transaction, some of
/// which are rolled back.
const SCHEMA: &str = "
create table account (id int primary key, balance numeric not null, note jsonb, tags int[], long text);
alter table account alter long set storage external;
create table audit (id bigserial primary key, account int);
create table sale (id bigserial, region int, account int references account, primary key (id, region)) partition by hash (region);
create table sale_0 partition of sale for values with (modulus 2, remainder 0);
create table sale_1 partition of sale for values with (modulus 2, remainder 1);
create function audited() returns trigger language plpgsql as
    $$ begin insert into audit (account) values (new.id); return new; end $$;
create trigger audited after update on account for each row execute function audited();
insert into account select i, 0, '{\"n\": 1.50}', array[i], repeat('x', 3000) from generate_series(1, 60) i";

const RULES: &str = "caches:
  account: { key: \"account:{id}\", again_after: [1s, 5s], depends_on: [ { row: public.account } ] }
  audit: { key: \"audit:{id}\", depends_on: [ { row: public.audit, ops: [create] } ] }
  sale: { key: \"sale:{account}\", depends_on: [ { row: public.sale } ] }\n";

const TRANSACTION: &str = "\\set id random(1, 60)
\\set region random(1, 9)
\\set fate random(1, 10)
begin;
update account set balance = balance + 0.01, tags = array[:id, :fate] where id = :id;
insert into sale (region, account) values (:region, :id);
\\if :fate = 1
rollback;
\\else
commit;
\\endif
";

const ACCOUNTS: u32 = 60;
const READERS: u32 = 4;
/// Transactions a second.
const RATE: &str = "--rate=150";
/// Changes between one kill and the next, at most.
const BETWEEN: u64 = 250;
/// More changes than there will be.
const CHANGES_MAX: u32 = 20_000;
/// How long a reader's query takes at most: the time in which it can read an old row and store it after the removal.
const SLOW_QUERY_MS: u32 = 60;

#[derive(Clone, Copy, Debug)]
enum Victim {
    Relay,
    Worker,
    Broker,
    Database,
}

async fn no_committed_change_is_lost_whoever_is_killed(kind: Kind) {
    let mut relayed = Relayed::fragile(kind, SCHEMA, RULES).await;
    let all: Vec<String> = (1..=CHANGES_MAX).map(|id| format!("audit:{id}")).collect();
    relayed.scene.cache.fill(&all).await;
    let mut relay = relayed.relay("relay").await;
    let mut worker = relayed.scene.quash.worker("worker").await;
    let closing = Arc::new(AtomicBool::new(false));
    let readers = readers(&relayed, &closing).await;

    let kills = survive(&mut relayed, &mut relay, &mut worker).await;
    let last = relayed.postgres.psql("insert into audit (account) values (0) returning id");
    relayed.scene.gone(&[format!("audit:{last}")]).await;
    relayed.scene.queue.drained(Duration::from_secs(180)).await;
    closing.store(true, Ordering::Relaxed);
    let mut filled = 0;
    for reader in readers {
        filled += reader.await.unwrap();
    }

    let committed: BTreeSet<u32> =
        relayed.postgres.psql("select id from audit").lines().map(|id| id.parse().unwrap()).collect();
    let (said, others): (Vec<u32>, Vec<u32>) = (1..=CHANGES_MAX).partition(|id| committed.contains(id));
    let keys = |ids: &[u32]| ids.iter().map(|id| format!("audit:{id}")).collect::<Vec<_>>();
    println!("{}: {} changes, {} kills, {filled} fills", kind.name(), said.len(), kills);
    assert_eq!(relayed.scene.cache.count(&keys(&said)).await, 0, "committed changes that nobody told");
    assert_eq!(relayed.scene.cache.count(&keys(&others)).await, others.len(), "what was rolled back was told");
    assert!(filled > u64::from(ACCOUNTS), "{filled} fills");
    assert_eq!(stale(&relayed).await, Vec::<String>::new(), "entries that differ from the database");
    assert_eq!(relayed.scene.queue.dead_letters().await, 0);
}

/// Kills everybody in any order while the database works. Says how often.
async fn survive(relayed: &mut Relayed, relay: &mut Worker, worker: &mut Worker) -> usize {
    use Victim::{Broker, Database, Relay, Worker};
    let mut victims = [Relay, Worker, Broker, Database, Relay, Database];
    fastrand::shuffle(&mut victims);
    let mut load = load(relayed);
    for victim in victims {
        changes(relayed, 1 + fastrand::u64(..BETWEEN)).await;
        match victim {
            Relay => relay.restart(),
            Worker => worker.restart(),
            Broker => relayed.scene.broker.restart().await,
            Database => {
                relayed.postgres.restart("").await;
                drop(load);
                load = self::load(relayed);
            }
        }
    }
    changes(relayed, BETWEEN).await;
    // Not INT: who is started in the background of a shell ignores that.
    load.signal("TERM");
    let _ = load.exit_code(LIMIT).await;
    victims.len()
}

fn load(relayed: &Relayed) -> Process {
    let script = relayed.scene.quash.home().write("transaction.sql", TRANSACTION);
    // The server's account reads no file of ours; pgbench is run by us.
    relayed.postgres.pgbench(&["-n", "-c", "3", "-T", "600", RATE, "-f", &script.display().to_string()])
}

/// Waits until so many more changes are committed.
async fn changes(relayed: &Relayed, more: u64) {
    let count = || relayed.postgres.psql("select count(*) from audit").parse::<u64>().unwrap();
    let reached = count() + more;
    eventually(LIMIT, "the database gets on", async || count() >= reached).await;
}

async fn readers(relayed: &Relayed, closing: &Arc<AtomicBool>) -> Vec<JoinHandle<u64>> {
    let cache = relayed.scene.cache.connect().await;
    let connection = relayed.postgres.connection();
    (0..READERS).map(|_| tokio::spawn(read(connection.clone(), cache.clone(), closing.clone()))).collect()
}

/// Reads through the cache as plainly as applications do, and connects again when the database was gone. Says how often it filled.
async fn read(connection: Vec<String>, mut cache: MultiplexedConnection, closing: Arc<AtomicBool>) -> u64 {
    let (mut database, mut filled) = (Session::start(&connection), 0);
    let mut pace = tokio::time::interval(Duration::from_millis(5));
    while !closing.load(Ordering::Relaxed) {
        pace.tick().await;
        let id = 1 + fastrand::u32(..ACCOUNTS);
        let key = format!("account:{id}");
        if cache.get::<_, Option<String>>(&key).await.unwrap().is_some() {
            continue;
        }
        // The row is read when the query begins; what follows is a slow query, as any join or report is.
        let slow = f64::from(fastrand::u32(..=SLOW_QUERY_MS)) / 1000.0;
        let sql = format!("select balance, tags from account, pg_sleep({slow}) where id = {id}");
        match database.try_query(&sql).await.and_then(|mut rows| rows.pop()) {
            Some(row) => {
                let () = cache.set(&key, row).await.unwrap();
                filled += 1;
            }
            None => database = Session::start(&connection),
        }
    }
    filled
}

/// Entries that differ from the database.
async fn stale(relayed: &Relayed) -> Vec<String> {
    let truth = relayed.postgres.psql("select 'account:' || id, balance, tags from account");
    let truth: HashMap<&str, &str> = truth.lines().filter_map(|row| row.split_once('|')).collect();
    let mut cache = relayed.scene.cache.connect().await;
    let mut differ = Vec::new();
    for (key, row) in truth {
        let entry: Option<String> = cache.get(key).await.unwrap();
        if let Some(entry) = entry.filter(|entry| entry != row) {
            differ.push(format!("{key}: {entry} and not {row}"));
        }
    }
    differ
}
