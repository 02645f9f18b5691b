//! Finds what in a file is a secret, so that no source line and no message shows it.

use std::ops::Range;

use super::node::{Node, Value};
use super::{ConfigPath, Segment};

/// What is shown instead of a secret.
pub(super) const MASK: &str = "***";

/// Words that make a key's value a secret.
const SECRET_WORDS: [&str; 10] =
    ["password", "passwd", "passphrase", "pass", "pwd", "secret", "secrets", "token", "credential", "credentials"];

/// Keys that are secrets although none of their words is.
const SECRET_KEYS: [&str; 5] = ["api_key", "apikey", "private_key", "access_key", "secret_key"];

/// Words that make a key's value an address with credentials in it, perhaps.
const ADDRESS_WORDS: [&str; 6] = ["url", "urls", "uri", "uris", "dsn", "connection"];

/// How much of a key's value must not be shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sensitive {
    /// The user, the password and the query of an address.
    Address,
    /// All of it.
    Whole,
}

/// What a key says of its value.
pub(super) fn of_key(key: &str) -> Option<Sensitive> {
    let key = key.to_lowercase().replace('-', "_");
    let has = |words: &[&str]| key.split('_').any(|word| words.contains(&word));
    if key.split('_').any(is_secret) || SECRET_KEYS.iter().any(|secret| key.ends_with(secret)) {
        return Some(Sensitive::Whole);
    }
    has(&ADDRESS_WORDS).then_some(Sensitive::Address)
}

/// Whether a word of a key is, or is meant to be, one that announces a secret: a misspelt key is shown in an error.
fn is_secret(word: &str) -> bool {
    const LETTERS_MIN: usize = 5;
    let near = |secret: &str| {
        // Comparing is dear, and a file has many keys.
        secret.len() >= LETTERS_MIN
            && word.chars().count().abs_diff(secret.len()) <= 1
            && strsim::damerau_levenshtein(word, secret) <= 1
    };
    SECRET_WORDS.iter().any(|secret| word == *secret || near(secret))
}

/// What the keys of a path say of the value at its end.
pub(super) fn of_path(path: &ConfigPath) -> Option<Sensitive> {
    let keys = path.0.iter().filter_map(|segment| match segment {
        Segment::Key(key) => of_key(key),
        Segment::Index(_) => None,
    });
    keys.max_by_key(|sensitive| *sensitive == Sensitive::Whole)
}

/// The bytes of a parsed file that must not be shown. A mapping below a secret key is hidden only in the sections that
/// hold secrets: elsewhere the key may be a name that somebody gave, as a cache `reset_token`.
pub(super) fn of_tree(root: &Node, sections: &[&str], text: &str) -> Vec<Range<usize>> {
    let mut hidden = of_text(text);
    for entry in root.entries() {
        let named = !sections.contains(&entry.key.as_str());
        below(&entry.value, of_key(&entry.key), named, text, &mut hidden);
    }
    hidden
}

fn below(node: &Node, sensitive: Option<Sensitive>, named: bool, text: &str, hidden: &mut Vec<Range<usize>>) {
    match &node.value {
        Value::Mapping(entries) => {
            if sensitive == Some(Sensitive::Whole) && !named {
                hidden.push(node.position.start as usize..node.position.end as usize);
            }
            for entry in entries {
                below(&entry.value, of_key(&entry.key), named, text, hidden);
            }
        }
        Value::List(items) => items.iter().for_each(|item| below(item, sensitive, named, text, hidden)),
        Value::Null => {}
        _ => hidden.extend(sensitive.and_then(|sensitive| of_scalar(node, sensitive, text))),
    }
}

/// The bytes of one scalar that must not be shown.
pub(super) fn of_scalar(node: &Node, sensitive: Sensitive, text: &str) -> Option<Range<usize>> {
    let (start, end) = (node.position.start as usize, node.position.end as usize);
    let written = text.get(start..end)?;
    let bare = written.trim_matches(['"', '\'']);
    let secret = match sensitive {
        Sensitive::Whole if only_references(bare) => return None,
        Sensitive::Whole => 0..written.len(),
        Sensitive::Address => in_address(written)?,
    };
    Some(start + secret.start..start + secret.end)
}

/// The credentials of an address: what stands before its last `@`, else its query.
fn in_address(written: &str) -> Option<Range<usize>> {
    let begin =
        written.find("://").map_or_else(|| written.len() - written.trim_start_matches(['"', '\'']).len(), |at| at + 3);
    let rest = written.get(begin..)?;
    let close = written.trim_end_matches(['"', '\'']).len();
    let host = rest.rfind('@').map_or(begin, |at| begin + at);
    let query = written[host..].find('?').map(|at| host + at + 1).filter(|at| !written[..*at].ends_with(":?"));
    match query {
        // Both: one range, so that nothing between them gives the length away.
        Some(query) if query < close && host > begin => Some(begin..close),
        Some(query) if query < close => Some(query..close),
        _ => (host > begin && !only_references(&written[begin..host])).then_some(begin..host),
    }
}

/// Whether a text is made of `${VAR}` and `:` alone, so that there is nothing to hide in it.
fn only_references(text: &str) -> bool {
    let mut rest = text;
    while let Some(after) = rest.trim_start_matches(':').strip_prefix("${") {
        match after.split_once('}') {
            Some((reference, after)) if !reference.contains(":-") => rest = after,
            _ => return false,
        }
    }
    rest.trim_matches(':').is_empty()
}

/// What looks like credentials of an address anywhere in a text, also in a comment.
pub(super) fn of_text(text: &str) -> Vec<Range<usize>> {
    let mut hidden: Vec<Range<usize>> = Vec::new();
    for (at, _) in text.match_indices("://") {
        let begin = at + 3;
        if hidden.last().is_none_or(|last| begin >= last.end) {
            hidden.extend(after_scheme(&text[begin..]).map(|secret| begin + secret.start..begin + secret.end));
        }
    }
    hidden
}

/// The longest address that is looked into; of a longer one nothing is shown. Every `://` in it costs its length.
const ADDRESS_CHARS_MAX: usize = 1024;

fn after_scheme(text: &str) -> Option<Range<usize>> {
    let near = text.char_indices().take(ADDRESS_CHARS_MAX).find(|(_, letter)| letter.is_whitespace());
    let Some((end, _)) = near.or_else(|| (text.len() <= ADDRESS_CHARS_MAX).then_some((text.len(), ' '))) else {
        return Some(0..text.find(char::is_whitespace).unwrap_or(text.len()));
    };
    let word = &text[..end];
    let close = word.trim_end_matches(['"', '\'', '`', ',', ')', ']', '}']).len();
    match (word.rfind('@'), word.find('?')) {
        (Some(host), _) if !only_references(&word[..host]) => Some(0..host),
        (None, Some(query)) if !word[..query].ends_with(':') && query < close => Some(query + 1..close),
        _ => None,
    }
}

/// A text without what looks like credentials of an address.
pub(super) fn without_credentials(text: &str) -> String {
    let (mut out, mut at) = (String::new(), 0);
    for hidden in of_text(text) {
        out.push_str(text.get(at..hidden.start).unwrap_or_default());
        out.push_str(MASK);
        at = at.max(hidden.end);
    }
    out.push_str(text.get(at..).unwrap_or_default());
    out
}

/// What may be a secret in a file that could not be parsed: all that follows a secret key, on its line and on the deeper
/// lines below.
pub(super) fn of_broken(text: &str) -> Vec<Range<usize>> {
    let (mut hidden, mut byte, mut inside) = (of_text(text), 0, None);
    for line in text.split_inclusive('\n') {
        let indent = line.len() - line.trim_start_matches([' ', '\t', '-']).len();
        let blank = line.trim().is_empty();
        inside = inside.filter(|parent| blank || indent > *parent);
        let secret = match inside {
            Some(_) => Some(0),
            None => after_secret_key(line),
        };
        if let Some(at) = secret {
            hidden.push(byte + at..byte + line.trim_end().len().max(at));
            inside = inside.or(Some(indent));
        }
        byte += line.len();
    }
    hidden
}

/// Where in a line the value of a secret key begins.
fn after_secret_key(line: &str) -> Option<usize> {
    line.match_indices(':').map(|(at, _)| at).find_map(|at| {
        let word = line[..at].trim_end_matches(['"', '\'', ' ']);
        let begin = word.rfind(|letter: char| !letter.is_alphanumeric() && letter != '_' && letter != '-');
        let key =
            begin.map_or(word, |begin| word[begin..].trim_start_matches(|letter: char| !letter.is_alphanumeric()));
        let whole = !key.is_empty() && of_key(key)? == Sensitive::Whole;
        let value = at + 1 + line[at + 1..].len() - line[at + 1..].trim_start().len();
        (whole && value < line.len()).then_some(value)
    })
}

#[cfg(test)]
mod tests {
    use super::super::yaml;
    use super::*;

    fn masked(text: &str, hidden: &[Range<usize>]) -> String {
        let mut hidden = hidden.to_vec();
        hidden.sort_by_key(|range| range.start);
        let (mut out, mut at) = (String::new(), 0);
        for range in hidden.into_iter().filter(|range| !range.is_empty()) {
            if range.start >= at {
                out.push_str(&text[at..range.start]);
                out.push_str("***");
            }
            at = at.max(range.end);
        }
        out + &text[at..]
    }

    #[test]
    fn secrets_are_hidden_and_references_are_shown() {
        let cases = [
            ("url: redis://user:hunter2@host/1", "url: redis://***@host/1"),
            ("url: \"redis://user:p w@host\"", "url: \"redis://***@host\""),
            ("url: redis://:p@ss@host", "url: redis://***@host"),
            ("url: user:hunter2@host", "url: ***@host"),
            ("url: redis://host:6379/1", "url: redis://host:6379/1"),
            ("url: unix:///run/redis?user=a&pass=b", "url: unix:///run/redis?***"),
            ("url: \"redis://u:p@h?x=y\"", "url: \"redis://***\""),
            ("url: \"${URL:?the broker}\"", "url: \"${URL:?the broker}\""),
            ("url: \"redis://${USER}:${PASS}@host\"", "url: \"redis://${USER}:${PASS}@host\""),
            ("url: \"redis://${USER}:${PASS:-hunter2}@host\"", "url: \"redis://***@host\""),
            ("url: \"${URL:-redis://u:p@host}\"", "url: \"${URL:-redis://***@host}\""),
            ("password: hunter2", "password: ***"),
            ("password: \"${PASS}\"", "password: \"${PASS}\""),
            ("password: \"${PASS:-hunter2}\"", "password: ***"),
            ("password: 12345", "password: ***"),
            ("auth-token: [a, b]", "auth-token: [***, ***]"),
            ("password: |\n  hunter2\n", "password: |\n  ***"),
            ("any: text # was redis://u:p@host", "any: text # was redis://***@host"),
            ("any: [unix:///run?pass=x]", "any: [unix:///run?***]"),
            ("any: redis://${HOST:?where}", "any: redis://${HOST:?where}"),
            ("token: {hunter2: x}", "token: {hunter2: x}"),
            ("admin: {token: {hunter2: x}}", "admin: {token: ***}"),
            ("caches: {reset_token: {key: \"a:{b}\"}}", "caches: {reset_token: {key: \"a:{b}\"}}"),
        ];
        for (text, expected) in cases {
            let root = yaml::parse(text, 0).root.expect(text);
            assert_eq!(masked(text, &of_tree(&root, &["admin"], text)).trim_end(), expected);
        }
    }

    #[test]
    fn a_file_that_does_not_parse_hides_what_follows_a_secret_key() {
        let cases = [
            ("a: [\npassword: hunter2", "a: [\npassword: ***"),
            ("{ x: 1, token: \"abc\", y", "{ x: 1, token: ***"),
            ("- password: |\n    hunter2\n   x\nb: c", "- password: ***\n***\n***\nb: c"),
            ("key: a\nurl: redis://u:p@h", "key: a\nurl: redis://***@h"),
        ];
        for (text, expected) in cases {
            assert_eq!(masked(text, &of_broken(text)), expected);
        }
    }
}
