//! Gathers which columns of the rows a dependency reads, so that publishers can be told what to send.

use std::collections::BTreeSet;

use super::condition::Condition;
use super::dependency::{Dependency, Origin};

/// The columns that a dependency's `map` and `when` read, as paths such as `author.country_id`; of a relation with its end,
/// as `to.slug`. Those of `changed` are not among them: no image has to carry them.
pub(crate) fn columns(dependency: &Dependency) -> BTreeSet<String> {
    let mapped = dependency.maps.iter().flatten().filter_map(|origin| match origin {
        Origin::Path(path) => Some(path.join(".")),
        Origin::Any | Origin::Constant(_) | Origin::Around(_) => None,
    });
    let paths = dependency.when.as_ref().map(Condition::selected).unwrap_or_default();
    let tested = paths.iter().filter_map(|path| match path.split_first()? {
        (_, []) => None,
        (image, column) if image == "before" || image == "after" => Some(column.join(".")),
        (end, _) if end == "from" || end == "to" => Some(path.join(".")),
        _ => None,
    });
    mapped.chain(tested).collect()
}
