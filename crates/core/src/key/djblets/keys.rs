//! Removes the keys of one call on every site: exact ones with their chunks, a search, or a generation's next number.

use super::recipe::Recipe;
use super::shape::{Gap, Shape};
use crate::action::Write;
use crate::key::{ArgSet, Args, KeyError, KeySet, Reach, ReachBy, Remover, Scheme};

/// The keys of one call of `cache_memoize`, or of one `GenerationSynchronizer`.
#[derive(Debug)]
pub(super) struct Djblets {
    pub(super) args: Args,
    pub(super) names: Vec<String>,
    /// What stands before every key, for each site.
    pub(super) sites: Vec<String>,
    pub(super) shape: Shape,
    pub(super) recipes: Vec<Recipe>,
    pub(super) chunks: usize,
    pub(super) is_generation: bool,
}

/// What removes a key set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// That many keys.
    Keys(usize),
    /// A search on every site, where this is not known.
    Search(Gap),
    Nothing,
}

impl Djblets {
    fn way(&self, exact: ArgSet, max_keys: usize) -> Way {
        let each = self.spellings() * (1 + self.chunks);
        let count = self.args.count(self.args.all().difference(exact)).and_then(|count| count.checked_mul(each));
        // What has nothing to enumerate stays as it is, also where nothing may be enumerated any more.
        if let Some(count) = count.filter(|count| *count <= max_keys.max(each)) {
            return Way::Keys(count);
        }
        let is_text = !self.recipes.iter().any(|recipe| matches!(recipe, Recipe::Encrypted(_)));
        match self.shape.gap(exact) {
            Some(gap) if is_text && !self.is_generation => Way::Search(gap),
            _ => Way::Nothing,
        }
    }

    /// How many keys stand for one.
    fn spellings(&self) -> usize {
        self.sites.len() * self.recipes.len()
    }

    fn actions_of(&self, way: Way) -> usize {
        match way {
            Way::Keys(count) => count,
            Way::Search(gap) => self.spellings() * gap.actions(),
            Way::Nothing => 0,
        }
    }

    /// The key of every site and recipe, given what stands behind a site's prefix.
    fn each_key(&self, key: &str, mut each: impl FnMut(&str) -> Result<(), KeyError>) -> Result<(), KeyError> {
        self.sites.iter().try_for_each(|site| {
            let full = format!("{site}{key}");
            self.recipes.iter().try_for_each(|recipe| each(&recipe.key(&full)))
        })
    }

    fn search(&self, key_set: &KeySet<'_>, remover: &mut dyn Remover) -> Result<(), KeyError> {
        let texts = self.shape.texts(&self.args.filled(key_set), key_set.exact())?;
        for site in &self.sites {
            for recipe in &self.recipes {
                recipe.search(site, &texts, remover)?;
            }
        }
        Ok(())
    }

    fn shown(&self, exact: ArgSet) -> String {
        let is_encrypted = self.recipes.iter().any(|recipe| matches!(recipe, Recipe::Encrypted(_)));
        let begin = if is_encrypted { "HMAC of " } else { "" };
        let key = self.shape.shown(&self.names, exact);
        let all: Vec<_> = self.sites.iter().map(|site| format!("{begin}{site}{key}")).collect();
        all.join(", ")
    }

    fn why_nothing(&self, exact: ArgSet) -> String {
        let names: Vec<_> = self.args.all().difference(exact).iter().map(|arg| self.args.name(arg)).collect();
        let why = match self.is_generation {
            true => "a generation is one number, and nobody knows how many there are",
            false => "encrypted keys cannot be searched",
        };
        format!("{why}: give `map` or `values` for {}", names.join(", "))
    }
}

impl Scheme for Djblets {
    fn args(&self) -> &[String] {
        &self.names
    }

    fn reach(&self, exact: ArgSet, max_keys: usize) -> Reach {
        match self.way(exact, max_keys) {
            Way::Keys(count) if self.is_generation => {
                Reach { actions: count, ..Reach::one(ReachBy::Tag, self.shown(self.args.all()), false) }
            }
            Way::Keys(count) => Reach::keys(self.shown(self.args.all()), count),
            Way::Search(gap) => {
                let by = match gap {
                    Gap::End { .. } if exact.is_empty() => ReachBy::WholeCache,
                    Gap::End { .. } => ReachBy::Prefix,
                    Gap::Within => ReachBy::Pattern,
                };
                let rounds_up = gap == Gap::End { is_open: true };
                let reach = Reach::one(by, self.shown(exact), rounds_up);
                Reach { actions: self.spellings() * gap.actions(), ..reach }
                    .advising("map every argument, or give `values` for those with few")
            }
            Way::Nothing => Reach::nothing(self.shown(self.args.all()), self.why_nothing(exact)),
        }
    }

    fn actions(&self, exact: ArgSet, max_keys: usize) -> usize {
        self.actions_of(self.way(exact, max_keys))
    }

    fn remove(
        &self,
        key_set: &KeySet<'_>,
        max_keys: usize,
        buffer: &mut String,
        remover: &mut dyn Remover,
    ) -> Result<(), KeyError> {
        let exact = key_set.exact();
        match self.way(exact, max_keys) {
            Way::Keys(_) => self.args.each(key_set, self.args.all().difference(exact), |filled| {
                self.shape.key(filled, buffer)?;
                if self.is_generation {
                    return self.each_key(buffer, |key| remover.set(key, Write::RENEW));
                }
                self.each_key(buffer, |key| remover.delete(key))?;
                // A chunk has a key like any other, with its number behind it.
                (0..self.chunks)
                    .try_for_each(|chunk| self.each_key(&format!("{buffer}-{chunk}"), |key| remover.delete(key)))
            }),
            Way::Search(_) => self.search(key_set, remover),
            Way::Nothing => Err(KeyError::OutOfReach(self.why_nothing(exact))),
        }
    }

    fn remove_all(&self, remover: &mut dyn Remover) {
        /// More are seldom cheaper than to let them expire.
        const KEYS_MAX: usize = 10_000;
        let all = KeySet::all(self.args.len());
        // Where they cannot be computed, nothing from outside removes them.
        drop(self.remove(&all, KEYS_MAX, &mut String::new(), remover));
    }
}
