//! Indents JSON for reading, and leaves every value as it was written.

use serde::de::IgnoredAny;

/// The text with line breaks and indents, `None` when it is no JSON. Numbers keep their digits and names their order, since
/// nothing is parsed but for the check.
#[must_use]
pub fn indent(text: &str) -> Option<String> {
    serde_json::from_str::<IgnoredAny>(text).ok()?;
    let mut lines = Lines::default();
    let (mut quoted, mut escaped) = (false, false);
    for character in text.chars() {
        if quoted {
            lines.text.push(character);
            quoted = character != '"' || escaped;
            escaped = character == '\\' && !escaped;
        } else {
            quoted = character == '"';
            lines.add(character);
        }
    }
    Some(lines.text)
}

#[derive(Default)]
struct Lines {
    text: String,
    depth: usize,
    /// A bracket was opened, and nothing stands in it yet.
    opened: bool,
}

impl Lines {
    /// Adds what stands outside of strings.
    fn add(&mut self, character: char) {
        if character.is_ascii_whitespace() {
            return;
        }
        let opened = std::mem::take(&mut self.opened);
        match character {
            '}' | ']' => {
                self.depth -= 1;
                if !opened {
                    self.break_line();
                }
            }
            _ if opened => self.break_line(),
            _ => {}
        }
        self.text.push(character);
        match character {
            '{' | '[' => (self.depth, self.opened) = (self.depth + 1, true),
            ',' => self.break_line(),
            ':' => self.text.push(' '),
            _ => {}
        }
    }

    fn break_line(&mut self) {
        self.text.push('\n');
        self.text.extend(std::iter::repeat_n("  ", self.depth));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_stay_as_they_were_written() {
        let cases = [
            ("1", Some("1")),
            (" {} ", Some("{}")),
            ("[ ]", Some("[]")),
            (
                r#"{"b":12345678901234567890.10,"a":{"x":[1,"{,:\"[\\"]},"e":[]}"#,
                Some(
                    "{\n  \"b\": 12345678901234567890.10,\n  \"a\": {\n    \"x\": [\n      1,\n      \"{,:\\\"[\\\\\"\n    ]\n  },\n  \"e\": []\n}",
                ),
            ),
            ("{", None),
            ("", None),
            ("{} {}", None),
        ];
        for (text, expect) in cases {
            assert_eq!(indent(text).as_deref(), expect, "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "[\\[\\]{}\",:0-9\\\\ a]{0,24}") {
            let _ = indent(&text);
        }

        #[test]
        fn deep_nesting_is_shown_as_it_is(depth in 0usize..400) {
            let _ = indent(&("[".repeat(depth) + &"]".repeat(depth)));
        }
    }
}
