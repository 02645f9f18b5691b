//! Proves that values of every column type of PostgreSQL make the key that PostgreSQL prints, or widen, or end as a dead letter.

mod debezium;
mod limits;
mod table;

use std::collections::{BTreeMap, BTreeSet};

use quash_config::{Loader, ProcessEnvironment};
use quash_core::event::{Format, Payload};
use quash_core::resolve::{Request, Resolver};
use quash_dispatch::config::Config;
use quash_e2e::{Kind, Postgres};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::relay::Relayed;
use debezium::Options;
use table::{PRELUDE, TYPES};

/// What a key says of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Says {
    /// The text that PostgreSQL prints; of an array one for each element.
    Exactly,
    /// The same day and time, as ISO 8601 spells it: with a `T`, and a zone of minutes or `Z`.
    Iso,
    /// Nothing: all keys go.
    Nothing,
    /// Nothing: the event is a dead letter.
    Letter,
    /// Another text. What a format calls text cannot be told from text.
    Otherwise,
}

/// Of each type what its keys say, where that is not exact.
type Found = BTreeMap<Says, BTreeSet<&'static str>>;

/// What PostgreSQL prints, by type and row; null where there is no value.
struct Truth(Vec<Vec<Option<BTreeSet<String>>>>);

impl Truth {
    /// Reads it from the table.
    fn of(postgres: &Postgres) -> Self {
        let printed = |(at, (kind, _)): (usize, &table::Kind)| {
            let element = "case when e is null then 'null' else format('%s', e) end";
            let texts = if kind.ends_with("[]") || *kind == "ids" {
                format!("(select coalesce(json_agg({element}), '[]') from unnest(c{at}) e)")
            } else {
                format!("json_build_array(format('%s', c{at}))")
            };
            format!("select json_agg(case when c{at} is null then null else {texts} end order by id) from kinds")
        };
        let sql = TYPES.iter().enumerate().map(printed).collect::<Vec<_>>().join(" union all ");
        let rows = postgres.psql(&sql);
        let rows = serde_json::Deserializer::from_str(&rows).into_iter::<Vec<Option<Vec<String>>>>();
        let spelt = |kind: &str, text: String| match (kind, &*text) {
            ("boolean" | "boolean[]" | "truth", "t") => "true".to_owned(),
            ("boolean" | "boolean[]" | "truth", "f") => "false".to_owned(),
            _ => text,
        };
        let columns = TYPES.iter().zip(rows).map(|((kind, _), column)| {
            let column = column.unwrap().into_iter();
            column.map(|texts| Some(texts?.into_iter().map(|text| spelt(kind, text)).collect())).collect()
        });
        let truth = Self(columns.collect());
        assert_eq!(truth.0.len(), TYPES.len());
        truth
    }

    /// What the keys of these events say: of each type and row there is one, or none where the format has none.
    fn held_against(&self, name: &str, format: Format, event: impl Fn(usize, usize) -> Option<String>) -> Found {
        let mut found = Found::new();
        for (at, (kind, _)) in TYPES.iter().enumerate() {
            let resolver = resolver(at);
            for (row, printed) in self.0[at].iter().enumerate() {
                let Some(body) = event(at, row) else { continue };
                let says = said(&resolver, &body, format, printed.as_ref());
                if says != Says::Exactly {
                    println!("{name} says {says:?} of {kind} {printed:?}");
                    found.entry(says).or_default().insert(kind);
                }
            }
        }
        found
    }
}

/// A cache whose key is a column alone.
fn resolver(at: usize) -> Resolver {
    let rules = format!(
        "version: 1\ntargets: {{ main: {{ memory: {{}} }} }}\n\
         caches: {{ c: {{ key: \"c:{{v}}\", depends_on: [ {{ row: public.kinds, map: {{ v: c{at} }}, nulls: keep }} ] }} }}\n"
    );
    let loaded = Loader::load_text::<Config>("rules.yaml", &rules, &ProcessEnvironment).unwrap();
    loaded.root.compile().0.expect("right rules")
}

/// What the keys of an event say.
fn said(resolver: &Resolver, body: &str, format: Format, printed: Option<&BTreeSet<String>>) -> Says {
    let explained = resolver.explain(&Request::fresh(Payload { body: body.as_bytes(), headers: &[] }, format));
    let explained = explained.unwrap_or_else(|error| panic!("{body}: {error}"));
    let [change] = &explained.changes[..] else { panic!("{body}") };
    if change.refused.is_some() {
        return Says::Letter;
    }
    let actions = change.caches.iter().flat_map(|cache| &cache.actions);
    if actions.clone().any(|action| action.action != "delete") {
        return Says::Nothing;
    }
    let keys: BTreeSet<_> = actions.map(|action| action.object.trim_start_matches("c:").to_owned()).collect();
    let null = BTreeSet::from(["null".to_owned()]);
    let printed = printed.unwrap_or(&null);
    let iso = |zone: &str| printed.iter().map(|text| iso(text, zone)).collect::<BTreeSet<_>>();
    match () {
        () if keys == *printed => Says::Exactly,
        () if ["", "Z", "+00:00"].into_iter().any(|zone| keys == iso(zone)) => Says::Iso,
        () => Says::Otherwise,
    }
}

/// A time as ISO 8601 spells it.
fn iso(text: &str, zone: &str) -> String {
    let text = text.replacen(' ', "T", 1);
    let (civil, era) = text.strip_suffix(" BC").map_or((&*text, ""), |civil| (civil, " BC"));
    format!("{}{era}", civil.strip_suffix("+00").map_or(civil.to_owned(), |civil| format!("{civil}{zone}")))
}

/// The same as a list says it, in which a way may stand several times.
fn expected(rows: limits::Limits) -> Found {
    let mut found = Found::new();
    for (says, kinds) in rows {
        found.entry(*says).or_default().extend(kinds.iter().copied());
    }
    found
}

/// The rows of the table as SQL has them.
fn rows() -> String {
    let count = TYPES.iter().map(|(_, values)| values.len()).max().unwrap_or_default();
    let value = |row: usize, kind: &str, values: &[&str]| {
        values.get(row).map_or_else(|| "null".to_owned(), |text| format!("$q${text}$q$::{kind}"))
    };
    let row = |row: usize| {
        let columns: Vec<_> = TYPES.iter().map(|(kind, values)| value(row, kind, values)).collect();
        format!("({row}, {})", columns.join(", "))
    };
    (0..=count).map(row).collect::<Vec<_>>().join(",\n")
}

fn schema() -> String {
    let columns: Vec<_> = TYPES.iter().enumerate().map(|(at, (kind, _))| format!("c{at} {kind}")).collect();
    format!("{PRELUDE} create table kinds (id int primary key, {})", columns.join(", "))
}

/// A database with the rows of the table, and what read them: wal2json in each of its ways, and the relay.
struct Scene {
    postgres: Postgres,
    truth: Truth,
    relayed: Vec<String>,
}

impl Scene {
    async fn set() -> Self {
        let rules = "caches: { kinds: { key: \"kinds:{id}\", depends_on: [ { row: public.kinds } ] } }\n";
        let relayed = Relayed::open(Kind::RedisStreams, &schema(), rules).await;
        relayed.postgres.create_slot("wal2json");
        let _relay = relayed.relay("relay").await;
        let file = quash_e2e::Home::new("kinds");
        relayed.postgres.psql_file(&file.write("kinds.sql", format!("insert into kinds values {};", rows())));
        let messages = relayed.scene.queue.take(1).await;
        let message: BTreeMap<String, Box<RawValue>> = serde_json::from_slice(&messages[0].payload).unwrap();
        let events: Vec<Box<RawValue>> = serde_json::from_str(message["events"].get()).unwrap();
        let events = events.iter().map(|event| event.get().to_owned()).collect();
        Self { truth: Truth::of(&relayed.postgres), relayed: events, postgres: relayed.postgres }
    }

    /// What wal2json wrote, one message a row.
    fn wal2json(&self) -> Vec<String> {
        let changes = "select data from pg_logical_slot_get_changes('wal2json', null, null, 'format-version', '2')
                       where data like '{\"action\":\"I\"%'";
        self.postgres.psql(changes).lines().map(str::to_owned).collect()
    }

    /// What a function of the database makes of the rows, as native events.
    fn native(&self, function: &str) -> Vec<String> {
        let rows = self.postgres.psql(&format!("select {function}(kinds) from kinds order by id"));
        let event = |row| format!("{{\"entity\":\"public.kinds\",\"op\":\"create\",\"after\":{row}}}");
        rows.lines().map(event).collect()
    }

    /// What Debezium writes with these options, by type and row.
    fn debezium(&self, options: Options) -> Vec<Vec<Value>> {
        let columns = TYPES.iter().enumerate().map(|(at, (kind, _))| debezium::sql(at, kind, options));
        let rows = self.postgres.psql(&columns.collect::<Vec<_>>().join(" union all "));
        let columns = serde_json::Deserializer::from_str(&rows).into_iter::<Vec<Value>>();
        columns.map(Result::unwrap).collect()
    }
}

#[tokio::test]
async fn a_value_of_every_type_makes_the_key_that_postgresql_prints_or_says_nothing() {
    let scene = Scene::set().await;
    let mut wrong = Vec::new();
    let mut check = |name: &str, format: Format, events: &[String], says: limits::Limits| {
        assert!(events.len() > 5, "{name}: {events:?}");
        let found = scene.truth.held_against(name, format, |_, row| events.get(row).cloned());
        if found != expected(says) {
            wrong.push((name.to_owned(), found));
        }
    };
    check("wal2json", Format::Wal2json, &scene.wal2json(), limits::WAL2JSON);
    check("row_to_json", Format::Json, &scene.native("row_to_json"), limits::ROW_TO_JSON);
    check("to_jsonb", Format::Json, &scene.native("to_jsonb"), limits::TO_JSONB);
    check("the relay", Format::Json, &scene.relayed, limits::RELAY);
    for (options, with_schema, says) in limits::DEBEZIUM {
        let name = format!("Debezium with its options {options:?}{}", if *with_schema { "" } else { ", no schema" });
        let values = scene.debezium(*options);
        let event =
            |at: usize, row: usize| debezium::event(at, TYPES[at].0, *options, values[at].get(row), *with_schema);
        let found = scene.truth.held_against(&name, Format::Debezium, event);
        if found != expected(says) {
            wrong.push((name, found));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
