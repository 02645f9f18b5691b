//! Describes by patterns which keys a cache may have written, so that entries can be counted and told apart.

use super::{KeyError, Remover, Scheme};
use crate::action::Write;
use crate::glob::{Glob, GlobBuilder};

/// More patterns than this say less than none: each of them is tried on every key of a pass.
const PATTERNS_MAX: usize = 64;

/// What the logical keys of a cache look like.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Entries {
    /// Every entry matches one of these; empty where that cannot be said.
    pub keys: Vec<Glob>,
    /// The tags and generations beside them.
    pub tags: Vec<Glob>,
    /// Whether other caches of the same library write keys that match as well.
    pub shared: bool,
}

impl Entries {
    /// What can be told of a scheme from how all of its entries are removed.
    #[must_use]
    pub fn of(scheme: &(impl Scheme + ?Sized)) -> Self {
        let mut entries = Self::default();
        scheme.remove_all(&mut entries);
        for patterns in [&mut entries.keys, &mut entries.tags] {
            if patterns.len() > PATTERNS_MAX {
                patterns.clear();
            }
        }
        entries
    }
}

/// The pattern of exactly one key; `None` for an empty one.
#[must_use]
pub fn exactly(key: &str) -> Option<Glob> {
    let mut builder = GlobBuilder::new();
    builder.literal(key);
    builder.build()
}

impl Remover for Entries {
    fn delete(&mut self, key: &str) -> Result<(), KeyError> {
        self.keys.extend(exactly(key));
        Ok(())
    }

    fn delete_prefix(&mut self, prefix: &str) -> Result<(), KeyError> {
        let mut builder = GlobBuilder::new();
        builder.literal(prefix).any();
        self.keys.extend(builder.build());
        Ok(())
    }

    fn delete_pattern(&mut self, pattern: &Glob) -> Result<(), KeyError> {
        self.keys.push(pattern.clone());
        Ok(())
    }

    fn bump(&mut self, tag: &str) -> Result<(), KeyError> {
        self.tags.extend(exactly(tag));
        Ok(())
    }

    fn set(&mut self, key: &str, _: Write) -> Result<(), KeyError> {
        self.tags.extend(exactly(key));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::template::{Template, TemplateScheme};
    use crate::key::{Args, KeySet, Reach};

    fn texts(globs: &[Glob]) -> Vec<&str> {
        globs.iter().map(Glob::text).collect()
    }

    #[test]
    fn a_template_leaves_a_gap_for_each_argument_and_digits_for_a_digest() {
        let mut args = Args::new();
        ["id", "title"].iter().for_each(|name| args.push(name, None, None));
        let names = args.names();
        let template = |text: &str| Template::parse(text, &names).unwrap();
        let scheme = |key: Option<&str>, tags: &[&str]| {
            TemplateScheme::new(args.clone(), key.map(template), tags.iter().map(|tag| template(tag)).collect())
                .entries()
        };
        let entries = scheme(Some("a*:{id}:{title|lower}:x"), &["tag:{id}", "all"]);
        assert_eq!(texts(&entries.keys), ["a\\*:*:*:x"]);
        assert_eq!(texts(&entries.tags), ["tag:*", "all"]);
        assert!(!entries.shared);
        let digest = scheme(Some("a:{title|lower|md5}"), &[]).keys;
        assert_eq!(texts(&digest), [format!("a:{}", "[0-9a-f]".repeat(32))]);
        assert_eq!(scheme(None, &["all"]).keys, []);
    }

    /// Removes everything by as many keys as it has, and a generation.
    #[derive(Debug)]
    struct Counted(usize);

    impl Scheme for Counted {
        fn args(&self) -> &[String] {
            &[]
        }

        fn reach(&self, _: crate::key::ArgSet, _: usize) -> Reach {
            Reach::keys("a", self.0)
        }

        fn actions(&self, _: crate::key::ArgSet, _: usize) -> usize {
            self.0
        }

        fn remove(&self, _: &KeySet<'_>, _: usize, _: &mut String, _: &mut dyn Remover) -> Result<(), KeyError> {
            Ok(())
        }

        fn remove_all(&self, remover: &mut dyn Remover) {
            let keys = (0..self.0).map(|key| format!("a:{key}"));
            let asked = keys.into_iter().try_for_each(|key| remover.delete(&key));
            asked.and_then(|()| remover.delete_prefix("b-")).and_then(|()| remover.bump("gen")).unwrap();
        }
    }

    #[test]
    fn any_scheme_is_told_by_how_all_of_it_is_removed() {
        let entries = Counted(1).entries();
        assert_eq!((texts(&entries.keys), texts(&entries.tags)), (vec!["a:0", "b\\-*"], vec!["gen"]));
        let many = Counted(PATTERNS_MAX).entries();
        assert_eq!((texts(&many.keys), texts(&many.tags)), (vec![], vec!["gen"]));
    }
}
