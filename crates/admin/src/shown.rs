//! Escapes text for pages: browsers obey nothing of it, and readers are not misled by characters that turn or hide text.

use std::fmt::{self, Write};

use quash_worker::text::is_obeyed;

/// How every value in a page is written.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Shown;

impl askama::filters::Escaper for Shown {
    fn write_escaped_str<W: Write>(&self, mut dest: W, text: &str) -> fmt::Result {
        text.chars().try_for_each(|character| match character {
            '&' => dest.write_str("&amp;"),
            '<' => dest.write_str("&lt;"),
            '>' => dest.write_str("&gt;"),
            '"' => dest.write_str("&quot;"),
            '\'' => dest.write_str("&#39;"),
            '\n' => dest.write_char('\n'),
            _ if !is_obeyed(character) => dest.write_char(character),
            _ => write!(dest, "{}", character.escape_default()),
        })
    }
}

#[cfg(test)]
mod tests {
    use askama::filters::Escaper;

    use super::*;

    #[test]
    fn nothing_that_browsers_obey_or_readers_trip_over_gets_through() {
        let cases = [
            ("plain é 日本", "plain é 日本"),
            ("<script>alert('x')</script>", "&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;"),
            ("\" onload=\"x", "&quot; onload=&quot;x"),
            ("&lt;", "&amp;lt;"),
            ("a\nb\tc\r\0", "a\nb\\tc\\r\\u{0}"),
            ("safe\u{202e}txt.exe\u{200b}\u{feff}\u{85}", r"safe\u{202e}txt.exe\u{200b}\u{feff}\u{85}"),
        ];
        for (text, expect) in cases {
            let mut shown = String::new();
            Shown.write_escaped_str(&mut shown, text).unwrap();
            assert_eq!(shown, expect);
        }
    }
}
