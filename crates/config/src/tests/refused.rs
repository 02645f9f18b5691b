//! Shows how each kind of problem is shown.

use super::{check, load};

#[test]
fn what_does_not_fit_is_shown_in_one_run_with_what_would_fit() {
    check(&[
        (
            "\
targets: { a: { local: {} } }
rules:
  product:
    chached: true
    key: k
    atfer: [1s]
",
            "\
error: unknown key `chached`
 --> q.yaml:4:5
  |
4 |     chached: true
  |     ^^^^^^^
  = help: write one of `key`, `after`, `ops`, `map`

error: unknown key `atfer`
 --> q.yaml:6:5
  |
6 |     atfer: [1s]
  |     ^^^^^
  = help: did you mean `after`?
",
        ),
        (
            "\
rules: { a: { key: 1, after: 5s, ops: [create, updat, 3], map: x } }
limits: { small: 300, factor: '2', other: 1 }
admin: { open: yes, listen: [] }
",
            "\
error: expected text, found the number `1`
 --> q.yaml:1:20
  |
1 | rules: { a: { key: 1, after: 5s, ops: [create, updat, 3], map: x } }
  |                    ^
  = help: write it in quotes: \"1\"

error: expected a list, found text `5s`
 --> q.yaml:1:30
  |
1 | rules: { a: { key: 1, after: 5s, ops: [create, updat, 3], map: x } }
  |                              ^^
  = help: write it as a list: [5s]

error: unknown value `updat`
 --> q.yaml:1:48
  |
1 | rules: { a: { key: 1, after: 5s, ops: [create, updat, 3], map: x } }
  |                                                ^^^^^
  = help: did you mean `update`?

error: expected one of `create`, `update`, `delete`, found the number `3`
 --> q.yaml:1:55
  |
1 | rules: { a: { key: 1, after: 5s, ops: [create, updat, 3], map: x } }
  |                                                       ^

error: expected a mapping or a list, found text `x`
 --> q.yaml:1:64
  |
1 | rules: { a: { key: 1, after: 5s, ops: [create, updat, 3], map: x } }
  |                                                                ^

error: expected a whole number from 0 to 255, found the number `300`
 --> q.yaml:2:18
  |
2 | limits: { small: 300, factor: '2', other: 1 }
  |                  ^^^

error: expected a number, found text `2`
 --> q.yaml:2:31
  |
2 | limits: { small: 300, factor: '2', other: 1 }
  |                               ^^^
  = help: write it without quotes: 2

error: unknown key `other`
 --> q.yaml:2:36
  |
2 | limits: { small: 300, factor: '2', other: 1 }
  |                                    ^^^^^
  = help: write one of `small`, `factor`

error: expected true or false, found text `yes`
 --> q.yaml:3:16
  |
3 | admin: { open: yes, listen: [] }
  |                ^^^
  = help: write `true`

error: expected text, found a list
 --> q.yaml:3:21
  |
3 | admin: { open: yes, listen: [] }
  |                     ^^^^^^
",
        ),
        (
            "\
rules: { a: { key: k, after: [1s, soon, 2s, 3] } }
",
            "\
error: `soon` is no length of time; write a number with a unit, as 200ms, 30s, 5m or 24h
 --> q.yaml:1:35
  |
1 | rules: { a: { key: k, after: [1s, soon, 2s, 3] } }
  |                                   ^^^^

error: expected a length of time with its unit, as 200ms, 30s, 5m or 24h, found the number `3`
 --> q.yaml:1:45
  |
1 | rules: { a: { key: k, after: [1s, soon, 2s, 3] } }
  |                                             ^
",
        ),
        (
            "\
rules: { a: , b: [], c: {} }
",
            "\
error: expected a mapping, found nothing
 --> q.yaml:1:10
  |
1 | rules: { a: , b: [], c: {} }
  |          ^
  = help: write `{}` for one without keys

error: expected a mapping, found a list
 --> q.yaml:1:15
  |
1 | rules: { a: , b: [], c: {} }
  |               ^

error: missing key `key`
 --> q.yaml:1:22
  |
1 | rules: { a: , b: [], c: {} }
  |                      ^
",
        ),
        (
            "\
version: -1
",
            "\
error: expected a whole number from 0 to 4294967295, found the number `-1`
 --> q.yaml:1:10
  |
1 | version: -1
  |          ^^
",
        ),
        (
            "\
versoin: 1
",
            "\
error: unknown key `versoin`
 --> q.yaml:1:1
  |
1 | versoin: 1
  | ^^^^^^^
  = help: did you mean `version`?
",
        ),
        (
            "\
tests: x
rules: []
",
            "\
error: expected a list, found text `x`
 --> q.yaml:1:8
  |
1 | tests: x
  |        ^
  = help: write it as a list: [x]

error: expected a mapping, found a list
 --> q.yaml:2:1
  |
2 | rules: []
  | ^^^^^
",
        ),
    ]);
}

#[test]
fn in_a_value_of_several_forms_the_wrong_part_is_shown() {
    check(&[
        (
            "\
rules:
  a:
    key: k
    map:
      x: a.b
      y: { valeu: 3 }
      z: 7
",
            "\
error: unknown key `valeu`
 --> q.yaml:6:12
  |
6 |       y: { valeu: 3 }
  |            ^^^^^
  = help: did you mean `value`?

error: expected text or a mapping with `value`, found the number `7`
 --> q.yaml:7:10
  |
7 |       z: 7
  |          ^
",
        ),
        (
            "\
rules: { a: { key: k, map: { x: {} } } }
",
            "\
error: missing key `value`
 --> q.yaml:1:30
  |
1 | rules: { a: { key: k, map: { x: {} } } }
  |                              ^
",
        ),
        (
            "\
rules: { a: { key: k, map: [ { x: { value: 1.5 } } ] } }
",
            "\
error: expected true or false or a whole number or text, found the number `1.5`
 --> q.yaml:1:44
  |
1 | rules: { a: { key: k, map: [ { x: { value: 1.5 } } ] } }
  |                                            ^^^
",
        ),
    ]);
}

#[test]
fn an_unknown_name_is_answered_with_the_known_ones() {
    check(&[(
        "\
targets:
  a: { local: {}, shape: djano }
  b: { local: {}, shape: { djnago: {} } }
  c: { local: {}, shape: django }
  d: { local: {}, shape: { plain: {}, django: {} } }
  e: { local: {}, shape: [] }
  f: { local: {}, shape: { plain: 1 } }
",
        "\
error: unknown value `djano`
 --> q.yaml:2:26
  |
2 |   a: { local: {}, shape: djano }
  |                          ^^^^^
  = help: did you mean `django`?

error: unknown name `djnago`
 --> q.yaml:3:28
  |
3 |   b: { local: {}, shape: { djnago: {} } }
  |                            ^^^^^^
  = help: did you mean `django`?

error: expected `django:` with its values, found text `django`
 --> q.yaml:4:26
  |
4 |   c: { local: {}, shape: django }
  |                          ^^^^^^

error: `django` and `plain` exclude each other
 --> q.yaml:5:39
  |
5 |   d: { local: {}, shape: { plain: {}, django: {} } }
  |                                       ^^^^^^
 ::: q.yaml:5:28
  |
5 |   d: { local: {}, shape: { plain: {}, django: {} } }
  |                            ----- first here

error: expected one of `plain`, `django`, found a list
 --> q.yaml:6:19
  |
6 |   e: { local: {}, shape: [] }
  |                   ^^^^^

error: expected nothing, found the number `1`
 --> q.yaml:7:35
  |
7 |   f: { local: {}, shape: { plain: 1 } }
  |                                   ^
",
    )]);
}

#[test]
fn what_is_written_twice_is_shown_in_both_places() {
    check(&[(
        "\
version: 1
version: 1
rules: { a: { key: x, key: y } }
",
        "\
error: `version` is written twice
 --> q.yaml:2:1
  |
2 | version: 1
  | ^^^^^^^
 ::: q.yaml:1:1
  |
1 | version: 1
  | ------- first here

error: `key` is written twice
 --> q.yaml:3:23
  |
3 | rules: { a: { key: x, key: y } }
  |                       ^^^
 ::: q.yaml:3:15
  |
3 | rules: { a: { key: x, key: y } }
  |               --- first here
",
    )]);
}

#[test]
fn no_more_is_shown_than_people_can_mend_at_once() {
    let twice: String = "version: 1\n".repeat(1000);
    let unknown: String = (0..1000).map(|number| format!("x{number}: 1\n")).collect();
    let rules: String = (0..1000).map(|number| format!("  r{number}: {{ ky: 1 }}\n")).collect();
    for yaml in [twice, unknown, format!("rules:\n{rules}")] {
        let shown = load(&yaml, &[]).map(|loaded| loaded.root).unwrap_err();
        assert_eq!(shown.matches("error: ").count(), 50);
    }
}
