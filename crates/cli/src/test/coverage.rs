//! Names the dependencies that no case exercises.

use std::collections::BTreeSet;

use quash_core::resolve::Resolver;
use serde::Serialize;

use super::case::{Exercised, Ran};
use crate::output::{Paint, escape_for_terminal};
use crate::screen::count;

/// How much of the rules the cases exercise.
#[derive(Debug, Serialize)]
pub(crate) struct Coverage {
    /// How many dependencies are declared.
    declared: usize,
    /// Those that made no cache stale in any case.
    unexercised: Vec<Unexercised>,
}

#[derive(Debug, Serialize)]
struct Unexercised {
    cache: String,
    /// Its index in the cache's `depends_on`, from 0.
    #[serde(rename = "place")]
    index: usize,
    on: String,
}

impl Coverage {
    /// What the cases exercise of the rules. A dependency is exercised when it made its cache stale.
    pub(crate) fn of(resolver: &Resolver, ran: &[Ran]) -> Self {
        let declared = resolver.reaches().into_iter().map(|reach| (reach.cache, reach.index, reach.on)).collect();
        Self::compare(declared, ran)
    }

    fn compare(declared: BTreeSet<(String, usize, String)>, ran: &[Ran]) -> Self {
        let exercised: Vec<&Exercised> = ran.iter().flat_map(|ran| &ran.exercised).collect();
        let is = |known: &Exercised, (cache, index, on): &(String, usize, String)| {
            known.cache == *cache && known.on == *on && known.index.is_none_or(|known| known == *index)
        };
        let missing = declared.iter().filter(|dependency| !exercised.iter().any(|known| is(known, dependency)));
        let unexercised = missing
            .map(|(cache, index, on)| Unexercised { cache: cache.clone(), index: *index, on: on.clone() })
            .collect();
        Self { declared: declared.len(), unexercised }
    }

    /// How many dependencies no case exercises.
    #[cfg(test)]
    pub(crate) const fn missing(&self) -> usize {
        self.unexercised.len()
    }

    pub(crate) fn text(&self, paint: Paint) -> String {
        let done = self.declared - self.unexercised.len();
        let mut out = format!("coverage: {done} of {} exercised\n", count(self.declared, "dependency"));
        for Unexercised { cache, index, on } in &self.unexercised {
            let line = format!("caches.{cache}.depends_on[{index}]: {on}");
            out += &format!("  {} {}\n", paint.yellow("!"), escape_for_terminal(&line));
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dependencies_that_no_case_exercises_are_named() {
        let declared = [("page", 0, "row shop.Book"), ("page", 1, "cache product"), ("page", 2, "row shop.Book")];
        let declared = declared.map(|(cache, index, on)| (cache.to_owned(), index, on.to_owned())).into();
        let on = |on: &str, index| Exercised { cache: "page".to_owned(), on: on.to_owned(), index };
        let exercised = vec![on("row shop.Book", Some(0)), on("cache product", None)];
        let ran = Ran { name: String::new(), file: None, line: None, passed: true, differences: Vec::new(), exercised };
        let text = Coverage::compare(declared, &[ran]).text(Paint(false));
        assert_eq!(text, "coverage: 2 of 3 dependencies exercised\n  ! caches.page.depends_on[2]: row shop.Book\n");
    }
}
