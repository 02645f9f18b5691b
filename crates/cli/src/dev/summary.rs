//! Compares, when everything is handled, what should have happened with what did.

use std::collections::BTreeMap;
use std::time::Duration;

use quash_transport::{Backlog, TransportError};
use serde::Serialize;
use tokio::time::{Instant, sleep};

use super::database::Page;
use super::letters::listed;
use super::shop::{Cached, Shop};
use super::status::ms;
use crate::output::{Paint, thousands};
use crate::screen::count;

/// How long the last messages and later passes may take.
const QUIESCING_MAX: Duration = Duration::from_secs(20);
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// Differing entries that are named.
const NAMED_MAX: usize = 5;

/// How the play ended.
#[derive(Debug, Default, Serialize)]
pub(super) struct Summary {
    seconds: f64,
    published: u64,
    handled: u64,
    entries_removed: u64,
    reads: u64,
    hits: u64,
    /// Reads that showed old data while it ran.
    stale_reads: u64,
    /// Entries that were filled with old data just after their removal.
    refilled_stale: u64,
    staleness_p50_us: u64,
    staleness_p99_us: u64,
    /// Broken messages that were published, by the reason that they must end with.
    broken: BTreeMap<&'static str, u64>,
    /// Dead letters, by the reason in their record.
    dead_letters: BTreeMap<&'static str, u64>,
    /// Entries in the cache at the end.
    entries: u64,
    /// Those that differ from the database.
    differing: Vec<String>,
    /// What is wrong; empty when all is well.
    pub(super) problems: Vec<String>,
}

/// Waits until nothing waits any more, and says what waits nevertheless when the time is over.
pub(super) async fn quiesce(shop: &Shop) -> Result<Backlog, TransportError> {
    let limit = Instant::now() + QUIESCING_MAX;
    loop {
        let backlog = shop.transport.backlog().await?;
        let waiting = backlog.ready + backlog.unsettled + backlog.delayed;
        if waiting == 0 || Instant::now() > limit {
            return Ok(backlog);
        }
        sleep(LOOK_EVERY).await;
    }
}

impl Summary {
    /// Compares everything. A demanding summary also wants something of everything to have happened.
    pub(super) async fn of(
        shop: &Shop,
        took: Duration,
        backlog: Result<Backlog, TransportError>,
        written: Result<Result<(), TransportError>, String>,
        demanding: bool,
    ) -> Self {
        let tally = &shop.tally;
        let us = |part| u64::try_from(tally.staleness(part).unwrap_or_default().as_micros()).unwrap_or(u64::MAX);
        let mut letters = shop.letters.lock().await;
        let scanned = letters.update(shop.transport.dead_letters()).await;
        let mut summary = Self {
            seconds: (took.as_secs_f64() * 10.0).round() / 10.0,
            published: tally.published.get(),
            handled: tally.handled.get(),
            entries_removed: tally.removed.get(),
            reads: tally.reads.get(),
            hits: tally.hits.get(),
            stale_reads: tally.stale.get(),
            refilled_stale: tally.raced.get(),
            staleness_p50_us: us(0.5),
            staleness_p99_us: us(0.99),
            broken: tally.broken(),
            dead_letters: letters.by_reason.clone(),
            ..Self::default()
        };
        let mut problems = summary.compare_cache(shop).await;
        problems.extend(scanned.err().map(|error| format!("the dead letters cannot be read: {error}")));
        problems.extend(match written {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(format!("the shop could not publish: {error}")),
            Err(error) => Some(format!("the shop's writer broke off: {error}")),
        });
        problems.extend(waiting(backlog));
        let failed = tally.failed.get();
        if failed > 0 {
            problems.push(format!("the cache did not answer the shop {failed} times"));
        }
        problems.extend(summary.mismatches());
        if demanding {
            problems.extend(summary.missing());
        }
        summary.problems = problems;
        summary
    }

    async fn compare_cache(&mut self, shop: &Shop) -> Vec<String> {
        for page in Page::all() {
            match shop.cached(page).await {
                Ok(Cached::Absent) => {}
                Ok(Cached::AsInDatabase) => self.entries += 1,
                Ok(Cached::Different) => {
                    self.entries += 1;
                    self.differing.push(page.key());
                }
                Err(error) => return vec![format!("the cache cannot be compared with the database: {error}")],
            }
        }
        Vec::new()
    }

    /// What cannot be so if every promise was kept.
    fn mismatches(&self) -> Vec<String> {
        let mut problems = Vec::new();
        if self.handled != self.published {
            problems.push(format!("{} messages were published, {} were handled", self.published, self.handled));
        }
        if self.dead_letters != self.broken {
            let (broken, letters) = (listed(&self.broken), listed(&self.dead_letters));
            problems.push(format!("the broken messages should be dead letters ({broken}), but there are ({letters})"));
        }
        if !self.differing.is_empty() {
            let named: Vec<_> = self.differing.iter().take(NAMED_MAX).map(String::as_str).collect();
            let (number, named) = (self.differing.len(), named.join(", "));
            let number = count(number, "entry");
            problems.push(format!("{number} of the cache not as the database has it: {named}"));
        }
        problems
    }

    /// What must have happened for the play to show anything.
    fn missing(&self) -> Vec<String> {
        let wanted = [
            (self.published, "no message was published"),
            (self.entries_removed, "no entry was removed"),
            (self.broken.values().sum(), "no message was broken: let it run longer"),
        ];
        wanted.iter().filter(|(number, _)| *number == 0).map(|(_, what)| (*what).to_owned()).collect()
    }

    pub(super) fn text(&self, paint: Paint) -> String {
        let us = |us| ms(Duration::from_micros(us));
        let hits = if self.reads == 0 { 0.0 } else { self.hits as f64 * 100.0 / self.reads as f64 };
        let mut out = format!("\nafter {} s, and when everything was handled:\n", self.seconds);
        let mut fact = |name: &str, text: String| out += &format!("  {} {text}\n", paint.bold(&format!("{name:10}")));
        fact("messages", format!("{} published, {} handled", thousands(self.published), thousands(self.handled)));
        fact(
            "removed",
            format!(
                "{} entries, {} after the commit (p99 {})",
                thousands(self.entries_removed),
                us(self.staleness_p50_us),
                us(self.staleness_p99_us)
            ),
        );
        fact(
            "reads",
            format!(
                "{}, {hits:.1} % from the cache; {} showed data about to be removed",
                thousands(self.reads),
                thousands(self.stale_reads)
            ),
        );
        if self.refilled_stale > 0 {
            let closed = if self.differing.is_empty() { "; `again_after` removed them" } else { "" };
            let refilled = thousands(self.refilled_stale);
            fact("races", format!("{refilled} entries refilled with old data{closed}"));
        }
        let by_reason =
            if self.dead_letters.is_empty() { String::new() } else { format!(": {}", listed(&self.dead_letters)) };
        fact("dead", format!("{} letters{by_reason}", thousands(self.dead_letters.values().sum())));
        fact(
            "at the end",
            format!("{} of {} cached entries differ from the database", self.differing.len(), thousands(self.entries)),
        );
        if self.problems.is_empty() {
            return out + &format!("{} nothing is stale, nothing was lost\n", paint.green("✓"));
        }
        let problems = self.problems.iter().map(|problem| format!("{} {problem}\n", paint.red("✗")));
        out + &problems.collect::<String>()
    }
}

fn waiting(backlog: Result<Backlog, TransportError>) -> Option<String> {
    match backlog {
        Err(error) => Some(format!("the broker cannot be asked what waits: {error}")),
        Ok(Backlog { lost, .. }) if lost > 0 => Some(format!("the broker lost {lost} messages")),
        Ok(Backlog { ready, unsettled, delayed, .. }) => match ready + unsettled + delayed {
            0 => None,
            waiting => Some(format!("{waiting} messages still waited after {} s", QUIESCING_MAX.as_secs())),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn well() -> Summary {
        let letters = BTreeMap::from([("decode", 6), ("rule", 2)]);
        let (broken, dead_letters) = (letters.clone(), letters);
        Summary {
            published: 400,
            handled: 400,
            entries_removed: 90,
            broken,
            dead_letters,
            entries: 300,
            ..Summary::default()
        }
    }

    #[test]
    fn a_summary_fits_eighty_columns() {
        let much = Summary { reads: 99_999, hits: 81_300, stale_reads: 999, refilled_stale: 999, ..well() };
        let text = much.text(Paint(false));
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
    }

    #[test]
    fn a_broken_promise_is_named() {
        let check = |summary: Summary, expect: &str| {
            let problems = [summary.mismatches(), summary.missing()].concat().join("; ");
            assert!(problems.contains(expect) && problems.is_empty() == expect.is_empty(), "{expect}: {problems}");
        };
        check(well(), "");
        check(Summary { handled: 399, ..well() }, "400 messages were published, 399 were handled");
        check(
            Summary { dead_letters: BTreeMap::from([("decode", 8)]), ..well() },
            "(decode 6, rule 2), but there are (decode 8)",
        );
        check(
            Summary { differing: vec!["product:3".to_owned()], ..well() },
            "1 entry of the cache not as the database has it: product:3",
        );
        check(Summary { entries_removed: 0, ..well() }, "no entry was removed");
        check(Summary { broken: BTreeMap::new(), dead_letters: BTreeMap::new(), ..well() }, "let it run longer");
        check(Summary { published: 0, handled: 0, ..well() }, "no message was published");
    }

    #[test]
    fn what_still_waits_is_a_problem() {
        assert_eq!(waiting(Ok(Backlog::default())), None);
        assert!(waiting(Ok(Backlog { delayed: 2, ..Backlog::default() })).unwrap().starts_with("2 messages"));
        assert!(waiting(Ok(Backlog { lost: 1, ..Backlog::default() })).unwrap().contains("lost 1"));
        assert!(waiting(Err(TransportError::Unreachable("gone".to_owned()))).is_some());
    }
}
