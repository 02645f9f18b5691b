//! Shows that readers spell the very keys that events remove.

use super::*;
use crate::event::Value;
use crate::key::{KeyError, KeySet, Spelt};

#[test]
fn what_readers_spell_is_what_events_remove() {
    let rules = json!({
        "targets": {"eu": {"django": {"prefix": ["shop", "old"], "version": 2}}},
        "limits": {"max_key_bytes": 40},
        "caches": {
            "book": {"key": "book:{author}:{title|lower|urlencode}", "tags": ["all", "author:{author}"],
                     "depends_on": [{"row": "shop.Book"}]},
            "memo": {"cache_memoize": {"function": "m.f", "args": ["id"]}, "depends_on": [{"row": "shop.Note"}]},
        },
    });
    let resolver = resolver(&rules);
    let eu = resolver.target("eu").unwrap();
    let (author, title) = (Value::Int(3), Value::Text("Ä b".into()));
    let long = Value::Text("long".repeat(9).into());
    let mut key_set = KeySet::all(2);
    key_set.set(0, &author);
    key_set.set(1, &title);
    let book = resolver.cache("book").unwrap();
    let spelt = resolver.spell(book, eu, &key_set).unwrap().unwrap();
    let tags = vec!["shop:2:all".to_owned(), "shop:2:author:3".to_owned()];
    assert_eq!(spelt, Spelt { key: "shop:2:book:3:%C3%A4%20b".to_owned(), tags, narrowest: Some(1) });

    let body = json!({"entity": "shop.Book", "op": "create", "after": {"author": 3, "title": "Ä b"}}).to_string();
    let resolution = resolver.resolve(&[request(body.as_bytes())]);
    let removed = resolution.plan.shares.iter().flat_map(|share| &share.actions);
    assert!(removed.into_iter().any(|action| action.object() == spelt.key), "{:?}", resolution.plan);

    key_set.set(1, &long);
    assert_eq!(resolver.spell(book, eu, &key_set), Some(Err(KeyError::TooLong { bytes: 50, limit: 40 })));
    let memo = resolver.cache("memo").unwrap();
    assert_eq!(resolver.spell(memo, eu, &KeySet::all(1)), None);
    assert_eq!(resolver.spell(CacheId(9), eu, &key_set), None);
}
