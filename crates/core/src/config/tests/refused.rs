//! Shows how each kind of problem is shown.
use super::*;
#[test]
fn snap() {
    let cases = [
        "targets: {a: {local: {}}}\nrules:\n  product:\n    chached: true\n    key: k\n",
        "rules: { a: { key: 1, after: 5s, ops: [create, upsert, 3], map: x } }\nlimits: { small: 300, factor: '2', other: 1 }\nadmin: { open: yes, listen: [] }\n",
        "rules:\n  a:\n    key: k\n    map:\n      x: a.b\n      y: { valeu: 3 }\n",
        "rules: { a: { key: k, map: { x: [1] } } }",
        "rules: { a: { key: k, map: { x: {} } } }",
        "rules: { a: { key: k, map: [ { x: { value: 1.5 } } ] } }",
        "rules: { a: { key: k, after: [1s, soon, 2s, 3] } }",
        "rules: { a: , b: [] , c: {} }",
        "version: one\n",
        "version: -1\n",
        "version: 1\nversion: 1\nrules: { a: { key: x, key: y } }\n",
        "a: b: c\n",
        "rules: [\n",
        "rules:\n\ta: 1\n",
        "version: 1\n---\nversion: 1\n",
        "rules: *a\n",
        "rules: &a [*a]\n",
        "rules: !secret x\n",
        "? [a]\n: b\n",
        "- a\n",
        "text",
        "<<: 1\n",
        "admin: { listen: \"${A\", token: \"${B-x}\", pepper: \"${C:?set it, please}\", open: \"${D}\" }\n",
        "targets: { a: { remote: { url: \"${A}\" } } }",
        "targets: { a: { local: {}, shape: djano }, b: { local: {}, shape: { djnago: {} } }, c: { local: {}, shape: django }, d: { local: {}, shape: { plain: {}, django: {} } }, e: { local: {}, shape: [] } }",
        "%YAML 1.2\n---\nversion: 1\n",
        "versoin: 1\n",
        "limits: { small: 1.5, factor: .nan }\nrules: { a: { key: \"a\\e[2J\", x\u{1b}y: 1 } }\n",
    ];
    for c in cases {
        println!("-----\n{c}\n{}", problems(c, &[]));
    }
}
