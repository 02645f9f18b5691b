//! Shows what is accepted, and what it becomes.

use super::*;

/// Variables and their values.
type Pairs = &'static [(&'static str, &'static str)];

fn accepted(yaml: &str, variables: &[(&str, &str)]) -> Shop {
    load(yaml, variables).map(|loaded| loaded.root).unwrap_or_else(|problems| panic!("{problems}\n{yaml}"))
}

#[test]
fn an_empty_file_is_the_default() {
    for yaml in ["", "# nothing\n", "---\n", "targets:\n", "null\n", "\u{feff}version: 0\n"] {
        assert_eq!(accepted(yaml, &[]), Shop::default(), "{yaml:?}");
    }
}

#[test]
fn words_of_older_yaml_are_text_as_values_and_as_keys() {
    let shop = accepted("rules: { on: { key: yes }, no: { key: off } }", &[]);
    assert_eq!(shop.rules["on"].key, "yes");
    assert_eq!(shop.rules["no"].key, "off");
}

#[test]
fn anchors_aliases_and_merge_keys_are_resolved() {
    let shop = accepted(
        "rules:\n  a: &base { key: k, after: &times [1s] }\n  b: *base\n  c: { <<: *base, key: other }\n  d: { key: x, after: *times }\n",
        &[],
    );
    assert_eq!(shop.rules["b"], shop.rules["a"]);
    assert_eq!((shop.rules["c"].key.as_str(), &shop.rules["c"].after), ("other", &shop.rules["a"].after));
    assert_eq!(shop.rules["d"].after, shop.rules["a"].after);
}

#[test]
fn any_value_can_stand_where_any_value_is_taken() {
    let shop = accepted("tests: [ { a: 1, b: -2, c: 0.5, d: text, e: null, f: [true, '1'] } ]", &[]);
    assert_eq!(shop.tests[0], serde_json::json!({"a": 1, "b": -2, "c": 0.5, "d": "text", "e": null, "f": [true, "1"]}));
}

#[test]
fn several_forms_of_a_value_are_told_apart() {
    let shop = accepted("rules: { a: { key: k, map: [ { x: a.b, y: { value: 3 } }, { x: '*' } ] } }", &[]);
    let Some(OneOrMany::Many(maps)) = &shop.rules["a"].map else { panic!("{:?}", shop.rules) };
    assert_eq!(maps[0]["y"], Mapped::Constant(Constant { value: Scalar::Int(3) }));
    assert_eq!(maps[1]["x"], Mapped::Path("*".to_owned()));
}

#[test]
fn references_are_resolved() {
    let url = |text: &str, variables: &[(&str, &str)]| {
        let shop = accepted(&format!("targets: {{ main: {{ remote: {{ url: \"{text}\" }} }} }}"), variables);
        match &shop.targets["main"].kind {
            Store::Remote(remote) => remote.url.expose().to_owned(),
            other => panic!("{other:?}"),
        }
    };
    let cases: [(&str, Pairs, &str); 12] = [
        ("${A}", &[("A", "x")], "x"),
        ("${A}", &[("A", "")], ""),
        ("${A:-y}", &[("A", "x")], "x"),
        ("${A:-y}", &[("A", "")], "y"),
        ("${A:-y}", &[], "y"),
        ("${A:-}", &[], ""),
        ("${A:?why}", &[("A", "x")], "x"),
        ("a${A}b${B:-c}d", &[("A", "x")], "axbcd"),
        ("$${A}", &[("A", "x")], "${A}"),
        ("$$$${A}", &[("A", "x")], "$${A}"),
        ("$A 5$", &[("A", "x")], "$A 5$"),
        // What comes from the environment is a value, and no template.
        ("${A}", &[("A", "${B}"), ("B", "x")], "${B}"),
    ];
    for (text, variables, expected) in cases {
        assert_eq!(url(text, variables), expected, "{text}");
    }
}

#[test]
fn a_reference_becomes_a_number_or_a_truth_value_where_one_is_taken() {
    let yaml = "targets: { main: { local: {}, concurrency: \"${N:-4}\" } }\nadmin: { open: \"${OPEN}\", token: \"${NONE:-}\" }";
    let shop = accepted(yaml, &[("OPEN", "true")]);
    assert_eq!(shop.targets["main"].options.concurrency, 4);
    assert_eq!((shop.admin.open, shop.admin.token), (true, None));
}

#[test]
fn only_the_named_sections_see_the_environment() {
    let shop = accepted("rules: { a: { key: \"p:${ID}$$\" } }\nadmin: { listen: \"${ID}\" }", &[("ID", "7")]);
    assert_eq!(shop.rules["a"].key, "p:${ID}$$");
    assert_eq!(shop.admin.listen, "7");
}

#[test]
fn a_file_variable_stands_in_for_an_unset_variable() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("token");
    std::fs::write(&file, "hunter2\n").expect("a file");
    let file = file.to_str().expect("a name");
    let yaml = "admin: { token: \"${TOKEN}\" }";
    let token =
        |variables: &[(&str, &str)]| accepted(yaml, variables).admin.token.map(|token| token.expose().to_owned());
    assert_eq!(token(&[("TOKEN_FILE", file)]).as_deref(), Some("hunter2"));
    assert_eq!(token(&[("TOKEN", "own"), ("TOKEN_FILE", file)]).as_deref(), Some("own"));
    let refused = problems(yaml, &[("TOKEN_FILE", "/nowhere/hunter2")]);
    assert!(refused.contains("cannot read the file that TOKEN_FILE names: entity not found"), "{refused}");
    assert!(!refused.contains("hunter2"), "{refused}");
}
