//! Measures resolving: events per second on one core, by the number of declared caches, of which three match.

use std::collections::BTreeMap;
use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput};
use quash_benches::{EVENT_BYTES, event};
use quash_core::event::{Format, Payload};
use quash_core::key::KeyFormat;
use quash_core::resolve::{Declared, Request, Resolver};
use quash_core::rule::config::Limits;
use serde_json::json;

/// Deliveries of one batch, as the worker receives them.
const BATCH: usize = 256;

/// Three caches on `shop.Book`, the rest spread over other entities, ten to one, and over columns of `shop.Book` that do not
/// change.
fn resolver(caches: usize) -> Resolver {
    let mut declared = serde_json::Map::new();
    for (name, key) in
        [("book", "book:{id}"), ("author", "author:{author_id}"), ("listing", "listing:{author_id}:{state}")]
    {
        declared.insert(name.to_owned(), json!({"key": key, "depends_on": [{"row": "shop.Book"}]}));
    }
    for index in declared.len()..caches {
        let depends_on = match index % 2 {
            0 => json!([{"row": format!("shop.Other{}", index / 10)}]),
            _ => json!([{"row": "shop.Book", "changed": [format!("column_{}", index / 10)]}]),
        };
        declared.insert(
            format!("other_{index}"),
            json!({"key": format!("other_{index}:{{id}}"), "depends_on": depends_on}),
        );
    }
    let caches = serde_json::from_value(declared.into()).unwrap_or_else(|error| panic!("{error}"));
    let targets = BTreeMap::from([("main".to_owned(), KeyFormat::Plain)]);
    let (resolver, problems) = Resolver::compile(Declared {
        targets: &targets,
        caches: &caches,
        entities: &BTreeMap::new(),
        on_unknown: None,
        secrets: &BTreeMap::new(),
        limits: Limits::default(),
    });
    resolver.unwrap_or_else(|| panic!("{problems:?}"))
}

fn resolve(criterion: &mut Criterion) {
    let bodies: Vec<Vec<u8>> = (0..BATCH).map(event).collect();
    let requests: Vec<Request<'_>> =
        bodies.iter().map(|body| Request::fresh(Payload { body, headers: &[] }, Format::Auto)).collect();
    let mut group = criterion.benchmark_group(format!("resolve/{EVENT_BYTES}-byte events, 3 caches match"));
    group.throughput(Throughput::Elements(BATCH as u64));
    for caches in [10, 100, 1000] {
        let resolver = resolver(caches);
        let asked = resolver.resolve(&requests).plan.shares.iter().map(|share| share.actions.len()).sum::<usize>();
        assert!(asked >= BATCH, "every event asks for three keys, some of them shared: {asked}");
        group.bench_with_input(BenchmarkId::from_parameter(caches), &resolver, |bencher, resolver| {
            bencher.iter(|| black_box(resolver.resolve(black_box(&requests))));
        });
    }
    group.finish();
}

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    resolve(&mut criterion);
    criterion.final_summary();
}
