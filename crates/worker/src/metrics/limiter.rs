//! Bounds how many lines a second one kind of happening may log.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;

use tokio::time::Instant;

const WINDOW: Duration = Duration::from_secs(1);

/// Lets so many lines a second through and counts the rest.
#[derive(Debug)]
pub struct Limiter {
    per_second: u32,
    window: Mutex<Window>,
}

#[derive(Debug)]
struct Window {
    started: Instant,
    lines: u32,
    suppressed: u64,
}

impl Limiter {
    /// A limiter of so many lines a second.
    #[must_use]
    pub fn new(per_second: u32) -> Self {
        Self { per_second, window: Mutex::new(Window { started: Instant::now(), lines: 0, suppressed: 0 }) }
    }

    /// Whether a line may be written now, and how many were suppressed before it if any were.
    pub fn allow(&self) -> Option<Option<u64>> {
        let mut window = self.window.lock().unwrap_or_else(PoisonError::into_inner);
        if window.started.elapsed() >= WINDOW {
            (window.started, window.lines) = (Instant::now(), 0);
        }
        if window.lines >= self.per_second {
            window.suppressed += 1;
            return None;
        }
        window.lines += 1;
        Some(Some(std::mem::take(&mut window.suppressed)).filter(|lines| *lines > 0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn lines_over_the_limit_are_counted_and_told_with_the_next() {
        let limiter = Limiter::new(2);
        assert_eq!([(); 5].map(|()| limiter.allow()), [Some(None), Some(None), None, None, None]);
        tokio::time::advance(WINDOW).await;
        assert_eq!([(); 3].map(|()| limiter.allow()), [Some(Some(3)), Some(None), None]);
    }
}
