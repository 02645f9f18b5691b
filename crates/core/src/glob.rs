//! Describes keys of which only parts are known: literal text, gaps of any text, and runs of hexadecimal digits.

use std::fmt;

/// A pattern that keys match as a whole. It begins with literal text or hexadecimal digits, never with a gap.
///
/// It is kept in the syntax of Redis, in which every literal character that could mean something is escaped, so that equal
/// patterns are equal texts. A gap is `*`, a hexadecimal digit `[0-9a-f]`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Glob(Box<str>);

/// One lower-case hexadecimal digit in the syntax of Redis.
const HEX_DIGIT: &str = "[0-9a-f]";

/// Builds a [`Glob`] from left to right.
#[derive(Debug, Clone, Default)]
pub struct GlobBuilder(String);

impl GlobBuilder {
    /// Nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Goes on with exactly this text.
    pub fn literal(&mut self, text: &str) -> &mut Self {
        for character in text.chars() {
            if matches!(character, '*' | '?' | '[' | ']' | '\\' | '^' | '-') {
                self.0.push('\\');
            }
            self.0.push(character);
        }
        self
    }

    /// Goes on with any text, also none.
    pub fn any(&mut self) -> &mut Self {
        if !self.ends_with_gap() {
            self.0.push('*');
        }
        self
    }

    /// Goes on with so many lower-case hexadecimal digits, as a digest has them.
    pub fn hex(&mut self, digits: usize) -> &mut Self {
        self.0.push_str(&HEX_DIGIT.repeat(digits));
        self
    }

    /// The pattern; `None` when it is empty or begins with a gap, which no key format may make harmless.
    #[must_use]
    pub fn build(self) -> Option<Glob> {
        (!self.0.is_empty() && !self.0.starts_with('*')).then(|| Glob(self.0.into()))
    }

    /// Whether the last thing is a gap already: an escaped star ends in one as well.
    fn ends_with_gap(&self) -> bool {
        let Some(before) = self.0.strip_suffix('*') else { return false };
        let backslashes = before.len() - before.trim_end_matches('\\').len();
        backslashes % 2 == 0
    }
}

impl Glob {
    /// The pattern in the syntax of Redis.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.0
    }

    /// The pattern behind a key format's prefix, which is taken literally.
    #[must_use]
    pub fn behind(&self, prefix: &str) -> Self {
        let mut builder = GlobBuilder::new();
        builder.literal(prefix).0.push_str(&self.0);
        Self(builder.0.into())
    }

    /// The pattern of what it matches with this text behind it, which is taken literally.
    #[must_use]
    pub fn followed_by(&self, text: &str) -> Self {
        let mut builder = GlobBuilder(self.0.to_string());
        builder.literal(text);
        Self(builder.0.into())
    }

    /// Reads a text that [`Glob::text`] gave; `None` for any other syntax.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let whole = Pieces(text).try_fold(String::new(), |mut canonical, piece| {
            match piece? {
                Piece::Character(character) => canonical.push_str(&escaped(character)),
                Piece::Hex => canonical.push_str(HEX_DIGIT),
                Piece::Gap => canonical.push('*'),
            }
            Some(canonical)
        })?;
        (whole == text && !text.is_empty() && !text.starts_with('*')).then(|| Self(text.into()))
    }

    /// The pattern made ready for many keys.
    #[must_use]
    pub fn matcher(&self) -> Matcher {
        let mut runs = vec![Vec::new()];
        for piece in Pieces(&self.0).flatten() {
            match (piece, runs.last_mut()) {
                (Piece::Gap, _) | (_, None) => runs.push(Vec::new()),
                (Piece::Hex, Some(run)) => run.push(Unit::Hex),
                (Piece::Character(character), Some(run)) => {
                    run.extend(character.encode_utf8(&mut [0; 4]).bytes().map(Unit::Byte));
                }
            }
        }
        let root = runs[0].iter().map_while(|unit| if let Unit::Byte(byte) = unit { Some(*byte) } else { None });
        Matcher { root: root.collect(), runs }
    }
}

impl fmt::Display for Glob {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

fn escaped(character: char) -> String {
    let mut builder = GlobBuilder::new();
    builder.literal(character.encode_utf8(&mut [0; 4]));
    builder.0
}

/// What stands at one place of a pattern.
enum Piece {
    Character(char),
    Hex,
    Gap,
}

/// Takes a pattern apart; `None` for what is not in the syntax.
struct Pieces<'a>(&'a str);

impl Iterator for Pieces<'_> {
    type Item = Option<Piece>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut rest = self.0.chars();
        let piece = match rest.next()? {
            '*' => Some(Piece::Gap),
            '\\' => rest.next().map(Piece::Character),
            '[' => {
                rest = self.0.strip_prefix(HEX_DIGIT).unwrap_or_default().chars();
                self.0.starts_with(HEX_DIGIT).then_some(Piece::Hex)
            }
            character => Some(Piece::Character(character)),
        };
        self.0 = rest.as_str();
        Some(piece)
    }
}

/// One byte of a key, as a pattern sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unit {
    Byte(u8),
    Hex,
}

impl Unit {
    const fn fits(self, byte: u8) -> bool {
        match self {
            Self::Byte(wanted) => wanted == byte,
            Self::Hex => matches!(byte, b'0'..=b'9' | b'a'..=b'f'),
        }
    }
}

/// A pattern made ready for many keys.
#[derive(Debug, Clone)]
pub struct Matcher {
    /// The literal bytes that it begins with.
    root: Vec<u8>,
    /// What stands between the gaps; at least one.
    runs: Vec<Vec<Unit>>,
}

impl Matcher {
    /// The literal bytes that every matching key begins with; empty where it begins with hexadecimal digits.
    #[must_use]
    pub fn root(&self) -> &[u8] {
        &self.root
    }

    /// How many gaps there are but one at the end.
    #[must_use]
    pub fn inner_gaps(&self) -> usize {
        let open = self.runs.len() > 1 && self.runs.last().is_some_and(Vec::is_empty);
        self.runs.len() - 1 - usize::from(open)
    }

    /// Whether a key matches as a whole. Takes the time of the key's length times that of the longest run at worst.
    #[must_use]
    pub fn matches(&self, key: &[u8]) -> bool {
        let Some((first, later)) = self.runs.split_first() else { return false };
        let Some(rest) = key.get(first.len()..).filter(|_| fits(first, key)) else { return false };
        let Some((last, middle)) = later.split_last() else { return rest.is_empty() };
        let Some(end) = rest.len().checked_sub(last.len()).filter(|end| fits(last, &rest[*end..])) else {
            return false;
        };
        // The leftmost place for each run leaves the most for those behind it.
        middle.iter().try_fold(&rest[..end], |rest, run| after(run, rest)).is_some()
    }
}

/// Whether a run fits to the beginning of a text.
fn fits(run: &[Unit], text: &[u8]) -> bool {
    text.len() >= run.len() && run.iter().zip(text).all(|(unit, byte)| unit.fits(*byte))
}

/// What stands behind the first place where a run fits.
fn after<'t>(run: &[Unit], text: &'t [u8]) -> Option<&'t [u8]> {
    let indices = 0..=text.len().checked_sub(run.len())?;
    indices.into_iter().find(|index| fits(run, &text[*index..])).map(|index| &text[index + run.len()..])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn glob(parts: &[&str]) -> Glob {
        let mut builder = GlobBuilder::new();
        for part in parts {
            match *part {
                "*" => builder.any(),
                "#" => builder.hex(2),
                text => builder.literal(text),
            };
        }
        builder.build().unwrap()
    }

    #[test]
    fn a_pattern_matches_keys_as_a_whole() {
        let cases: [(&[&str], &[&str], &[&str]); 7] = [
            (&["a:", "*", ":9"], &["a::9", "a:1:9", "a:1:2:9"], &["a:9", "a:1:90", "b:1:9", ""]),
            (&["a", "*"], &["a", "ab"], &["b", ""]),
            (&["a"], &["a"], &["ab", ""]),
            (&["a", "*", "b", "*", "c"], &["abc", "axbxc", "abbcc"], &["acb", "ab", "ac"]),
            (&[":1:", "#"], &[":1:0f", ":1:aa"], &[":1:0F", ":1:0g", ":1:0ff", ":1:0"]),
            (&["#"], &["00"], &["x0", "0"]),
            (&["a*", "*", "[?]"], &["a*[?]", "a*x[?]"], &["ax[?]", "a*?"]),
        ];
        for (parts, matching, others) in cases {
            let matcher = glob(parts).matcher();
            for key in matching {
                assert!(matcher.matches(key.as_bytes()), "{parts:?} matches {key}");
                assert!(key.as_bytes().starts_with(matcher.root()), "{parts:?} {key}");
            }
            for key in others {
                assert!(!matcher.matches(key.as_bytes()), "{parts:?} does not match {key}");
            }
        }
    }

    #[test]
    fn literal_text_is_escaped_and_a_format_goes_in_front() {
        assert_eq!(glob(&["a*[x]\\", "*", "é", "*", "*", "#"]).text(), "a\\*\\[x\\]\\\\*é*[0-9a-f][0-9a-f]");
        assert_eq!(glob(&["#"]).behind("my*:1:").text(), "my\\*:1:[0-9a-f][0-9a-f]");
        assert_eq!(glob(&["a*", "*", "b"]).text(), "a\\**b");
        assert_eq!(glob(&["a", "*"]).followed_by("!q*").text(), "a*!q\\*");
    }

    #[test]
    fn nothing_begins_with_a_gap_or_is_empty() {
        let mut builder = GlobBuilder::new();
        assert_eq!(builder.clone().build(), None);
        assert_eq!(builder.any().literal("a").clone().build(), None);
        for text in ["", "*a", "a?", "a[b]", "a\\", "a-b", "a**"] {
            let read = Glob::parse(text);
            assert!(read.is_none_or(|glob| glob.text() == "a**"), "{text}");
        }
    }

    fn parts() -> impl Strategy<Value = Vec<String>> {
        let text = prop_oneof!["[a:0*?\\[\\]\\\\^\\-é]{1,4}", Just("*".to_owned()), Just("#".to_owned())];
        prop::collection::vec(text, 0..5).prop_map(|more| [vec!["k".to_owned()], more].concat())
    }

    proptest! {
        #[test]
        fn what_is_built_is_read_again(parts in parts()) {
            let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
            let glob = glob(&parts);
            prop_assert_eq!(Glob::parse(glob.text()), Some(glob));
        }

        #[test]
        fn filling_the_gaps_gives_a_key_that_matches(parts in parts(), fill in "[a:0*é]{0,5}") {
            let key: String = parts.iter().map(|part| match part.as_str() {
                "*" => fill.as_str(),
                "#" => "0f",
                text => text,
            }).collect();
            let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
            prop_assert!(glob(&parts).matcher().matches(key.as_bytes()));
        }
    }
}
