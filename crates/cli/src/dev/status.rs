//! Shows once a second how the play goes: a block that refreshes on a terminal, a line elsewhere.

use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::time::Duration;

use quash_store::Store;
use tokio::time::{Instant, MissedTickBehavior, interval_at};
use unicode_width::UnicodeWidthStr;

use super::database::Page;
use super::letters::listed;
use super::setup::Scene;
use super::tally::Tally;
use crate::output::{Paint, Screen, thousands};
use crate::table::cut;
use crate::{CliError, screen};

const EVERY: Duration = Duration::from_secs(1);
/// The width of the names at the left.
const NAME: usize = 10;

/// Shows the status until dropped.
///
/// # Errors
/// When standard output is gone.
pub(super) async fn show(scene: &Scene, to: Screen) -> Result<(), CliError> {
    let tally = &scene.shop.tally;
    let keys: Vec<String> = Page::all().into_iter().map(|page| scene.shop.shelf.physical(&page.key())).collect();
    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    let (mut before, mut shown) = (Totals::of(tally), String::new());
    let mut ticks = interval_at(Instant::now() + EVERY, EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let now = Totals::of(tally);
        // What cannot be asked now is asked again in a second, and tells itself as numbers that stand still.
        let mut letters = scene.shop.letters.lock().await;
        let _ = letters.update(scene.shop.transport.dead_letters()).await;
        let waiting = scene.shop.transport.backlog().await.map(|backlog| backlog.ready + backlog.unsettled);
        let glance = Glance {
            rates: now.since(&before),
            waiting: waiting.unwrap_or_default(),
            entries: entries(&*scene.store, &keys).await,
            letters: letters.by_reason.clone(),
            staleness: [0.5, 0.99].map(|part| tally.staleness(part).unwrap_or_default()),
            second: tally.started.elapsed().as_secs(),
        };
        drop(letters);
        match std::io::stdout().is_terminal() {
            true => {
                // It may have another width by now.
                let to = Screen { width: Screen::stdout().width, ..to };
                screen::print(&over(&glance.block(to), rows_of(&shown, to.width)))?;
                shown = glance.block(Screen { paint: Paint(false), ..to });
            }
            false => screen::print(&glance.line())?,
        }
        before = now;
    }
}

async fn entries(store: &dyn Store, keys: &[&str]) -> u64 {
    let Ok(questions) = store.ask() else { return 0 };
    let exist = questions.exist(keys).await.unwrap_or_default();
    exist.iter().filter(|is| **is).count() as u64
}

/// The block where the one before it is, which takes so many rows.
fn over(block: &str, rows: usize) -> String {
    // Everything below goes, also what was wrapped.
    let up = if rows > 0 { format!("\u{1b}[{rows}A") } else { String::new() };
    format!("{up}\r\u{1b}[J{block}")
}

/// The rows that a block takes on a screen which has become so wide since: terminals wrap what no longer fits.
fn rows_of(block: &str, width: Option<usize>) -> usize {
    let wrapped = |line: &str| width.map_or(1, |width| line.width().div_ceil(width.max(1)).max(1));
    block.lines().map(wrapped).sum()
}

/// Numbers that only grow, at one moment.
#[derive(Clone, Copy)]
struct Totals {
    published: u64,
    handled: u64,
    reads: u64,
    hits: u64,
    stale: u64,
    removed: u64,
    at: std::time::Instant,
}

impl Totals {
    fn of(tally: &Tally) -> Self {
        Self {
            published: tally.published.get(),
            handled: tally.handled.get(),
            reads: tally.reads.get(),
            hits: tally.hits.get(),
            stale: tally.stale.get(),
            removed: tally.removed.get(),
            at: std::time::Instant::now(),
        }
    }

    fn since(&self, before: &Self) -> Rates {
        let seconds = self.at.duration_since(before.at).as_secs_f64().max(0.001);
        let rate = |now: u64, before: u64| ((now - before) as f64 / seconds).round() as u64;
        let reads = self.reads - before.reads;
        let part = |of: u64| if reads == 0 { 0.0 } else { of as f64 * 100.0 / reads as f64 };
        Rates {
            published: rate(self.published, before.published),
            handled: rate(self.handled, before.handled),
            reads: rate(self.reads, before.reads),
            removed: rate(self.removed, before.removed),
            hits_percent: part(self.hits - before.hits),
            stale: self.stale - before.stale,
            stale_percent: part(self.stale - before.stale),
        }
    }
}

/// What happened in the last second.
struct Rates {
    published: u64,
    handled: u64,
    reads: u64,
    removed: u64,
    hits_percent: f64,
    stale: u64,
    stale_percent: f64,
}

/// How it goes at one moment.
struct Glance {
    second: u64,
    rates: Rates,
    waiting: u64,
    entries: u64,
    letters: BTreeMap<&'static str, u64>,
    /// The median and the 99th percentile.
    staleness: [Duration; 2],
}

impl Glance {
    /// Lines of one height, none of them wider than the screen: the next block must find the place of this one.
    fn block(&self, screen: Screen) -> String {
        let lines = self.rows().map(|(name, text)| {
            let room = screen.width.map_or(usize::MAX, |width| width.saturating_sub(NAME + 3));
            format!("  {} {}\n", screen.paint.bold(&format!("{name:NAME$}")), cut(&text, room))
        });
        lines.concat()
    }

    fn rows(&self) -> [(&'static str, String); 7] {
        let Rates { published, handled, reads, removed, hits_percent, stale, stale_percent } = self.rates;
        let ([published, handled, reads, removed], [p50, p99]) =
            ([published, handled, reads, removed].map(thousands), self.staleness.map(ms));
        let (waiting, entries) = (thousands(self.waiting), thousands(self.entries));
        let dead = thousands(self.letters.values().sum());
        [
            ("shop", format!("{published} messages/s, {reads} reads/s, {hits_percent:.1} % hits")),
            ("worker", format!("{handled} messages/s handled, {waiting} waiting")),
            ("cache", format!("{entries} entries, {removed} removed/s")),
            ("stale", format!("{stale} of {reads} reads showed what was about to be removed ({stale_percent:.2} %)")),
            ("staleness", format!("from commit to removal: half within {p50}, 99 % within {p99}")),
            ("dead", format!("{dead} letters: {}", listed(&self.letters))),
            ("running", format!("{} s, until Ctrl-C or --for", thousands(self.second))),
        ]
    }

    fn line(&self) -> String {
        let Rates { published, handled, reads, removed, hits_percent, stale, .. } = self.rates;
        let [p50, p99] = self.staleness.map(ms);
        format!(
            "{:>4}s  published {published}/s  handled {handled}/s  waiting {}  reads {reads}/s  hits {hits_percent:.1}%  \
             entries {}  removed {removed}/s  stale now {stale}  staleness p50 {p50} p99 {p99}  dead {}\n",
            self.second,
            self.waiting,
            self.entries,
            self.letters.values().sum::<u64>(),
        )
    }
}

/// A short time as people read it: `0.8 ms`, `1.2 s`.
pub(super) fn ms(time: Duration) -> String {
    match time.as_secs_f64() {
        seconds if seconds < 0.01 => format!("{:.1} ms", seconds * 1e3),
        seconds if seconds < 1.0 => format!("{:.0} ms", seconds * 1e3),
        seconds => format!("{seconds:.1} s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn glance() -> Glance {
        let rates = Rates {
            published: 1200,
            handled: 1199,
            reads: 9000,
            removed: 2400,
            hits_percent: 81.26,
            stale: 3,
            stale_percent: 0.033,
        };
        let staleness = [Duration::from_micros(812), Duration::from_millis(14)];
        Glance { second: 7, rates, waiting: 2, entries: 371, letters: [("decode", 9), ("rule", 3)].into(), staleness }
    }

    #[test]
    fn a_line_says_how_it_goes() {
        assert_eq!(
            glance().line(),
            "   7s  published 1200/s  handled 1199/s  waiting 2  reads 9000/s  hits 81.3%  entries 371  removed 2400/s  \
             stale now 3  staleness p50 0.8 ms p99 14 ms  dead 12\n"
        );
    }

    #[test]
    fn a_block_takes_the_place_of_the_one_before() {
        let block = glance().block(Screen::PLAIN);
        assert_eq!(block.lines().count(), 7, "{block}");
        assert!(block.contains("dead       12 letters: decode 9, rule 3"), "{block}");
        let narrow = glance().block(Screen { width: Some(40), ..Screen::PLAIN });
        assert!(narrow.lines().all(|line| line.chars().count() <= 40), "{narrow}");
        assert_eq!(over("a\n", rows_of("", Some(80))), "\r\u{1b}[Ja\n");
        assert_eq!(over("a\n", rows_of(&block, None)), "\u{1b}[7A\r\u{1b}[Ja\n");
    }

    #[test]
    fn a_block_is_found_again_when_the_screen_became_narrower() {
        let block = "1234567890\n\n12345\n";
        for (width, rows) in [(80, 3), (10, 3), (9, 4), (5, 4), (4, 6)] {
            assert_eq!(rows_of(block, Some(width)), rows, "{width}");
        }
    }

    #[test]
    fn a_block_fits_eighty_columns_uncut() {
        let block = glance().block(Screen::PLAIN);
        assert!(block.lines().all(|line| line.width() <= 80), "{block}");
    }
}
