//! Maps the arguments of a cache from the two ends of a relation.

use smallvec::SmallVec;

use super::dependency::{Dependency, Mapper, Measured, Origin, Stale};
use crate::event::{Event, Relation, Row};

impl Dependency {
    /// One key set per row at the other end; none of them is known when a relation is cleared.
    pub(super) fn map_relation<'e>(
        &'e self,
        mapper: &Mapper<'e>,
        event: &'e Event<'e>,
        relation: &'e Relation<'e>,
        stale: &mut Stale<'e>,
    ) -> Result<(), String> {
        let owner = |origin: &'e Origin| match origin {
            Origin::Path(path) => match path.split_first()? {
                (end, path) if end == "from" => relation.from.at(path).or_else(|| event.key.at(path)),
                _ => None,
            },
            Origin::Any | Origin::Constant(_) | Origin::Around(_) => None,
        };
        // The same for every row at the other end, of which there may be thousands.
        let from: SmallVec<[Option<Measured<'e>>; 4]> =
            mapper.map.iter().map(|origin| owner(origin).map(Measured::of)).collect();
        let at = |arg: usize, path: &'e [String], to: Option<&'e Row<'e>>| match path.split_first()? {
            (end, _) if end == "from" => from[arg],
            (_, path) => to?.at(path).map(Measured::of),
        };
        if relation.to.is_empty() {
            return self.map_one(mapper, false, stale, |arg, path| at(arg, path, None));
        }
        let mut map_to = |to| self.map_one(mapper, false, stale, |arg, path| at(arg, path, Some(to)));
        relation.to.iter().try_for_each(&mut map_to)
    }
}
