//! Shows where caches say that their entries are, and that what removes an entry is among it.

use super::*;

fn rules() -> Json {
    json!({
        "targets": {"eu": {"django": {"prefix": "shop", "version": [1, 2]}}, "us": "plain"},
        "caches": {
            "book": {"key": "book:{id}:{lang|md5}", "tags": ["author:{id}"], "values": {"lang": ["en", "de"]},
                     "depends_on": [{"row": "shop.Book"}]},
            "memo": {"cache_memoize": {"function": "m.f", "args": ["id"]}, "key_format": {"django": {"version": 7}},
                     "depends_on": [{"row": "shop.Book"}], "targets": ["eu"]},
        },
    })
}

#[test]
fn a_cache_tells_its_targets_heads_and_keys() {
    let shown: Vec<String> = resolver(&rules())
        .locations()
        .into_iter()
        .map(|location| {
            let (keys, tags) = (&location.entries.keys, &location.entries.tags);
            let whose = if location.own_format { "own" } else { "target's" };
            let shown = format!("{keys:?} {tags:?}").replace(&"[0-9a-f]".repeat(32), "#");
            format!(
                "{} {} {whose} {:?} {shown} {}",
                location.cache, location.target, location.prefixes, location.entries.shared
            )
        })
        .collect();
    assert_eq!(
        shown,
        [
            r##"book eu target's ["shop:1:", "shop:2:"] [Glob("book:*:#")] [Glob("author:*")] false"##,
            r##"book us target's [""] [Glob("book:*:#")] [Glob("author:*")] false"##,
            r##"memo eu own [":7:"] [Glob("#")] [] true"##,
        ]
    );
    let prefixes = |target: &str| resolver(&rules()).prefixes_on(target).join(" ");
    assert_eq!((prefixes("eu").as_str(), prefixes("nowhere").as_str()), ("shop:1: shop:2:", ""));
}

#[test]
fn every_key_that_is_removed_is_one_of_them() {
    let resolver = resolver(&rules());
    let body = json!({"entity": "shop.Book", "op": "create", "after": {"id": 3}}).to_string();
    let resolution = resolver.resolve(&[request(body.as_bytes())]);
    let locations = resolver.locations();
    let mut keys = 0;
    for share in &resolution.plan.shares {
        let target = &resolver.targets()[usize::from(share.target.0)];
        for action in &share.actions {
            let behind = |prefix: &str| action.object().strip_prefix(prefix).unwrap_or_default().to_owned();
            let claims = locations.iter().filter(|location| location.target == *target).any(|location| {
                let matches = |logical: String| {
                    location.entries.keys.iter().any(|pattern| pattern.matcher().matches(logical.as_bytes()))
                };
                location.prefixes.iter().any(|prefix| matches(behind(prefix)))
            });
            assert!(claims, "{} on {target}", action.object());
            keys += 1;
        }
    }
    assert_eq!(keys, 7);
}
