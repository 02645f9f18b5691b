//! Matches text against patterns in which `*` stands for any text, in time that is linear in the pattern's parts.

/// Text in which `*` stands for any text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    /// What stands between the wildcards, in order; never empty.
    parts: Vec<String>,
}

impl Pattern {
    /// A pattern in which nothing but `*` has a meaning.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self { parts: text.split('*').map(str::to_owned).collect() }
    }

    /// A pattern in which `\` takes the meaning from the character after it.
    #[must_use]
    pub fn unescape(text: &str) -> Self {
        let (mut parts, mut part) = (Vec::new(), String::new());
        let mut characters = text.chars();
        while let Some(character) = characters.next() {
            match character {
                '*' => parts.push(std::mem::take(&mut part)),
                '\\' => part.extend(characters.next()),
                _ => part.push(character),
            }
        }
        parts.push(part);
        Self { parts }
    }

    /// The text, when it has no wildcard.
    #[must_use]
    pub fn literal(&self) -> Option<&str> {
        match self.parts.as_slice() {
            [text] => Some(text),
            _ => None,
        }
    }

    /// Whether the whole text is like this.
    #[must_use]
    pub fn is(&self, text: &str) -> bool {
        let [first, between @ .., last] = self.parts.as_slice() else {
            return self.literal() == Some(text);
        };
        let Some(rest) = text.strip_prefix(first.as_str()) else { return false };
        find_all(rest, between).is_some_and(|rest| rest.ends_with(last.as_str()))
    }

    /// Whether some part of the text is like this, in any case.
    #[must_use]
    pub fn is_within(&self, text: &str) -> bool {
        let parts: Vec<String> = self.parts.iter().map(|part| lower_case(part)).collect();
        find_all(&lower_case(text), &parts).is_some()
    }
}

/// Lower case, letter by letter: `str::to_lowercase` looks at neighbours, which a part of a text does not have.
fn lower_case(text: &str) -> String {
    text.chars().flat_map(char::to_lowercase).collect()
}

/// What follows the parts, found one after the other. The first place of each is as good as any later one.
fn find_all<'a>(text: &'a str, parts: &[String]) -> Option<&'a str> {
    parts.iter().try_fold(text, |rest, part| rest.find(part.as_str()).map(|index| &rest[index + part.len()..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_text() {
        let cases = [
            ("a", "a", true),
            ("a", "ab", false),
            ("*", "", true),
            ("a*", "a", true),
            ("a*a", "a", false),
            ("a*a", "aa", true),
            ("*b*", "abc", true),
            ("a*b*c", "a-c-b-c", true),
            ("a*b*c", "a-c-b-", false),
            ("**", "x", true),
        ];
        for (pattern, text, expect) in cases {
            assert_eq!(Pattern::new(pattern).is(text), expect, "{pattern} on {text}");
        }
    }
}
