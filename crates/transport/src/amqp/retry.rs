//! Chooses the rung on which a message waits for its delay.
//!
//! A queue lets messages go at its head only: one that waits long holds up those behind it. So each rung holds delays
//! of about the same length, and nothing comes later than about twice its delay.

use std::time::Duration;

use super::topology::{RUNGS, rung_limit};

/// Where and how long a message waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Wait {
    pub(super) rung: usize,
    /// Milliseconds on that rung.
    pub(super) expiration: u64,
    /// When it is due, in Unix milliseconds, where one rung is not enough and it must be parked again.
    pub(super) due: Option<u64>,
}

/// How a delay is waited for; `None` when there is none.
pub(super) fn wait(delay: Duration, now_ms: u64) -> Option<Wait> {
    let delay = milliseconds(delay);
    if delay == 0 {
        return None;
    }
    let rung = (0..RUNGS).find(|rung| delay < longest_ms(*rung)).unwrap_or(RUNGS - 1);
    let expiration = delay.min(longest_ms(rung));
    // Up to the longest the broker's clock alone decides; the clocks of two workers need not agree.
    let due = (delay > expiration).then(|| now_ms.saturating_add(delay));
    Some(Wait { rung, expiration, due })
}

/// What is left of a delay, `None` when nothing is.
pub(super) fn rest(due: Option<u64>, now_ms: u64) -> Option<Duration> {
    let rest = due?.saturating_sub(now_ms);
    (rest > 0).then(|| Duration::from_millis(rest))
}

/// The longest time that messages stay on a rung, in milliseconds.
fn longest_ms(rung: usize) -> u64 {
    milliseconds(rung_limit(rung))
}

/// A delay in whole milliseconds, rounded up so that nothing comes early, and no longer than a century.
fn milliseconds(delay: Duration) -> u64 {
    const CENTURY: u128 = 100 * 365 * 24 * 3600 * 1000;
    let whole = delay.as_nanos().div_ceil(1_000_000).min(CENTURY);
    u64::try_from(whole).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_delay_has_its_rung() {
        let cases = [
            (1, 0, 1),
            (249, 0, 249),
            (250, 1, 250),
            (499, 1, 499),
            (500, 2, 500),
            (1200, 3, 1200),
            (511_999, 11, 511_999),
            (512_000, 11, 512_000),
        ];
        for (delay, rung, expiration) in cases {
            let expected = Wait { rung, expiration, due: None };
            assert_eq!(wait(Duration::from_millis(delay), 7), Some(expected), "{delay} ms");
        }
    }

    #[test]
    fn what_is_longer_than_the_ladder_is_parked_again_for_the_rest() {
        let waits = wait(Duration::from_secs(3600), 1000);
        assert_eq!(waits, Some(Wait { rung: 11, expiration: 512_000, due: Some(3_601_000) }));
        assert_eq!(rest(Some(3_601_000), 513_000), Some(Duration::from_millis(3_088_000)));
        assert_eq!(rest(Some(3_601_000), 3_601_000), None);
        assert_eq!(rest(None, 5), None);
    }

    #[test]
    fn delays_are_never_shortened() {
        assert_eq!(wait(Duration::ZERO, 0), None);
        assert_eq!(wait(Duration::from_nanos(1), 0), Some(Wait { rung: 0, expiration: 1, due: None }));
        let longest = wait(Duration::MAX, u64::MAX);
        assert_eq!(longest, Some(Wait { rung: 11, expiration: 512_000, due: Some(u64::MAX) }));
    }

    #[test]
    fn a_rung_holds_up_nothing_for_longer_than_its_own_delay() {
        for rung in 1..RUNGS {
            assert_eq!(longest_ms(rung), 2 * longest_ms(rung - 1));
        }
        assert_eq!(longest_ms(RUNGS - 1), 512_000);
    }
}
