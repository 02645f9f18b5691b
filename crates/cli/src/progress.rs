//! Shows how far long work is: a bar on a terminal, a line now and then elsewhere, nothing when it is over soon.

use std::fmt;
use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};

use super::output::thousands;

/// Work that is over by then shows no bar.
const BAR_AFTER: Duration = Duration::from_millis(400);
/// How often there is a line where there is no terminal: often enough to see that it lives, seldom enough for a log.
const LINE_EVERY: Duration = Duration::from_secs(10);

/// How far some work is, shown on standard error.
pub struct Progress {
    doing: &'static str,
    total: Option<u64>,
    bar: ProgressBar,
    terminal: bool,
    next: Instant,
}

impl Progress {
    /// Starts to watch work: what is being done, as `replaying`, and how much there is to do, where that is known.
    #[must_use]
    pub fn new(doing: &'static str, total: Option<u64>) -> Self {
        let bar = ProgressBar::with_draw_target(total, ProgressDrawTarget::hidden());
        bar.set_style(style(total));
        bar.set_message(doing);
        let terminal = io::stderr().is_terminal();
        let next = Instant::now() + if terminal { BAR_AFTER } else { LINE_EVERY };
        Self { doing, total, bar, terminal, next }
    }

    /// Says how much is done.
    pub fn update(&mut self, done: u64) {
        self.bar.set_position(done);
        let now = Instant::now();
        if now < self.next {
            return;
        }
        match self.terminal {
            true if self.bar.is_hidden() => self.bar.set_draw_target(ProgressDrawTarget::stderr()),
            true => {}
            false => {
                self.next = now + LINE_EVERY;
                // Nobody can be told that standard error is gone.
                let _ = writeln!(io::stderr(), "{}", line(self.doing, done, self.total));
            }
        }
    }

    /// Takes the bar away; what was done is printed by who did it.
    pub fn finish(self) {}
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

fn style(total: Option<u64>) -> ProgressStyle {
    let template = match total {
        Some(_) => "{msg} [{wide_bar}] {human_pos}/{human_len} {rate} {eta}",
        None => "{spinner} {msg} {human_pos} {rate}",
    };
    let write_rate = |state: &ProgressState, out: &mut dyn fmt::Write| {
        // Writing to a string cannot fail.
        let _ = out.write_str(&rate(state.per_sec()));
    };
    ProgressStyle::with_template(template)
        .map_or_else(|_| ProgressStyle::default_bar(), |style| style.progress_chars("=> ").with_key("rate", write_rate))
}

/// So many a second, as exactly as anybody reads it.
fn rate(per_second: f64) -> String {
    match per_second {
        // A float beyond the range of an integer becomes the nearest one.
        per_second if per_second >= 10.0 => format!("{}/s", thousands(per_second.round() as u64)),
        per_second => format!("{per_second:.1}/s"),
    }
}

fn line(doing: &str, done: u64, total: Option<u64>) -> String {
    match total {
        Some(total) => format!("{doing}: {} of {}", thousands(done), thousands(total)),
        None => format!("{doing}: {}", thousands(done)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_how_far_it_is() {
        assert_eq!(line("replaying", 1000, Some(20_000)), "replaying: 1,000 of 20,000");
        assert_eq!(line("reading", 1000, None), "reading: 1,000");
    }

    #[test]
    fn a_rate_has_no_more_digits_than_anybody_reads() {
        for (per_second, expect) in [(10_134.013_2, "10,134/s"), (12.5, "13/s"), (0.25, "0.2/s"), (0.0, "0.0/s")] {
            assert_eq!(rate(per_second), expect);
        }
    }
}
