//! Pins what is told of a key.

use quash_core::glob::Glob;
use quash_core::key::Entries;
use quash_core::rule::freshness::{Freshness, Layout};
use quash_store::memory::Memory;

use super::*;

fn globs(texts: &[&str]) -> Vec<Glob> {
    texts.iter().map(|text| Glob::parse(text).unwrap()).collect()
}

fn location(cache: &str, prefix: &str, keys: &[&str], tags: &[&str]) -> Location {
    let entries = Entries { keys: globs(keys), tags: globs(tags), shared: cache == "memo" };
    let prefixes = vec![prefix.into()];
    Location {
        cache: cache.to_owned(),
        target: "main".to_owned(),
        prefixes,
        own_format: false,
        entries,
        freshness: Freshness::None,
        layout: Layout::Framed,
    }
}

fn locations(prefix: &str) -> Vec<Location> {
    vec![
        location("all", prefix, &["p*"], &[]),
        location("catalog", prefix, &["catalog:*:*"], &["author:*"]),
        location("memo", prefix, &[&"[0-9a-f]".repeat(32)], &[]),
        location("product", prefix, &["product:*"], &[]),
    ]
}

async fn rendered(prefix: &str, key: &str, keys: &[&str]) -> String {
    let memory = Memory::new();
    keys.iter().for_each(|key| memory.set(*key, "1"));
    let locations = locations(prefix);
    let mut known = Known::of(key, "main", &locations);
    look(&mut known, &memory, key, &[prefix.into()], &locations).await.unwrap();
    tell(key, &[known], Paint(false))
}

#[tokio::test]
async fn a_key_is_told_with_the_caches_that_write_it() {
    let text = rendered(":1:", ":1:product:42", &[":1:product:42"]).await;
    let expect = "\
:1:product:42

on target main
  exists, a string, never expires
  ✓ is an entry of cache product (:1:product:*)
  ✓ is an entry of cache all (:1:p*)
";
    assert_eq!(text, expect);
    let tag = rendered("", "author:3", &[]).await;
    assert!(tag.contains("not there") && tag.contains("is a tag of cache catalog (author:*)"), "{tag}");
    let digest = rendered(":1:", ":1:0123456789abcdef0123456789abcdef", &[]).await;
    assert!(digest.contains("may be an entry of cache memo (:1:[0-9a-f]{32}), or of others"), "{digest}");
}

#[tokio::test]
async fn a_key_of_another_version_is_told_with_what_the_cache_removes() {
    let text = rendered(":1:", ":2:product:42", &[":2:product:42"]).await;
    let expect = "\
:2:product:42

on target main
  exists, a string, never expires
  – would be an entry of cache product, which writes:
      :1:product:42  not there
  – would be an entry of cache all, which writes:
      :1:product:42  not there
  ! cache product removes `:1:product:42`, not `:2:product:42`: the target's key_format says version 1, the application \
writes version 2
    mend: set `targets.main.key_format: { django: { version: 2 } }`; a list of both covers a rolling deploy
";
    assert!(text.starts_with(expect), "{text}");
}

#[tokio::test]
async fn a_missing_key_is_looked_for_behind_other_heads() {
    let text = rendered(":1:", ":1:product:42", &[":2:product:42", "x"]).await;
    assert!(text.contains("`:2:product:42` is there: the target's key_format says version 1"), "{text}");
    let logical = rendered("shop:1:", "product:42", &["shop:1:product:42"]).await;
    assert!(logical.contains("      shop:1:product:42  exists"), "{logical}");
    assert!(!logical.contains('!'), "{logical}");
    let lost = rendered("shop:1:", "shop:1:product:42", &["session"]).await;
    assert!(lost.contains("not even the only key of the database begins with `shop:1:`"), "{lost}");
}

#[tokio::test]
async fn a_key_of_nobody_is_looked_for_too() {
    let text = rendered(":1:", ":1:basket:7", &[":3:basket:7"]).await;
    assert!(text.contains("no declared cache writes such a key"), "{text}");
    assert!(text.contains("`:3:basket:7` is there: the target's key_format says version 1"), "{text}");
    let given = rendered(":1:", ":3:basket:7", &[]).await;
    assert!(!given.contains('!'), "{given}");
}

#[test]
fn a_key_that_a_cache_writes_is_no_mistake_of_another() {
    let locations = [location("django", ":1:", &["product:*"], &[]), location("plain", "", &["product:*"], &[])];
    let caches = |key: &str| {
        let known = Known::of(key, "main", &locations);
        known.caches.into_iter().map(|claim| (claim.cache, claim.writes.len())).collect::<Vec<_>>()
    };
    assert_eq!(caches(":1:product:1"), [("django".to_owned(), 0)]);
    assert_eq!(caches("product:1"), [("plain".to_owned(), 0)]);
    assert_eq!(caches(":2:product:1").len(), 2);
}

#[tokio::test]
async fn what_stands_at_a_key_is_told_as_readers_see_it() {
    let leased = |layout| Location { freshness: Freshness::Lease, layout, ..location("page", "", &["page:*"], &[]) };
    let lease = quash_core::freshness::lease(quash_core::freshness::Token::from_random(7));
    let value = b"\xC1Q1V0v-0000000000000000000000000000000000000000000000000000000000000000000000payload".to_vec();
    let mut stale = value.clone();
    stale[3] = b'S';
    let rendered = async |layout, suffix: &str, bytes: &[u8]| {
        let memory = Memory::new();
        memory.set_for(format!("page:1{suffix}"), bytes, Duration::from_millis(30_900));
        let locations = [leased(layout)];
        let mut known = Known::of("page:1", "main", &locations);
        look(&mut known, &memory, "page:1", &["".into()], &locations).await.unwrap();
        tell("page:1", &[known], Paint(false))
    };
    let framed: [(&[u8], &str); 5] = [
        (&value, "exists, a value in a frame, expires in 30s\n"),
        (&stale, "exists, a stale value, expires in 30s\n"),
        (&lease, "exists, a lease: somebody loads, expires in 30s\n"),
        (&quash_core::freshness::HOLD, "exists, a hold: nothing may be stored, expires in 30s\n"),
        (b"gASV", "exists, a string, expires in 30s\n"),
    ];
    for (bytes, expected) in framed {
        let text = rendered(Layout::Framed, "", bytes).await;
        assert!(text.contains(expected), "{text}");
        assert_eq!(text.contains("it is foreign, in no frame"), bytes == b"gASV", "{text}");
    }
    let guarded = rendered(Layout::Plain, "!q", &lease).await;
    assert!(guarded.contains("  not there\n  its guard: exists, a lease: somebody loads"), "{guarded}");
    let plain = rendered(Layout::Plain, "", b"gASV").await;
    assert!(plain.contains("exists, a string") && plain.contains("its guard: not there"), "{plain}");
    assert!(!plain.contains("foreign"), "{plain}");
}

#[test]
fn what_is_under_a_key_is_told_as_far_as_the_target_tells() {
    let described = |kind: Option<&str>, expires, ttl_ms| {
        let mut described = Described::default();
        (described.kind, described.expires, described.ttl_ms) = (kind.map(str::to_owned), expires, ttl_ms);
        described
    };
    let tell = |described: Described| there_is(Some(&described), Paint(false));
    assert_eq!(tell(described(Some("hash"), Some(true), Some(252_999))), "exists, a hash, expires in 4m 12s");
    assert_eq!(tell(described(None, None, None)), "exists");
    assert_eq!(there_is(None, Paint(false)), "not there");
}

#[test]
fn what_is_not_known_of_a_key_is_said_and_not_denied() {
    let locations = [location("argcache", ":1:", &[], &[]), location("product", ":1:", &["product:*"], &[])];
    let text = tell("v1:x", &[Known::of("v1:x", "main", &locations)], Paint(false));
    assert!(
        text.contains("is known to write such a key; it may be one of argcache, whose keys look like any"),
        "{text}"
    );
    let own = tell(":1:product:1", &[Known::of(":1:product:1", "main", &locations)], Paint(false));
    assert!(own.contains("is an entry of cache product") && !own.contains("argcache"), "{own}");
}
