//! Picks a fixed set of letters out of those that are there now.

use std::collections::HashSet;
use std::ops::ControlFlow;

use quash_transport::{DeadLetters, LetterId, TransportError};

use super::Letter;
use super::filter::{Filter, matches};

/// Letters of one page. Letters can be a megabyte each; this keeps a page well below what a worker may use.
pub const PAGE: usize = 128;

/// Which letters are meant.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Choice {
    /// These only; `None` is all.
    pub ids: Option<HashSet<LetterId>>,
    /// Of them, those that the filter means.
    pub filter: Filter,
    /// Of them, those that were replayed fewer times than this; `None` is all.
    pub replays_below: Option<u32>,
    /// Of them, so many at most, the oldest first; `None` is all.
    pub limit: Option<usize>,
}

/// A set of letters that does not change when letters come and go.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Selection {
    /// The letters, oldest first.
    pub chosen: Vec<LetterId>,
    /// Letters that were meant, and left out since they were replayed too often.
    pub circling: Vec<LetterId>,
    /// What was asked for by name and is not there.
    pub missing: Vec<LetterId>,
    /// How many letters were looked at. The chosen ones are among the first so many, now and later: letters join at the
    /// end, and may only leave before it.
    pub looked_at: u64,
}

/// Walks through the letters that are there when it is made, and not through those that come while it walks.
pub struct Pages<'a> {
    letters: &'a dyn DeadLetters,
    after: Option<LetterId>,
    left: u64,
}

impl<'a> Pages<'a> {
    /// Starts at the oldest letter, and ends with the last that is there now.
    ///
    /// # Errors
    /// As [`DeadLetters::len`].
    pub async fn of_now(letters: &'a dyn DeadLetters) -> Result<Self, TransportError> {
        Ok(Self::of_first(letters, letters.len().await?))
    }

    /// Starts at the oldest letter, and ends after so many.
    #[must_use]
    pub const fn of_first(letters: &'a dyn DeadLetters, count: u64) -> Self {
        Self { letters, after: None, left: count }
    }

    /// The next letters; empty at the end.
    ///
    /// # Errors
    /// As [`DeadLetters::scan`].
    pub async fn next(&mut self) -> Result<Vec<Letter>, TransportError> {
        let max = usize::try_from(self.left).unwrap_or(PAGE).min(PAGE);
        if max == 0 {
            return Ok(Vec::new());
        }
        let page = self.letters.scan(self.after.as_ref(), max).await?;
        self.after = page.last().map(|(id, _)| id.clone());
        self.left = if page.is_empty() { 0 } else { self.left.saturating_sub(page.len() as u64) };
        Ok(page.into_iter().map(|(id, message)| Letter::read(id, message)).collect())
    }
}

impl Choice {
    /// Whether this letter is meant, the limit aside.
    #[must_use]
    pub fn means(&self, letter: &Letter, now_ms: i64) -> bool {
        self.ids.as_ref().is_none_or(|ids| ids.contains(&letter.id)) && matches(&self.filter, letter, now_ms)
    }
}

/// Takes the set, and hands every letter of it to `found`, oldest first, until that has seen enough; `looked_at` hears
/// how far it is.
///
/// # Errors
/// When the broker cannot be reached or refuses.
pub async fn select(
    letters: &dyn DeadLetters,
    choice: &Choice,
    now_ms: i64,
    found: &mut (dyn FnMut(Letter) -> ControlFlow<()> + Send),
    looked_at: &mut (dyn FnMut(u64) + Send),
) -> Result<Selection, TransportError> {
    let mut selection = Selection::default();
    let mut missing = choice.ids.clone().unwrap_or_default();
    let mut pages = Pages::of_now(letters).await?;
    while !choice.is_satisfied(&selection, &missing) {
        let page = pages.next().await?;
        if page.is_empty() {
            break;
        }
        for letter in page {
            missing.remove(&letter.id);
            if selection.take(choice, letter, now_ms, found).is_break() {
                return Ok(selection);
            }
        }
        looked_at(selection.looked_at);
    }
    selection.missing = missing.into_iter().collect();
    selection.missing.sort();
    Ok(selection)
}

impl Selection {
    fn take(
        &mut self,
        choice: &Choice,
        letter: Letter,
        now_ms: i64,
        found: &mut (dyn FnMut(Letter) -> ControlFlow<()> + Send),
    ) -> ControlFlow<()> {
        self.looked_at += 1;
        if !choice.means(&letter, now_ms) || self.is_full(choice) {
            return ControlFlow::Continue(());
        }
        if choice.replays_below.is_some_and(|limit| letter.about.replays >= limit) {
            self.circling.push(letter.id);
            return ControlFlow::Continue(());
        }
        self.chosen.push(letter.id.clone());
        found(letter)
    }

    fn is_full(&self, choice: &Choice) -> bool {
        choice.limit.is_some_and(|limit| self.chosen.len() >= limit)
    }
}

impl Choice {
    /// Whether no further letter can be meant.
    fn is_satisfied(&self, selection: &Selection, missing: &HashSet<LetterId>) -> bool {
        match &self.ids {
            Some(_) => missing.is_empty(),
            None => selection.is_full(self),
        }
    }
}

#[cfg(test)]
mod tests {
    use quash_delivery::record::Reason;

    use super::super::testing;
    use super::*;

    fn broker(count: usize) -> testing::Broker {
        let reason = |index| if index % 2 == 0 { Reason::Decode } else { Reason::Rule };
        testing::Broker::with((0..count).map(|index| testing::message(&testing::record(reason(index)), "{}")))
    }

    async fn pick(broker: &testing::Broker, choice: &Choice) -> Selection {
        select(broker, choice, testing::NOW_MS, &mut |_| ControlFlow::Continue(()), &mut |_| ()).await.unwrap()
    }

    fn ids(ids: &[u64]) -> Vec<LetterId> {
        ids.iter().map(|id| LetterId(id.to_string())).collect()
    }

    #[tokio::test]
    async fn a_choice_picks_by_name_filter_and_limit() {
        let decode: Filter = "reason:decode".parse().unwrap();
        let named = |names: &[u64]| Some(ids(names).into_iter().collect());
        let cases = [
            (Choice::default(), vec![1, 2, 3, 4, 5], vec![]),
            (Choice { filter: decode.clone(), ..Choice::default() }, vec![1, 3, 5], vec![]),
            (Choice { filter: decode.clone(), limit: Some(2), ..Choice::default() }, vec![1, 3], vec![]),
            (Choice { limit: Some(0), ..Choice::default() }, vec![], vec![]),
            (Choice { ids: named(&[2, 3, 9]), ..Choice::default() }, vec![2, 3], vec![9]),
            (Choice { ids: named(&[2, 3]), filter: decode, ..Choice::default() }, vec![3], vec![]),
        ];
        let broker = broker(5);
        for (choice, chosen, missing) in cases {
            let selection = pick(&broker, &choice).await;
            assert_eq!((selection.chosen, selection.missing), (ids(&chosen), ids(&missing)), "{choice:?}");
        }
    }

    #[tokio::test]
    async fn letters_that_go_in_circles_are_told_apart_and_do_not_use_up_the_limit() {
        let message = |replays| {
            let mut record = testing::record(Reason::Decode);
            record.replays = replays;
            testing::message(&record, "{}")
        };
        let broker = testing::Broker::with([3, 2, 9, 0, 1].map(message));
        let choice = Choice { replays_below: Some(3), limit: Some(2), ..Choice::default() };
        let selection = pick(&broker, &choice).await;
        assert_eq!((selection.chosen, selection.circling), (ids(&[2, 4]), ids(&[1, 3])));
    }

    #[tokio::test]
    async fn letters_that_come_meanwhile_are_not_walked_through() {
        let broker = broker(300);
        let mut pages = Pages::of_now(&broker).await.unwrap();
        let mut seen = 0;
        loop {
            let page = pages.next().await.unwrap();
            if page.is_empty() {
                break;
            }
            seen += page.len();
            broker.add(testing::message(&testing::record(Reason::Limit), "{}"));
        }
        assert_eq!(seen, 300);
    }
}
