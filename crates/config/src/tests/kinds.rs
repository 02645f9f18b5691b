//! Shows how a kind and the options beside it are read, refused and described.

use super::*;

#[test]
fn a_kind_stands_beside_its_options() {
    let yaml = "targets: { main: { remote: { url: 'redis://h' }, concurrency: 8, shape: { django: { prefix: p } } }, b: { shape: plain, local: {} } }";
    let shop = load(yaml, &[]).map(|loaded| loaded.root).expect("right");
    let main = &shop.targets["main"];
    assert_eq!(main.kind, Store::Remote(Remote { url: Secret::new("redis://h"), database: None }));
    assert_eq!((main.options.concurrency, &main.options.shape), (8, &Shape::Django { prefix: "p".to_owned() }));
    assert_eq!(shop.targets["b"].kind, Store::Local(Local {}));
}

#[test]
fn the_schema_holds_kinds_and_options_in_one_object() {
    let schema = schemars::schema_for!(Target).to_value();
    let keys: Vec<_> = schema["properties"].as_object().expect("properties").keys().collect();
    assert_eq!(keys, ["remote", "local", "concurrency", "timeout", "shape"]);
    assert_eq!(schema["additionalProperties"], false);
    assert_eq!(schema["oneOf"], serde_json::json!([{"required": ["remote"]}, {"required": ["local"]}]));
    assert_eq!(schema["properties"]["remote"]["description"], "Elsewhere.");
}

#[test]
fn exactly_one_kind_is_named() {
    let cases = [
        (
            "targets:\n  a:\n    concurrency: 8\n",
            "\
error: the kind is missing
 --> q.yaml:2:3
  |
2 |   a:
  |   ^
  = help: write one of `remote`, `local`
",
        ),
        (
            "targets:\n  a:\n    remot: { url: x }\n    concurrency: 8\n",
            "\
error: unknown key `remot`
 --> q.yaml:3:5
  |
3 |     remot: { url: x }
  |     ^^^^^
  = help: did you mean `remote`?
",
        ),
        (
            "targets:\n  a:\n    local: {}\n    concurency: 8\n    remote: { url: x }\n",
            "\
error: unknown key `concurency`
 --> q.yaml:4:5
  |
4 |     concurency: 8
  |     ^^^^^^^^^^
  = help: did you mean `concurrency`?

error: `remote` and `local` exclude each other
 --> q.yaml:5:5
  |
5 |     remote: { url: x }
  |     ^^^^^^
 ::: q.yaml:3:5
  |
3 |     local: {}
  |     ----- first here
",
        ),
        (
            "targets: { a: { local: {}, locale: {} } }\n",
            "\
error: unknown key `locale`
 --> q.yaml:1:28
  |
1 | targets: { a: { local: {}, locale: {} } }
  |                            ^^^^^^
  = help: did you mean `local`?
",
        ),
        (
            "targets: { a: text }\n",
            "\
error: expected a mapping with one of `remote`, `local`, found text `text`
 --> q.yaml:1:15
  |
1 | targets: { a: text }
  |               ^^^^
",
        ),
        (
            "targets: { a: { remote: { databas: 1 } } }\n",
            "\
error: missing key `url`
 --> q.yaml:1:17
  |
1 | targets: { a: { remote: { databas: 1 } } }
  |                 ^^^^^^

error: unknown key `databas`
 --> q.yaml:1:27
  |
1 | targets: { a: { remote: { databas: 1 } } }
  |                           ^^^^^^^
  = help: did you mean `database`?
",
        ),
    ];
    check(&cases);
}
