//! Counts what resolving does again and again, so that a test can hold it to the size of a message without a clock.

#[cfg(feature = "testing")]
use std::cell::Cell;

#[cfg(feature = "testing")]
thread_local! {
    static TAKEN: Cell<u64> = const { Cell::new(0) };
}

/// Notes so many steps: columns looked at, key sets compared, actions written.
#[inline]
pub(crate) fn taken(steps: usize) {
    #[cfg(feature = "testing")]
    TAKEN.with(|taken| taken.set(taken.get() + steps as u64));
    #[cfg(not(feature = "testing"))]
    let _ = steps;
}

/// How many this thread has taken.
#[cfg(feature = "testing")]
#[must_use]
pub fn count() -> u64 {
    TAKEN.with(Cell::get)
}
