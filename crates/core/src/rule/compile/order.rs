//! Orders caches so that each stands behind those it depends on, and reports circles.

use quash_config::Problem;

use super::{Compiler, cache_path};

impl<'a> Compiler<'a> {
    /// The caches, each behind those it depends on; what stands in a cycle is reported and comes last.
    pub(super) fn order(&mut self) -> Vec<&'a str> {
        let caches = self.declared.caches;
        let mut order: Vec<&'a str> = Vec::new();
        let mut waiting: Vec<&'a str> = caches.keys().map(String::as_str).collect();
        self.check_cache_names();
        loop {
            let ready = |name: &&str| {
                let on = caches[*name].depends_on.iter().filter_map(|dependency| dependency.cache.as_deref());
                on.filter(|on| caches.contains_key(*on)).all(|on| order.contains(&on))
            };
            let (now, later): (Vec<_>, Vec<_>) = waiting.into_iter().partition(ready);
            waiting = later;
            if now.is_empty() {
                break;
            }
            order.extend(now);
        }
        if let Some(first) = waiting.first() {
            self.report_cycle(first, &waiting);
        }
        order.extend(waiting);
        order
    }

    fn check_cache_names(&mut self) {
        for (name, config) in self.declared.caches {
            for (index, dependency) in config.depends_on.iter().enumerate() {
                if let Some(on) = dependency.cache.as_ref().filter(|on| !self.declared.caches.contains_key(*on)) {
                    let path = cache_path(name).key("depends_on").index(index).key("cache");
                    let known = self.declared.caches.keys().map(String::as_str);
                    self.problems
                        .push(Problem::error(path, format!("no cache is called `{on}`")).did_you_mean(on, known));
                }
            }
        }
    }

    /// Walks along the dependencies within what could not be ordered until a name repeats.
    fn report_cycle(&mut self, first: &str, waiting: &[&'a str]) {
        let next = |name: &str| {
            let config = &self.declared.caches[name];
            let on = config.depends_on.iter().enumerate();
            on.filter_map(|(index, dependency)| Some((index, dependency.cache.as_deref()?)))
                .find(|(_, on)| waiting.contains(on))
        };
        let mut walk: Vec<(&str, usize)> = Vec::new();
        let mut name = first;
        while let (None, Some((index, on))) = (walk.iter().position(|(seen, _)| *seen == name), next(name)) {
            walk.push((name, index));
            name = on;
        }
        let start = walk.iter().position(|(seen, _)| *seen == name).unwrap_or_default();
        let Some((from, index)) = walk.get(start).copied() else { return };
        let names: Vec<&str> = walk[start..].iter().map(|(name, _)| *name).chain([name]).collect();
        let path = cache_path(from).key("depends_on").index(index).key("cache");
        self.problems.push(
            Problem::error(path, format!("caches depend on each other in a circle: {}", names.join(" → ")))
                .help("take one of these dependencies out, or depend on the rows instead"),
        );
    }
}
