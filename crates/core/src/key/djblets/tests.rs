//! Compares keys with those that `make_cache_key` of the real library gave, and says what its declaration refuses.
//!
//! Keys were taken from release 6.1 under Django 4.2.30, with the domain `books.example.com` and the `SECRET_KEY` below; those
//! of 2.x from release 2.3.4.

use proptest::prelude::*;
use serde_json::{Value as Json, json};

use super::Config;
use crate::action::Write;
use crate::key::conformance::{Wish, asked_of, goes, scheme_of};
use crate::key::{ArgSet, ReachBy};

const SECRET_KEY: &str = "0123456789abcdefSECRETSECRET";
const AES_KEY: &str = "my-32-byte-aes-key-here.........";
/// The key of `x` under the first 16 characters of the `SECRET_KEY`.
const OF_X: &str = "2074f338bf63172bb45d3f55cfa8e07d869ac6fab6bed473a0866228d3e85848";

/// A declaration on one site, with more keys.
fn on_site(more: Json) -> Json {
    let mut declared = json!({"sites": ["books.example.com"], "secrets": {"django": SECRET_KEY, "aes": AES_KEY}});
    declared.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    declared
}

fn asked(more: Json, exact: Json) -> Vec<Wish> {
    asked_of::<Config>(on_site(more), &exact)
}

fn delete(key: &str) -> Wish {
    Wish::Delete(key.to_owned())
}

#[test]
fn keys_are_those_of_the_library() {
    let k = |count: usize| "k".repeat(count);
    let site = |rest: &str| format!("books.example.com:{rest}");
    let rooted = json!({"key": "k{a}", "sites": [{"domain": "books.example.com", "site_root": "/reviews/"}]});
    let digest = "e42408944a4e8ed27844fa0ac8aae35168c4c45e493db5f1d85024605893eef4";
    let edge = "3a14a3f072e65b1e02f01ef17018febe5b9292020fab6525b61a747b44e0c414";
    let blanks = "a\\x20b".repeat(27);
    let cases = [
        (json!({"key": "my-{a}"}), json!({"a": "expensive-value"}), site("my-expensive-value")),
        (json!({"key": "a {a}"}), json!({"a": "b\tc"}), site("a\\x20b\\x09c")),
        (json!({"key": ["a:b", "{a}"]}), json!({"a": "c%d"}), site("a%3Ab:c%25d")),
        (json!({"key": ["a:{a}"]}), json!({"a": "b"}), site("a:b")),
        (json!({"key": "k{a}"}), json!({"a": k(299)}), site(&(k(158) + digest))),
        (json!({"key": "k{a}"}), json!({"a": k(240 - 18 - 1)}), site(&k(240 - 18))),
        (json!({"key": "k{a}"}), json!({"a": k(241 - 18 - 1)}), site(&(k(158) + edge))),
        (
            json!({"key": "a b{a}"}),
            json!({"a": "a b".repeat(99)}),
            site(&(blanks[..156].to_owned() + "a\\d2e15e08fffd00cfe1b460805cb3fa4679138ab16b6c0b9bcc0797af21afe709")),
        ),
        (
            json!({"key": ["stats", "{a}", "{b}"]}),
            json!({"a": "x:".repeat(90), "b": "é".repeat(50)}),
            site(
                &("stats:".to_owned()
                    + &"x%3A".repeat(38)
                    + "b05fb123086c8c311370c5c07449bc6247d34a0308b2bba206e81c79ea66ed92"),
            ),
        ),
        (
            rooted,
            json!({"a": k(299)}),
            site(
                &("/reviews/:".to_owned()
                    + &k(148)
                    + "89bbfa4ae3700bc9cc94d8be908cc0292152fac11a252e9633026949584b0f1c"),
            ),
        ),
    ];
    for (declared, exact, key) in cases {
        assert_eq!(asked(declared.clone(), exact), [delete(&key)], "{declared}");
    }
}

#[test]
fn arguments_are_spelt_as_python_formats_them() {
    let types = json!({"u": "uuid", "at": "datetime", "p": "decimal"});
    let exact = json!({"u": "3F2504E04F8911D39A0C0305E82C3301", "at": "2024-01-02T03:04:05.678901Z", "p": "1.50",
        "b": true, "none": null, "x": 1e16});
    let text = json!({"key": "u:{u}:{at}:{p}:{b}:{none}:{x}", "types": types});
    let expected = "books.example.com:u:3f2504e0-4f89-11d3-9a0c-0305e82c3301:\
                    2024-01-02\\x2003:04:05.678901+00:00:1.50:True:None:1e+16";
    assert_eq!(asked(text, exact.clone()), [delete(expected)]);
    let list = json!({"key": ["u", "{u}", "{at}", "{n:04d}", "{name!r}"], "types": types});
    let exact = json!({"u": exact["u"], "at": exact["at"], "n": 7, "name": "x:y"});
    let expected = "books.example.com:u:3f2504e0-4f89-11d3-9a0c-0305e82c3301:\
                    2024-01-02\\x2003%3A04%3A05.678901+00%3A00:0007:'x%3Ay'";
    assert_eq!(asked(list, exact), [delete(expected)]);
    assert_eq!(asked(json!({"key": "a:{user.pk}"}), json!({"user.pk": 3})), [delete("books.example.com:a:3")]);
}

#[test]
fn encrypted_keys_are_hmacs() {
    let by_django = json!({"first_16_of": "django"});
    let root = json!([{"domain": "books.example.com", "site_root": "/reviews/"}]);
    let cases = [
        (json!({"key": "x", "encryption": by_django}), OF_X),
        (
            json!({"key": ["a:b", "x"], "encryption": {"key": "aes"}}),
            "4205aa17b24b23ad89ebb2a3732301ab76e9791694bc23f6a3d34133fb7ae3a6",
        ),
        (
            json!({"key": ["a", "b c"], "encryption": by_django, "sites": root}),
            "52227c177e398f3bcc04106d14994fcf3d311d090691897f6e6a4422bfde227d",
        ),
        (
            json!({"key": format!("x y:{}", "k".repeat(300)), "encryption": by_django}),
            "eb0f590feef8346510a9fdb3a7c91dc650bf6670bce13b05f4a3558626a61bbc",
        ),
    ];
    for (declared, key) in cases {
        assert_eq!(asked(declared.clone(), json!({})), [delete(key)], "{declared}");
    }
    let hex = "30313233343536373839616263646566";
    let declared = json!({"key": "x", "encryption": {"hex_key": "hex"}, "secrets": {"hex": hex}});
    assert_eq!(asked(declared, json!({})), [delete(OF_X)]);
    let rolling = json!({"key": "x", "encryption": {"first_16_of": "django", "key": ["aes"], "plain": true}});
    let wishes = asked(rolling, json!({}));
    assert_eq!(wishes.first(), Some(&delete("books.example.com:x")));
    assert_eq!((wishes.last(), wishes.len()), (Some(&delete(OF_X)), 3));
}

#[test]
fn chunks_go_with_their_entry() {
    let list = asked(json!({"key": ["all", "items:{a}"], "chunks": 2}), json!({"a": "x"}));
    let key = "books.example.com:all:items%3Ax";
    assert_eq!(list, [delete(key), delete(&format!("{key}-0")), delete(&format!("{key}-1"))]);
    let encrypted = asked(json!({"key": "secbig", "chunks": 1, "encryption": {"key": "aes"}}), json!({}));
    assert_eq!(
        encrypted,
        [
            delete("c10cc660a1d3eb3b42ac63ab585a1099ea519f4a224ebd06671d71a07594c8d1"),
            delete("236acc8bf5f02a362f6123225f6d837c9fc3193218915e0604017d33647927f0"),
        ]
    );
    let long = asked(json!({"key": "k{a}", "chunks": 1}), json!({"a": "k".repeat(229)}));
    let begin = format!("books.example.com:{}", "k".repeat(158));
    let digests = [
        "fb901255763dc715c262069b40cb7f44e35122c5aa2a0ae78c489e49ac7bf349",
        "2689b1458e748dae102631943370c92a698b4a49e2e14f3f7cef557e99f18d39",
    ];
    assert_eq!(long, digests.map(|digest| delete(&format!("{begin}{digest}"))));
}

#[test]
fn every_site_and_release_has_a_key_of_its_own() {
    let declared = json!({"key": "stats: {a}\t\n", "release": ["2.3.4", "6.1"], "without_site": true,
        "sites": ["books.example.com", {"domain": "b.com", "site_root": "/r/"}]});
    let expected = [
        "books.example.com:stats:42",
        "books.example.com:stats:\\x2042\\x09\\x0a",
        "b.com:/r/:stats:42",
        "b.com:/r/:stats:\\x2042\\x09\\x0a",
        "stats:42",
        "stats:\\x2042\\x09\\x0a",
    ];
    assert_eq!(asked(declared, json!({"a": 42})), expected.map(delete));
    let long = asked(json!({"key": "k{a}", "release": "2.3.4"}), json!({"a": "k".repeat(299)}));
    let expected = format!("books.example.com:{}fb4b6eebe4d9d3b9d478ed16a84a77f6", "k".repeat(190));
    assert_eq!(long, [delete(&expected)]);
}

#[test]
fn a_generation_is_renewed_where_there_is_one() {
    let renew = |key: &str| Wish::Set(key.to_owned(), Write::RENEW);
    let declared = json!({"generation": "siteconf:{id}:generation"});
    let expected = "books.example.com:siteconf:1:generation";
    assert_eq!(asked(declared.clone(), json!({"id": 1})), [renew(expected)]);
    let refused = asked(declared.clone(), json!({}));
    assert!(matches!(&refused[..], [Wish::Refused(why)] if why.contains("a generation is one number")), "{refused:?}");
    let reach = scheme_of::<Config>(on_site(declared)).unwrap().reach(ArgSet::EMPTY.with(0), 100);
    assert_eq!((reach.by, reach.rounds_up), (ReachBy::Tag, false));
}

#[test]
fn plain_keys_can_be_searched_and_shortened_ones_are_found_too() {
    let prefix = |text: &str| [Wish::DeletePrefix(text.to_owned())];
    let user = json!({"user": "a b"});
    assert_eq!(asked(json!({"key": "stats:{user}:{day}"}), user.clone()), prefix("books.example.com:stats:a\\x20b:"));
    assert_eq!(
        asked(json!({"key": ["stats", "{user}", "{day}"]}), json!({"user": "a:b"})),
        prefix("books.example.com:stats:a%3Ab:")
    );
    let long = asked(json!({"key": "k{user}:{day}"}), json!({"user": "k".repeat(300)}));
    assert_eq!(long, prefix(&format!("books.example.com:{}", "k".repeat(158))));
    let within = asked(json!({"key": "stats:{day}:{user}"}), user.clone());
    let whole = "books.example.com:stats:*:a\\\\x20b".to_owned();
    let shortened = format!("books.example.com:stats:*{}", "[0-9a-f]".repeat(64));
    assert_eq!(within, [Wish::DeletePattern(whole), Wish::DeletePattern(shortened)]);
    let open = asked(json!({"key": "stats{user}{day}"}), json!({"user": " "}));
    assert!(matches!(&open[..], [Wish::Refused(why)] if why.contains("user is empty")), "{open:?}");
    let reach = |key: &str, exact| {
        let reach = scheme_of::<Config>(on_site(json!({"key": key}))).unwrap().reach(exact, 100);
        (reach.by, reach.rounds_up)
    };
    let first = ArgSet::EMPTY.with(0);
    assert_eq!(reach("stats{user}{day}", first), (ReachBy::Prefix, true));
    assert_eq!(reach("stats:{user}:{day}", first), (ReachBy::Prefix, false));
    assert_eq!(reach("stats:{day}", ArgSet::EMPTY), (ReachBy::WholeCache, false));
    assert_eq!(reach("stats:{day}:{user}", first.with(1).difference(first)), (ReachBy::Pattern, false));
}

#[test]
fn what_is_encrypted_takes_values_or_is_refused() {
    let declared = |more: Json| {
        let mut declared = json!({"key": "p:{user}:{lang}", "encryption": {"key": "aes"}});
        declared.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        declared
    };
    let refused = asked(declared(json!({})), json!({"user": 1}));
    assert!(matches!(&refused[..], [Wish::Refused(why)] if why.contains("`values` for lang")), "{refused:?}");
    let values = asked(declared(json!({"values": {"lang": ["en", "de"]}})), json!({"user": 1}));
    assert_eq!(values.len(), 2);
}

#[test]
fn what_cannot_be_is_refused_with_its_reason() {
    let cases = [
        (json!({}), ": name exactly one of `key` and `generation`"),
        (json!({"key": "a", "generation": "b"}), ": name exactly one of `key` and `generation`"),
        (json!({"key": "a", "sites": []}), "sites: keys begin with the domain of a `Site` row"),
        (json!({"key": "a", "sites": [""]}), "sites[0]: a site needs a domain"),
        (json!({"key": "{a}"}), "key: must begin with literal text"),
        (json!({"key": ["a", "{"]}), "key[1]: a brace is not closed"),
        (json!({"key": []}), "key[0]: must begin with literal text"),
        (json!({"generation": "a", "chunks": 1}), "chunks: a generation is a number"),
        (json!({"key": "a", "chunks": 1001}), "chunks: an entry of more than 1000 chunks"),
        (json!({"key": "a", "release": "7.0"}), "release: the keys of release `7.0` are not known"),
        (json!({"key": "a", "release": []}), "release: an empty list"),
        (json!({"key": ["a", "b"], "release": ["6.1", "5.3"]}), "release[1]: release 5.3 knows no list"),
        (json!({"key": "a", "release": "2.3", "encryption": {"key": "aes"}}), "release: release 2.3 encrypts nothing"),
        (json!({"key": "a", "encryption": {}}), "encryption: encrypted keys need a secret"),
        (json!({"key": "a", "encryption": {"key": "none"}}), "encryption.key: no secret is called `none`"),
        (json!({"key": "a", "encryption": {"key": "django"}}), "encryption.key: the secret `django` is no AES key"),
        (json!({"key": "a", "encryption": {"hex_key": "aes"}}), "encryption.hex_key: the secret `aes` is no AES key"),
        (json!({"key": "a", "force_overwrite": true}), "force_overwrite: what a call computes"),
        (json!({"key": "a", "lock": true}), "lock: nobody outside waits for a lock"),
    ];
    for (declared, expected) in cases {
        let problems = scheme_of::<Config>(on_site(declared.clone())).map(drop).unwrap_err();
        assert!(problems.iter().any(|problem| problem.starts_with(expected)), "{declared}: {problems:?}");
    }
}

proptest! {
    #[test]
    fn a_search_finds_every_key_that_the_library_could_have_written(
        a in "[ -~é\t]{1,9}|[a:% ]{200,300}",
        b in "[*?:%\\[\\] ]{1,9}|[ab]{60,70}|é{150,170}",
        c in "[a-z]{0,3}",
        known in 0_usize..8,
        key in prop_oneof![
            Just(json!("k:{a}:{b}-{c}")), Just(json!("k:{c}:{b}{a}")), Just(json!(["k", "{a}", "{b}", "x{c}"]))
        ],
        release in prop_oneof![Just("2.3"), Just("6.1")],
    ) {
        let release = if key.is_array() { "6.1" } else { release };
        let declared = || json!({"key": key, "release": release, "without_site": true});
        let all = json!({"a": a, "b": b, "c": c});
        let mut exact = all.clone();
        for (_, name) in ["a", "b", "c"].into_iter().enumerate().filter(|(index, _)| known & (1 << index) == 0) {
            exact.as_object_mut().unwrap().remove(name);
        }
        let found = asked(declared(), exact);
        let is_refused = found.iter().any(|wish| matches!(wish, Wish::Refused(_)));
        for wish in asked(declared(), all) {
            let Wish::Delete(key) = wish else { panic!("{wish:?} is no key") };
            prop_assert!(is_refused || goes(&key, &found), "{key} is not found by {found:?}");
        }
    }
}
