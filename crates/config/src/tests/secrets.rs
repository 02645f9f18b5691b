//! Shows that neither secrets nor the environment reach a message.

use super::*;
use crate::{ConfigPath, Problem};

#[test]
fn no_message_and_no_source_line_shows_a_secret() {
    let wrong = [
        "targets: { a: { remote: { url: \"redis://user:hunter2@host\", databas: 1 } } }",
        "targets: { a: { remote: { url: [\"redis://user:hunter2@host\"] } } }",
        "targets: { a: { remote: { url: \"redis://host?pass=hunter2\", database: x } } }",
        "targets: { a: { remote: \"redis://user:hunter2@host\" } }",
        "target: { a: { remote: { url: \"redis://user:hunter2@host\" } } }",
        "admin: { token: hunter2, opn: true }",
        "admin: { token: \"${T:-hunter2}\", opn: true }",
        "admin: { token: [hunter2] }",
        "admin: { token: { hunter2: hunter2 } }",
        "admin: { pepper: hunter2, opn: true }",
        "admin: { pepper: [hunter2], opn: true }",
        "admin: { pasword: hunter2, password: hunter2 }",
        "admin:\n  token: |\n    hunter2\n   x: 1\n",
        "admin: { token: hunter2, ",
        "admin:\n  token: a\n  token: hunter2\n",
        "admin: { token: a, token: hunter2 }\n",
        "targets: { a: { remote: { url: a, url: \"redis://host?pass=hunter2\" } } }",
        "admin: { token: !x hunter2 }",
        "admin: { open: \"${SECRET}\" }",
        "limits: { small: 1, smll: 1 } # redis://user:hunter2@host",
        "admin: { open: \"x${SECRET}y\", listen: \"${SECRET}\", opn: 1 }",
        "targets: { a: { local: {}, timeout: \"${SECRET}\", concurrency: \"${SECRET}\", shape: \"${SECRET}\" } }",
        "targets: { a: \"${SECRET}\" }",
    ];
    for yaml in wrong {
        let shown = problems(yaml, &[("SECRET", "hunter2")]);
        assert!(!shown.contains("hunter2"), "{yaml}\n{shown}");
    }
}

#[test]
fn a_value_from_the_environment_is_named_and_its_reference_is_shown() {
    let shown =
        problems("targets: { a: { local: {}, timeout: \"${TIME}\", concurrency: \"${N:-x}\" } }", &[("TIME", "soon!")]);
    assert_eq!(
        shown,
        "\
error: a value from the environment is no length of time; write a number with a unit, as 200ms, 30s, 5m or 24h
 --> q.yaml:1:37
  |
1 | targets: { a: { local: {}, timeout: \"${TIME}\", concurrency: \"${N:-x}\" } }
  |                                     ^^^^^^^^^

error: expected a whole number that is not negative, found text `x`
 --> q.yaml:1:61
  |
1 | targets: { a: { local: {}, timeout: \"${TIME}\", concurrency: \"${N:-x}\" } }
  |                                                             ^^^^^^^^^
"
    );
}

#[test]
fn a_source_line_is_masked_and_the_mark_keeps_its_place() {
    let shown = problems("targets: { a: { remote: { url: redis://user:hunter2@host, databas: 1 } } }", &[]);
    assert_eq!(
        shown,
        "\
error: unknown key `databas`
 --> q.yaml:1:59
  |
1 | targets: { a: { remote: { url: redis://***@host, databas: 1 } } }
  |                                                  ^^^^^^^
  = help: did you mean `database`?
"
    );
}

#[test]
fn problems_of_others_are_scrubbed_too() {
    let yaml = "admin: { listen: \"${LISTEN}\", pepper: 'redis://u:hunter2@h' }\n";
    let loaded = load(yaml, &[("LISTEN", "secret-host")]).expect("right");
    let listen = ConfigPath::root().key("admin").key("listen");
    let pepper = ConfigPath::root().key("admin").key("pepper");
    let cases = [
        (&listen, "`secret-host` is no address", "a value from the environment is no address"),
        (&listen, "cannot resolve secret-host:80", "cannot resolve a value from the environment:80"),
        (&listen, "cannot parse secret-", "a value from the environment is not valid here"),
        (&listen, "too short", "too short"),
        (&pepper, "wrong", "wrong"),
    ];
    for (path, message, expected) in cases {
        let placed = loaded.locate(vec![Problem::error(path.clone(), message)]);
        let first = placed.iter().next().expect("one");
        assert_eq!(first.message, expected);
        assert!(!placed.to_string().contains("hunter2"), "{placed}");
    }
}
