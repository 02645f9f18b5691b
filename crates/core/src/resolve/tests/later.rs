//! Shows what is left to later passes as commands, and what cannot be said as one.

use super::*;

/// What an event of these columns leaves to later passes, as seconds and commands.
fn left(rules: &Json, event: &str) -> Vec<(u64, String)> {
    let resolver = resolver(rules);
    let payload = Payload { body: event.as_bytes(), headers: &[] };
    let asked = Request { remaining: Remaining { merges: true, ..Remaining::ALL }, payload, format: Format::Json };
    let resolution = resolver.resolve(&[asked]);
    resolution.later.iter().map(|later| (later.pass.as_secs(), later.command.to_string())).collect()
}

fn row(columns: &str, more: &str) -> String {
    format!(r#"{{"entity":"shop.Book","op":"create","after":{columns}{more}}}"#)
}

fn rules() -> Json {
    let mut rules = one(json!({"key": "c:{author_id}:{page}", "depends_on": [{"row": "shop.Book"}]}));
    rules["caches"]["c"]["again_after"] = json!(["1s", "30s"]);
    rules
}

fn command(args: &str) -> (u64, String) {
    (1, format!(r#"{{"invalidate":{{"cache":"c","args":{args}}}}}"#))
}

#[test]
fn key_sets_are_said_as_commands_of_their_values() {
    for (columns, args) in [
        (r#"{"author_id":3,"page":"a"}"#, r#"{"author_id":3,"page":"a"}"#),
        (r#"{"author_id":18446744073709551615,"page":true}"#, r#"{"author_id":18446744073709551615,"page":true}"#),
        (r#"{"author_id":3,"page":"ü\n\"\\"}"#, r#"{"author_id":3,"page":"ü\n\"\\"}"#),
    ] {
        assert_eq!(left(&rules(), &row(columns, "")), [command(args)], "{columns}");
    }
    // What the event does not say is any, and stays so.
    assert_eq!(left(&rules(), &row(r#"{"author_id":3}"#, "")), [command(r#"{"author_id":3}"#)]);
}

#[test]
fn what_a_command_cannot_say_is_left_to_the_event() {
    for (columns, more) in
        [(r#"{"author_id":1.5,"page":1}"#, ""), (r#"{"author_id":1,"page":"12.50"}"#, r#","types":{"page":"decimal"}"#)]
    {
        assert_eq!(left(&rules(), &row(columns, more)), [], "{columns}");
    }
    let many: Vec<u32> = (0..101).collect();
    assert_eq!(left(&rules(), &row(&format!(r#"{{"author_id":1,"page":{many:?}}}"#), "")), []);
}

#[test]
fn commands_of_before_a_reload_ask_for_what_is_there_still() {
    let resolver = resolver(&rules());
    let body = br#"{"events":[{"invalidate":{"cache":"gone","args":{"x":1}}},{"invalidate":{"cache":"c","args":{"author_id":3,"y":1}}}]}"#;
    let only = resolver.cache("c").into_iter().collect();
    let scope = Scope { only: Some(only), ..Scope::default() };
    let payload = Payload { body, headers: &[] };
    let asked = Request {
        remaining: Remaining { pass: Duration::from_secs(1), scope: Some(&scope), ..Remaining::ALL },
        payload,
        format: Format::Json,
    };
    let resolution = resolver.resolve(&[asked]);
    assert!(matches!(resolution.outcomes[..], [Resolved::Matched(_)]), "{:?}", resolution.outcomes);
    let whole = Request { remaining: Remaining::ALL, ..asked };
    assert!(matches!(resolver.resolve(&[whole]).outcomes[..], [Resolved::Refused(_)]));
}

#[test]
fn later_passes_concern_just_the_caches_that_ask_for_them() {
    let resolver = resolver(&json!({"targets": {"a": "plain", "b": "plain"}, "caches": {
        "never": {"key": "n:{id}", "depends_on": [{"row": "e"}]},
        "twice": {"targets": ["a"], "key": "t:{id}", "again_after": ["30s", "1s"], "depends_on": [{"row": "e"}]},
        "once": {"targets": ["b"], "key": "o:{id}", "again_after": ["5s"], "depends_on": [{"row": "e"}]}}}));
    let body = json!({"entity": "e", "op": "create", "after": {"id": 1}}).to_string().into_bytes();
    let at = |seconds: u64, only: &[&str]| {
        let targets = if only.is_empty() {
            TargetSet::ALL
        } else {
            only.iter().filter_map(|name| resolver.target(name)).collect()
        };
        let remaining = Remaining { pass: Duration::from_secs(seconds), targets, ..Remaining::ALL };
        let resolution = resolver.resolve(&[Request { remaining, ..request(&body) }]);
        let next = match &resolution.outcomes[0] {
            Resolved::Matched(matched) => matched.next_pass.map(|due| due.as_secs()),
            Resolved::Unmatched { .. } => Some(0),
            Resolved::Refused(refused) => panic!("{refused}"),
        };
        (lines(&resolver, &resolution.plan), next)
    };
    let strings = |lines: &[&str]| lines.iter().map(|line| (*line).to_owned()).collect::<Vec<_>>();
    assert_eq!(at(0, &[]), (strings(&["a delete n:1", "a delete t:1", "b delete n:1", "b delete o:1"]), Some(1)));
    assert_eq!(at(1, &[]), (strings(&["a delete t:1"]), Some(5)));
    assert_eq!(at(5, &[]), (strings(&["b delete o:1"]), Some(30)));
    assert_eq!(at(5, &["a"]), (strings(&[]), Some(30)));
    assert_eq!(at(30, &[]), (strings(&["a delete t:1"]), None));
    assert_eq!(at(30, &["b"]), (strings(&[]), Some(0)));
    let after_a_reload = strings(&["a delete t:1", "b delete o:1"]);
    assert_eq!(at(20, &[]), (after_a_reload.clone(), Some(30)));
    assert_eq!(at(60, &[]), (after_a_reload, None));
}
