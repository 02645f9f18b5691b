//! Shows how broken YAML and variables that are not set are shown.

use super::check;

#[test]
fn broken_yaml_is_shown_where_it_breaks() {
    check(&[
        (
            "\
a: b: c
",
            "\
error: this is not valid YAML: mapping values are not allowed in this context
 --> q.yaml:1:5
  |
1 | a: b: c
  |     ^
",
        ),
        (
            "\
rules: [
",
            "\
error: this is not valid YAML: unclosed bracket '['
 --> q.yaml:1:8
  |
1 | rules: [
  |        ^
",
        ),
        (
            "rules:\n\ta: 1\n",
            "\
error: this is not valid YAML: tabs disallowed within this context (block indentation)
 --> q.yaml:2:2
  |
2 |  a: 1
  |  ^
",
        ),
        (
            "\
version: 1
---
version: 1
",
            "\
error: a file holds one document
 --> q.yaml:2:1
  |
2 | ---
  | ^^^
  = help: write it as a file of its own
",
        ),
        (
            "\
rules: *a
",
            "\
error: this is not valid YAML: while parsing node, found unknown anchor
 --> q.yaml:1:8
  |
1 | rules: *a
  |        ^
",
        ),
        (
            "\
rules: &a [*a]
",
            "\
error: this alias names the value that it stands in
 --> q.yaml:1:12
  |
1 | rules: &a [*a]
  |            ^^
",
        ),
        (
            "\
rules: !secret { a: { key: k } }
",
            "\
error: the tag `!secret` means nothing here
 --> q.yaml:1:16
  |
1 | rules: !secret { a: { key: k } }
  |                ^
",
        ),
        (
            "\
? [a]
: b
",
            "\
error: a key must be text, not a list or a mapping
 --> q.yaml:1:3
  |
1 | ? [a]
  |   ^^^
",
        ),
        (
            "\
- a
",
            "\
error: expected a mapping with the sections of the configuration
 --> q.yaml:1:1
  |
1 | - a
  | ^^^
",
        ),
        (
            "\
text
",
            "\
error: expected a mapping with the sections of the configuration
 --> q.yaml:1:1
  |
1 | text
  | ^^^^
",
        ),
        (
            "\
<<: 1
",
            "\
error: `<<` takes a mapping, or a list of mappings
 --> q.yaml:1:5
  |
1 | <<: 1
  |     ^
",
        ),
        (
            "\
%YAML 1.2
---
version: 1
",
            "\
error: this is not valid YAML: YAML directives are disallowed
 --> q.yaml:1:1
  |
1 | %YAML 1.2
  | ^
",
        ),
        (
            "rules: { a: { x\u{1b}y: 1 } }\n",
            "\
error: this is not valid YAML: unexpected character: `\\u{1b}'
 --> q.yaml:1:15
  |
1 | rules: { a: { x�y: 1 } }
  |               ^
",
        ),
    ]);
}

#[test]
fn a_variable_that_cannot_be_resolved_is_shown_and_its_consequences_are_not() {
    check(&[
        (
            "\
admin: { listen: \"${A\", token: \"${B-x}\", pepper: \"${C:?set it, please}\", open: \"${D}\" }
",
            "\
error: `${` without its `}`
 --> q.yaml:1:18
  |
1 | admin: { listen: \"${A\", token: \"${B-x}\", pepper: \"${C:?set it, please}\", open: \"${D}\" }
  |                  ^^^^^

error: this is no reference to a variable
 --> q.yaml:1:32
  |
1 | admin: { listen: \"${A\", token: \"${B-x}\", pepper: \"${C:?set it, please}\", open: \"${D}\" }
  |                                ^^^^^^^^
  = help: write ${VAR}, ${VAR:-default} or ${VAR:?message}, and $$ for a dollar sign

error: the variable C is not set: set it, please
 --> q.yaml:1:50
  |
1 | admin: { listen: \"${A\", token: \"${B-x}\", pepper: \"${C:?set it, please}\", open: \"${D}\" }
  |                                                  ^^^^^^^^^^^^^^^^^^^^^^
  = help: set C or C_FILE, or write a default as ${C:-default}

error: the variable D is not set
 --> q.yaml:1:80
  |
1 | admin: { listen: \"${A\", token: \"${B-x}\", pepper: \"${C:?set it, please}\", open: \"${D}\" }
  |                                                                                ^^^^^^
  = help: set D or D_FILE, or write a default as ${D:-default}
",
        ),
        (
            "\
targets: { a: { remote: { url: \"${A}\" } } }
",
            "\
error: the variable A is not set
 --> q.yaml:1:32
  |
1 | targets: { a: { remote: { url: \"${A}\" } } }
  |                                ^^^^^^
  = help: set A or A_FILE, or write a default as ${A:-default}
",
        ),
        (
            "\
targets: { a: { remote: { url: \"${A:-${B}}\" } } }
",
            "\
error: this is no reference to a variable
 --> q.yaml:1:32
  |
1 | targets: { a: { remote: { url: \"${A:-${B}}\" } } }
  |                                ^^^^^^^^^^^^
  = help: write ${VAR}, ${VAR:-default} or ${VAR:?message}, and $$ for a dollar sign
",
        ),
    ]);
}
