//! Names the entities in events that no cache depends on, and which declared ones they may be slips of.

use std::collections::BTreeSet;

use quash_config::nearest;

use crate::resolver::Resolver;

/// Names kept at most. Publishers choose them: somebody could send a new one with every event.
const NAMES_MAX: usize = 100;
/// Characters kept of a name; longer ones are no names.
const NAME_MAX: usize = 200;

/// Names of entities that no cache depends on; so many at most.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Undeclared(BTreeSet<Box<str>>);

impl Undeclared {
    /// Adds a name, and says whether it is a new one that there was room for.
    pub fn add(&mut self, entity: &str) -> bool {
        let name = entity.char_indices().nth(NAME_MAX).map_or(entity, |(end, _)| &entity[..end]);
        self.0.len() < NAMES_MAX && !self.0.contains(name) && self.0.insert(name.into())
    }

    /// The names, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(AsRef::as_ref)
    }
}

impl Resolver {
    /// Whether some cache depends on rows or relations of this entity.
    #[must_use]
    pub fn is_declared(&self, entity: &str) -> bool {
        self.rules.is_declared(entity)
    }

    /// The declared entity that an undeclared name is near enough to be a slip of.
    #[must_use]
    pub fn meant_by(&self, entity: &str) -> Option<&str> {
        nearest(entity, self.rules.entities())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_name_is_kept_once_and_there_is_a_bound() {
        let mut undeclared = Undeclared::default();
        assert!(undeclared.add("shop.Prodct"));
        assert!(!undeclared.add("shop.Prodct"));
        assert!(undeclared.add(&"ü".repeat(NAME_MAX + 1)));
        assert!(!undeclared.add(&"ü".repeat(NAME_MAX + 2)), "what was cut off is no difference");
        let taken = (0..2 * NAMES_MAX).filter(|number| undeclared.add(&number.to_string())).count();
        assert_eq!((taken, undeclared.names().count()), (NAMES_MAX - 2, NAMES_MAX));
    }
}
