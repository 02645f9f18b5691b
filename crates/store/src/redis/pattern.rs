//! Tells which of many prefixes a key begins with, and writes the narrowest SCAN pattern that covers all of them.
//!
//! The pattern only saves work: the server's answer is always compared byte for byte. Removing by what a pattern
//! matches would make a mistake in its escaping a data loss.

use std::borrow::Cow;

/// How many bytes of the prefixes go into the pattern; what follows is told apart by [`Prefixes::owner`].
const PATTERN_BYTES_MAX: usize = 256;

/// With more different bytes at one place, a class costs the server more than it saves.
const CLASS_MAX: usize = 16;

/// A set of prefixes, as an ordered list of those that no other of the set covers.
///
/// Of such a list at most one member is a prefix of a given key, and it is the greatest that is not above the key: one
/// binary search finds it, however many prefixes there are.
pub(super) struct Prefixes<'a> {
    roots: Vec<Root<'a>>,
}

/// A prefix that no other covers, with those that it covers and itself.
struct Root<'a> {
    text: Cow<'a, [u8]>,
    members: Vec<(usize, Cow<'a, [u8]>)>,
}

impl<'a> Prefixes<'a> {
    /// Orders prefixes, each with the number that it answers to. Empty ones are left out: they would mean everything.
    pub(super) fn new(prefixes: impl IntoIterator<Item = (usize, &'a str)>) -> Self {
        Self::of_bytes(prefixes.into_iter().map(|(owner, text)| (owner, Cow::Borrowed(text.as_bytes()))))
    }

    /// The same for bytes of any origin.
    pub(super) fn of_bytes(prefixes: impl IntoIterator<Item = (usize, Cow<'a, [u8]>)>) -> Self {
        let mut sorted: Vec<_> = prefixes.into_iter().map(|(owner, text)| (text, owner)).collect();
        sorted.retain(|(text, _)| !text.is_empty());
        sorted.sort();
        let mut roots: Vec<Root<'a>> = Vec::new();
        for (text, owner) in sorted {
            match roots.last_mut() {
                Some(root) if text.starts_with(&root.text) => root.members.push((owner, text)),
                _ => roots.push(Root { text: text.clone(), members: vec![(owner, text)] }),
            }
        }
        Self { roots }
    }

    /// Whether there is nothing to look for.
    pub(super) fn is_empty(&self) -> bool {
        self.roots.is_empty()
    }

    /// The number of the shortest prefix that the key begins with.
    pub(super) fn owner(&self, key: &[u8]) -> Option<usize> {
        self.root(key).map(|root| root.members[0].0)
    }

    /// The numbers of all prefixes that the key begins with.
    pub(super) fn owners<'s>(&'s self, key: &'s [u8]) -> impl Iterator<Item = usize> + 's {
        let members = self.root(key).map_or(&[][..], |root| &root.members);
        members.iter().filter(|(_, text)| key.starts_with(text.as_ref())).map(|(owner, _)| *owner)
    }

    /// A glob pattern that every key with one of the prefixes matches, and few others: for each place, the bytes that
    /// any of the prefixes has there.
    pub(super) fn pattern(&self) -> Vec<u8> {
        let length = self.roots.iter().map(|root| root.text.len()).min().unwrap_or(0).min(PATTERN_BYTES_MAX);
        let mut pattern = Vec::with_capacity(length + 1);
        for index in 0..length {
            self.write_place(index, &mut pattern);
        }
        pattern.push(b'*');
        pattern
    }

    fn write_place(&self, index: usize, pattern: &mut Vec<u8>) {
        let mut bytes: Vec<u8> = self.roots.iter().map(|root| root.text[index]).collect();
        bytes.sort_unstable();
        bytes.dedup();
        match bytes.as_slice() {
            [byte] => escape(*byte, pattern),
            many if many.len() > CLASS_MAX => pattern.push(b'?'),
            many => {
                pattern.push(b'[');
                // Always escaped: neither `^` in front, nor `-` between, nor `]` can then mean anything.
                many.iter().for_each(|byte| pattern.extend([b'\\', *byte]));
                pattern.push(b']');
            }
        }
    }

    fn root(&self, key: &[u8]) -> Option<&Root<'a>> {
        let above = self.roots.partition_point(|root| root.text.as_ref() <= key);
        self.roots[..above].last().filter(|root| key.starts_with(&root.text))
    }
}

/// Writes a byte so that the glob takes it literally.
fn escape(byte: u8, pattern: &mut Vec<u8>) {
    if matches!(byte, b'*' | b'?' | b'[' | b']' | b'\\' | b'^' | b'-') {
        pattern.push(b'\\');
    }
    pattern.push(byte);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// `stringmatchlen` of the server's `util.c`, line by line, without the case folding.
    fn glob(mut p: &[u8], mut s: &[u8]) -> bool {
        while !p.is_empty() && !s.is_empty() {
            match p[0] {
                b'*' => {
                    while p.len() >= 2 && p[1] == b'*' {
                        p = &p[1..];
                    }
                    if p.len() == 1 {
                        return true;
                    }
                    while !s.is_empty() {
                        if glob(&p[1..], s) {
                            return true;
                        }
                        s = &s[1..];
                    }
                    return false;
                }
                b'?' => s = &s[1..],
                b'[' => {
                    p = &p[1..];
                    let not = !p.is_empty() && p[0] == b'^';
                    if not {
                        p = &p[1..];
                    }
                    let mut found = false;
                    loop {
                        if p.len() >= 2 && p[0] == b'\\' {
                            p = &p[1..];
                            found |= p[0] == s[0];
                        } else if p.is_empty() || p[0] == b']' {
                            break;
                        } else if p.len() >= 3 && p[1] == b'-' {
                            let (low, high) = (p[0].min(p[2]), p[0].max(p[2]));
                            p = &p[2..];
                            found |= (low..=high).contains(&s[0]);
                        } else {
                            found |= p[0] == s[0];
                        }
                        p = &p[1..];
                    }
                    if found == not {
                        return false;
                    }
                    s = &s[1..];
                }
                _ => {
                    if p[0] == b'\\' && p.len() >= 2 {
                        p = &p[1..];
                    }
                    if p[0] != s[0] {
                        return false;
                    }
                    s = &s[1..];
                }
            }
            p = p.get(1..).unwrap_or_default();
            if s.is_empty() {
                while p.first() == Some(&b'*') {
                    p = &p[1..];
                }
                break;
            }
        }
        p.is_empty() && s.is_empty()
    }

    fn prefixes<'a>(texts: &'a [impl AsRef<str>]) -> Prefixes<'a> {
        Prefixes::new(texts.iter().map(AsRef::as_ref).enumerate())
    }

    #[test]
    fn a_pattern_takes_every_byte_of_one_prefix_literally() {
        let cases = [("app:", "app:*"), ("a*b?c[d]e\\f^g-h", "a\\*b\\?c\\[d\\]e\\\\f\\^g\\-h*"), ("a\n\0é", "a\n\0é*")];
        for (prefix, pattern) in cases {
            assert_eq!(prefixes(&[prefix]).pattern(), pattern.as_bytes(), "{prefix:?}");
        }
    }

    #[test]
    fn a_pattern_names_the_bytes_that_several_prefixes_have_at_a_place() {
        let cases: [(&[&str], &str); 5] = [
            (&["user:1:", "user:7:", "user:12:"], "user:[\\1\\7][\\2\\:]*"),
            (&["a", "bcd"], "[\\a\\b]*"),
            (&["a:", "a:b"], "a:*"),
            (&["]x", "^x", "-x"], "[\\-\\]\\^]x*"),
            (&[], "*"),
        ];
        for (texts, pattern) in cases {
            assert_eq!(String::from_utf8(prefixes(texts).pattern()).unwrap(), pattern);
        }
        let many: Vec<String> = ('a'..='z').map(|letter| format!("x{letter}")).collect();
        assert_eq!(prefixes(&many).pattern(), b"x?*");
    }

    #[test]
    fn the_owner_of_a_key_is_the_shortest_prefix_that_it_begins_with() {
        let set = prefixes(&["a:", "a:b:", "ab:x", "b", "a:"]);
        let cases = [("a:1", vec![0, 4]), ("a:b:1", vec![0, 4, 1]), ("ab:y", vec![]), ("b", vec![3]), ("", vec![])];
        for (key, owners) in cases {
            assert_eq!(set.owners(key.as_bytes()).collect::<Vec<_>>(), owners, "{key:?}");
            assert_eq!(set.owner(key.as_bytes()), owners.first().copied(), "{key:?}");
        }
    }

    #[test]
    fn an_empty_prefix_covers_nothing() {
        assert!(prefixes(&[""]).is_empty());
        assert_eq!(prefixes(&["", "a"]).owner(b"b"), None);
    }

    fn text() -> impl Strategy<Value = String> {
        prop_oneof![".{0,8}", "[ab*?\\[\\]\\\\^\\-\n\0é]{0,6}"]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn the_pattern_of_one_prefix_matches_what_begins_with_it_and_nothing_else(prefix in text(), key in text()) {
            prop_assume!(!prefix.is_empty());
            let pattern = prefixes(std::slice::from_ref(&prefix)).pattern();
            let longer = format!("{prefix}{key}");
            prop_assert!(glob(&pattern, longer.as_bytes()));
            prop_assert_eq!(glob(&pattern, key.as_bytes()), key.starts_with(&prefix));
        }

        #[test]
        fn the_pattern_of_several_prefixes_loses_no_key(texts in prop::collection::vec(text(), 1..6), key in text()) {
            let set = prefixes(&texts);
            for prefix in texts.iter().filter(|prefix| !prefix.is_empty()) {
                let longer = format!("{prefix}{key}");
                prop_assert!(glob(&set.pattern(), longer.as_bytes()));
                prop_assert!(set.owner(longer.as_bytes()).is_some());
            }
            let expected = texts.iter().any(|prefix| !prefix.is_empty() && key.starts_with(prefix));
            prop_assert_eq!(set.owner(key.as_bytes()).is_some(), expected);
        }
    }
}
