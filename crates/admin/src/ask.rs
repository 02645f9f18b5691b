//! Reads which letters are to be replayed or discarded, and refuses what does not say so.

use std::collections::HashSet;

use quash_transport::LetterId;
use quash_worker::dead_letter::replay::{REPLAYS_MAX, Rate};
use quash_worker::dead_letter::select::Choice;
use serde::{Deserialize, Serialize};

use crate::params::{Params, read_filter};
use crate::refusal::Refusal;

/// Letters that may be discarded without typing how many they are.
pub(crate) const UNCONFIRMED_MAX: u64 = 100;

/// What somebody asks to be done with letters.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Ask {
    /// The source; the only one there is when left out.
    pub(crate) source: Option<String>,
    /// These letters.
    pub(crate) ids: Vec<String>,
    /// Of them, those that the filter means.
    pub(crate) filter: String,
    /// Every letter there is; needed where neither ids nor a filter say which.
    pub(crate) all: bool,
    /// Of them, so many at most, the oldest first; 0 is all.
    pub(crate) limit: usize,
    /// Also letters that came back after several replays.
    pub(crate) force: bool,
    /// So many in a time, as `100/s`.
    pub(crate) rate: Option<String>,
    /// Only say what would be done.
    pub(crate) dry_run: bool,
    /// How many letters the set has to have; needed to discard many.
    pub(crate) confirm: Option<u64>,
}

/// The parameters that forms send.
pub(crate) const NAMES: [&str; 9] = ["source", "id", "filter", "all", "limit", "force", "rate", "dry_run", "confirm"];

impl Ask {
    /// Reads a form or a query.
    pub(crate) fn of(params: &Params) -> Result<Self, Refusal> {
        params.only(&NAMES)?;
        let text = |name: &str| params.get(name).map(str::to_owned);
        let typed = text("confirm").map(|number| number.replace([',', ' '], "").parse());
        let typed = typed.transpose().map_err(|_| Refusal::wrong("type the number of letters"))?;
        Ok(Self {
            source: text("source"),
            ids: params.all("id"),
            filter: text("filter").unwrap_or_default(),
            all: params.is_set("all"),
            limit: params.number("limit")?.unwrap_or(0),
            force: params.is_set("force"),
            rate: text("rate"),
            dry_run: params.is_set("dry_run"),
            confirm: typed,
        })
    }

    /// Which letters are meant, of those that are there when it begins.
    pub(crate) fn choice(&self, replays: bool) -> Result<Choice, Refusal> {
        let filter = read_filter(&self.filter)?;
        let ids = (!self.ids.is_empty()).then(|| self.ids.iter().cloned().map(LetterId).collect::<HashSet<_>>());
        if ids.is_none() && filter.is_empty() && !self.all && self.limit == 0 {
            return Err(Refusal::wrong("say which letters: ids, a filter, a limit, or all"));
        }
        let replays_below = (replays && !self.force).then_some(REPLAYS_MAX);
        Ok(Choice { ids, filter, replays_below, limit: (self.limit > 0).then_some(self.limit) })
    }

    pub(crate) fn rate(&self) -> Result<Option<Rate>, Refusal> {
        self.rate.as_deref().map(|rate| rate.parse().map_err(Refusal::wrong)).transpose()
    }

    /// In words, for logs.
    pub(crate) fn about(&self, source: &str) -> String {
        let which = match (self.ids.as_slice(), self.filter.as_str()) {
            ([], "") => "all".to_owned(),
            ([], filter) => format!("filter {filter}"),
            (ids, "") => format!("{} by id", ids.len()),
            (ids, filter) => format!("{} by id, filter {filter}", ids.len()),
        };
        let dry_run = if self.dry_run { ", dry run" } else { "" };
        format!("source {source}, letters: {which}{dry_run}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_meant_has_to_be_said() {
        let choice = |query: &str| Ask::of(&Params::read(query.as_bytes())).and_then(|ask| ask.choice(true));
        for wrong in ["", "source=a", "filter=", "filter=x:y", "al=1", "confirm=many", "limit=-1"] {
            assert_eq!(choice(wrong).unwrap_err().status, 400, "{wrong}");
        }
        assert_eq!(choice("all=1").unwrap(), Choice { replays_below: Some(REPLAYS_MAX), ..Choice::default() });
        let chosen = choice("id=1&id=2&filter=reason:rule&force=1&limit=7").unwrap();
        assert_eq!((chosen.ids.map(|ids| ids.len()), chosen.replays_below, chosen.limit), (Some(2), None, Some(7)));
        assert_eq!(Ask::of(&Params::read(b"all=1&confirm=1,234")).unwrap().confirm, Some(1234));
    }
}
