//! Shows what every dependency compiled to, and what that costs on the target.

use std::collections::BTreeMap;

use quash_core::explain::DependencyReach;
use quash_core::guarantee::Guarantee;
use quash_core::key::{Reach, ReachBy};

use crate::CliError;
use crate::output::Screen;
use crate::screen::count;
use crate::table::Table;

/// One line per dependency, in the order of the caches; a cache is named once.
///
/// # Errors
/// Never; writing to memory cannot fail.
pub(super) fn table(reaches: &[DependencyReach], screen: Screen) -> Result<String, CliError> {
    let mut table = Table::new(&["CACHE", "DEPENDS ON", "REMOVES BY", "TEMPLATE", "COST"]);
    let mut last = None;
    for reach in reaches {
        let cache = if last == Some(&reach.cache) { "" } else { reach.cache.as_str() };
        last = Some(&reach.cache);
        table.row([cache, &reach.on, &removes_by(&reach.reach), &reach.reach.template, &cost(reach)]);
    }
    let mut out = Vec::new();
    table.write(&mut out, screen)?;
    Ok(String::from_utf8_lossy(&out).into_owned())
}

/// What every cache promises once a change is applied.
///
/// # Errors
/// Never; writing to memory cannot fail.
pub(super) fn guarantees(guarantees: &BTreeMap<&str, Guarantee>, screen: Screen) -> Result<String, CliError> {
    let mut table = Table::new(&["CACHE", "GUARANTEE"]);
    for (cache, guarantee) in guarantees {
        table.row([*cache, &guarantee.to_string()]);
    }
    let mut out = Vec::new();
    table.write(&mut out, screen)?;
    Ok(String::from_utf8_lossy(&out).into_owned())
}

fn removes_by(reach: &Reach) -> String {
    let by = match reach.by {
        ReachBy::Keys => count(reach.actions, "key"),
        ReachBy::Tag => "tag".to_owned(),
        ReachBy::Prefix => "prefix".to_owned(),
        ReachBy::Pattern => "pattern".to_owned(),
        ReachBy::WholeCache => "whole cache".to_owned(),
        ReachBy::Nothing => "nothing".to_owned(),
    };
    if reach.rounds_up { format!("{by}, and more than asked") } else { by }
}

fn cost(reach: &DependencyReach) -> String {
    match reach.reach.by {
        ReachBy::Keys if reach.reach.actions == 1 => "one command".to_owned(),
        ReachBy::Keys => count(reach.reach.actions, "command"),
        _ => reach.cost.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reach(cache: &str, on: &str, by: ReachBy, template: &str, actions: usize, rounds_up: bool) -> DependencyReach {
        let reach = Reach { by, template: template.to_owned(), actions, rounds_up, advice: None };
        DependencyReach { cache: cache.to_owned(), index: 0, on: on.to_owned(), cost: by.cost(), reach }
    }

    #[test]
    fn every_cache_says_what_it_promises() {
        let exact = Guarantee::Exact { stale: None };
        let expect = "CACHE    GUARANTEE\ncatalog  none: TTL alone\nproduct  exact\n";
        let all = [("catalog", Guarantee::None), ("product", exact)].into();
        assert_eq!(guarantees(&all, Screen::PLAIN).unwrap(), expect);
    }

    #[test]
    fn every_dependency_says_what_removes_its_entries() {
        let reaches = [
            reach("catalog", "row shop.Book", ReachBy::Tag, "author:{author_id}", 1, false),
            reach("catalog", "cache product", ReachBy::WholeCache, "catalog:*", 1, true),
            reach("product", "row shop.Product", ReachBy::Keys, "product:{id}:{lang}", 3, false),
        ];
        let expect = "\
CACHE    DEPENDS ON        REMOVES BY                        TEMPLATE             COST
catalog  row shop.Book     tag                               author:{author_id}   one command
         cache product     whole cache, and more than asked  catalog:*            a pass over all keys of the target, shared by the batch
product  row shop.Product  3 keys                            product:{id}:{lang}  3 commands
";
        assert_eq!(table(&reaches, Screen::PLAIN).unwrap(), expect);
    }
}
