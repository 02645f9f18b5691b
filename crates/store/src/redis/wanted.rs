//! Tells which of many prefixes and globs want a key, and writes the SCAN pattern that covers all of them.

use std::borrow::Cow;

use super::pattern::Prefixes;
use quash_core::glob::Glob;
use quash_core::glob::Matcher;

/// What one pass over the keys looks for, each with the number that it answers to.
pub(super) struct Wanted<'a> {
    prefixes: Prefixes<'a>,
    globs: Vec<(usize, Matcher)>,
    /// The places of the globs, by the literal bytes that they begin with.
    rooted: Prefixes<'a>,
    /// The places of the globs that begin with hexadecimal digits.
    rootless: Vec<usize>,
    /// The literal beginnings of everything.
    roots: Prefixes<'a>,
    /// The only thing that is looked for, if that is a glob.
    only: Option<&'a Glob>,
}

impl<'a> Wanted<'a> {
    /// Orders what is looked for.
    pub(super) fn new(
        prefixes: impl IntoIterator<Item = (usize, &'a str)>,
        globs: impl IntoIterator<Item = (usize, &'a Glob)>,
    ) -> Self {
        let texts: Vec<(usize, &str)> = prefixes.into_iter().collect();
        let patterns: Vec<(usize, &Glob)> = globs.into_iter().collect();
        let globs: Vec<_> = patterns.iter().map(|(owner, glob)| (*owner, glob.matcher())).collect();
        let root =
            |(index, (_, glob)): (usize, &(usize, Matcher))| (index, Cow::<'a, [u8]>::Owned(glob.root().to_vec()));
        let roots = || globs.iter().enumerate().map(root);
        let begins = texts.iter().map(|(owner, text)| (*owner, Cow::<'a, [u8]>::Borrowed(text.as_bytes())));
        Self {
            prefixes: Prefixes::new(texts.iter().copied()),
            rooted: Prefixes::of_bytes(roots()),
            rootless: roots().filter(|(_, root)| root.is_empty()).map(|(index, _)| index).collect(),
            roots: Prefixes::of_bytes(begins.chain(roots())),
            only: patterns.first().filter(|_| texts.is_empty() && patterns.len() == 1).map(|(_, glob)| *glob),
            globs,
        }
    }

    /// Whether there is nothing to look for.
    pub(super) fn is_empty(&self) -> bool {
        self.prefixes.is_empty() && self.globs.is_empty()
    }

    /// The number of one that wants the key: of the shortest prefix, else of a glob.
    pub(super) fn owner(&self, key: &[u8]) -> Option<usize> {
        self.prefixes.owner(key).or_else(|| self.glob_owners(key).next())
    }

    /// The numbers of all that want the key.
    pub(super) fn owners<'s>(&'s self, key: &'s [u8]) -> impl Iterator<Item = usize> + 's {
        self.prefixes.owners(key).chain(self.glob_owners(key))
    }

    fn glob_owners<'s>(&'s self, key: &'s [u8]) -> impl Iterator<Item = usize> + 's {
        let indices = self.rooted.owners(key).chain(self.rootless.iter().copied());
        indices.map(|index| &self.globs[index]).filter(|(_, glob)| glob.matches(key)).map(|(owner, _)| *owner)
    }

    /// A glob pattern that every wanted key matches, and few others.
    ///
    /// A glob goes to the server as it is only if it is alone and has no gap but one and a last one: with more of them a
    /// server may take exponential time for keys that somebody chose.
    pub(super) fn pattern(&self) -> Vec<u8> {
        match self.only {
            Some(glob) if glob.matcher().inner_gaps() <= 1 => glob.text().as_bytes().to_vec(),
            _ if !self.rootless.is_empty() => b"*".to_vec(),
            _ => self.roots.pattern(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn glob(text: &str) -> Glob {
        Glob::parse(text).unwrap()
    }

    #[test]
    fn prefixes_and_globs_share_a_pass() {
        let globs = [glob("a:*:9"), glob("a:1*"), glob("[0-9a-f][0-9a-f]"), glob("b:x")];
        let wanted = Wanted::new([(0, "b:"), (1, "a:2:")], (2..).zip(&globs));
        let cases: [(&str, &[usize]); 7] = [
            ("a:7:9", &[2]),
            ("a:1:9", &[3, 2]),
            ("a:2:9", &[1, 2]),
            ("b:x", &[0, 5]),
            ("0f", &[4]),
            ("a:7:8", &[]),
            ("", &[]),
        ];
        for (key, owners) in cases {
            let mut found: Vec<_> = wanted.owners(key.as_bytes()).collect();
            let mut expected = owners.to_vec();
            found.sort_unstable();
            expected.sort_unstable();
            assert_eq!(found, expected, "{key}");
            assert_eq!(wanted.owner(key.as_bytes()).is_some(), !owners.is_empty(), "{key}");
        }
        assert_eq!(wanted.pattern(), b"*");
    }

    #[test]
    fn the_server_gets_one_simple_glob_as_it_is_and_beginnings_otherwise() {
        let check = |prefixes: &[&str], globs: &[&str], pattern: &str| {
            let globs: Vec<_> = globs.iter().map(|text| glob(text)).collect();
            let wanted = Wanted::new(prefixes.iter().copied().enumerate(), globs.iter().enumerate());
            assert_eq!(String::from_utf8(wanted.pattern()).unwrap(), pattern, "{prefixes:?} {globs:?}");
        };
        check(&[], &["a:*:9*"], "a:*:9*");
        check(&[], &["a:*:9*:8"], "a:*");
        check(&[], &["a:*:9", "a:x*"], "a:*");
        check(&["b:"], &["a:*:9"], "[\\a\\b]:*");
        check(&[], &["[0-9a-f]"], "[0-9a-f]");
    }
}
