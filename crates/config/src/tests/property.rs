//! Shows that no input makes the loader panic.

use proptest::prelude::*;

use super::*;

/// Pieces that make up YAML, so that most of what comes out parses or nearly does.
fn piece() -> impl Strategy<Value = String> {
    let pieces = [
        "targets",
        "admin",
        "rules",
        "tests",
        "limits",
        "url",
        "token",
        "key",
        "map",
        "remote",
        "local",
        "<<",
        ":",
        ": ",
        "\n",
        "\n  ",
        "\n    ",
        "- ",
        "{",
        "}",
        "[",
        "]",
        ", ",
        "&a ",
        "*a",
        "!!str ",
        "!x ",
        "|\n",
        ">-\n",
        "\"",
        "'",
        "#",
        "${A}",
        "${B:-x",
        "}",
        "$$",
        "1",
        "-0x1f",
        "1e999",
        "true",
        "~",
        "---\n",
        "...\n",
        "? ",
        "%",
        "\t",
        "é",
        "\u{1b}",
        "@",
        "redis://u:p@h?q",
        "\u{feff}",
        "\r\n",
    ];
    prop_oneof![8 => prop::sample::select(pieces.to_vec()).prop_map(str::to_owned), 1 => any::<String>()]
}

fn shown(bytes: &[u8]) -> String {
    let contents = vec![("q.yaml".to_owned(), bytes.to_vec())];
    match Loader::load_contents::<Shop>(contents, &Variables::of(&[("A", "hunter2")])) {
        Ok(loaded) => {
            let path = super::super::ConfigPath::root().key("rules").key("a").index(3);
            loaded.locate(vec![Problem::error(path, "wrong")]).display(true).to_string()
        }
        Err(problems) => problems.display(true).to_string(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        shown(&bytes);
    }

    #[test]
    fn nearly_right_yaml_is_read_or_refused_and_the_environment_stays_hidden(pieces in prop::collection::vec(piece(), 0..60)) {
        let text = pieces.concat();
        prop_assert!(!shown(text.as_bytes()).contains("hunter2"), "{text}");
    }
}
