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
