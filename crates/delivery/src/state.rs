//! Reads and writes the state that a retried delivery carries in its headers.

use std::time::Duration;

use quash_core::plan::{TargetId, TargetSet};
use quash_core::scope::{CacheId, CacheSet, Scope};
use quash_transport::Headers;

use crate::headers;
use crate::record::Attempt;

/// How many failed attempts travel with a message; older ones are forgotten, so that headers stay small.
pub const ATTEMPTS_KEPT: usize = 10;

/// Bytes of an error's text that travel with a message: ten of them stay far below the header limits of brokers.
pub const ERROR_BYTES: usize = 300;

/// What a delivery has behind it, and what is left to do. A fresh event has the [`Default`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct State {
    /// Which attempt this is, from 1.
    pub attempt: u32,
    /// The targets still to do; [`TargetSet::ALL`] is whatever the rules ask for. Empty when none of those that are named
    /// is configured here.
    pub targets: TargetSet,
    /// Whether targets are still to do that are not configured here.
    pub elsewhere: bool,
    /// Which pass of `again_after` this is, from the first pass on; zero is the first.
    pub pass: Duration,
    /// When this share first failed, in milliseconds since the Unix epoch.
    pub first_failure_ms: Option<i64>,
}

impl Default for State {
    fn default() -> Self {
        Self { attempt: 1, targets: TargetSet::ALL, elsewhere: false, pass: Duration::ZERO, first_failure_ms: None }
    }
}

impl State {
    /// Whether nothing of the delivery was tried before.
    #[must_use]
    pub const fn is_fresh(&self) -> bool {
        self.attempt == 1 && self.pass.is_zero() && self.first_failure_ms.is_none()
    }

    /// Reads the state from a message's headers. A header that makes no sense counts as absent: that costs at most work
    /// done twice, and never an event.
    pub fn read(headers: &Headers, target: impl Fn(&str) -> Option<TargetId>) -> Self {
        if headers.as_slice().is_empty() {
            return Self::default();
        }
        let named: Vec<Option<TargetId>> = named(headers).map(target).collect();
        let known = named.iter().copied().flatten().collect();
        // A copy that waited for a later pass names the targets that it is for; without them nothing was done yet.
        let pass = number(headers, headers::PASS).filter(|_| !named.is_empty());
        Self {
            attempt: number(headers, headers::ATTEMPT).unwrap_or(1).max(1),
            targets: if named.is_empty() { TargetSet::ALL } else { known },
            elsewhere: named.contains(&None),
            pass: pass.map_or(Duration::ZERO, Duration::from_millis),
            first_failure_ms: read_first_failure(headers),
        }
    }

    /// Writes the state into a message's headers; what is as in a fresh event leaves no header. The targets that are not
    /// configured here are taken from the headers as they were.
    pub fn write(&self, headers: &mut Headers, names: &[String]) {
        let elsewhere = self.elsewhere.then(|| unconfigured(headers, names)).flatten();
        let targets = [spell(self.targets, names), elsewhere].into_iter().flatten().collect::<Vec<_>>().join(",");
        set_or_remove(headers, headers::ATTEMPT, (self.attempt > 1).then(|| self.attempt.to_string()));
        set_or_remove(headers, headers::TARGETS, (self.targets != TargetSet::ALL).then_some(targets));
        set_or_remove(headers, headers::PASS, (!self.pass.is_zero()).then(|| self.pass.as_millis().to_string()));
        set_or_remove(headers, headers::FIRST_FAILURE, self.first_failure_ms.map(|at| at.to_string()));
    }
}

/// When the share that a message is first failed, in milliseconds since the Unix epoch; `None` when it did not.
#[must_use]
pub fn read_first_failure(headers: &Headers) -> Option<i64> {
    number(headers, headers::FIRST_FAILURE)
}

/// How long a message has still to be parked that asks for a pass, given the time in milliseconds since the Unix epoch; `None`
/// when the pass is due. Never longer than the pass itself: clocks of workers differ, and a header may say anything.
#[must_use]
pub fn read_early(headers: &Headers, pass: Duration, now_ms: i64) -> Option<Duration> {
    let due: i64 = number(headers, headers::DUE)?;
    let left = u64::try_from(due.saturating_sub(now_ms)).ok().filter(|left| *left > 0)?;
    Some(Duration::from_millis(left).min(pass)).filter(|left| !left.is_zero())
}

/// The failed attempts that travel with a message, oldest first; none when the header is absent or makes no sense.
#[must_use]
pub fn read_attempts(headers: &Headers) -> Vec<Attempt> {
    headers.get(headers::ATTEMPTS).and_then(|json| serde_json::from_str(json).ok()).unwrap_or_default()
}

/// Writes the last [`ATTEMPTS_KEPT`] failed attempts into a message's headers.
pub fn write_attempts(headers: &mut Headers, attempts: &[Attempt]) {
    let last = &attempts[attempts.len().saturating_sub(ATTEMPTS_KEPT)..];
    let json = (!last.is_empty()).then(|| serde_json::to_string(last).ok()).flatten();
    set_or_remove(headers, headers::ATTEMPTS, json);
}

/// How often a message came back from the dead letters.
#[must_use]
pub fn read_replays(headers: &Headers) -> u32 {
    number(headers, headers::REPLAYS).unwrap_or(0)
}

/// An error's text, cut to [`ERROR_BYTES`] between two characters.
#[must_use]
pub fn shorten(error: &str) -> String {
    if error.len() <= ERROR_BYTES {
        return error.to_owned();
    }
    // Zero is a boundary of every text.
    let end = (0..=ERROR_BYTES).rev().find(|end| error.is_char_boundary(*end)).unwrap_or(0);
    format!("{}…", &error[..end])
}

/// The targets that a message names and that are not among these, separated by commas; `None` when there are none.
#[must_use]
pub fn unconfigured(headers: &Headers, names: &[String]) -> Option<String> {
    let gone: Vec<&str> = named(headers).filter(|name| !names.iter().any(|known| known == name)).collect();
    (!gone.is_empty()).then(|| gone.join(","))
}

/// The caches that a message is only about and that are not among these, separated by commas; `None` when there are none.
#[must_use]
pub fn unconfigured_caches(headers: &Headers, cache: impl Fn(&str) -> Option<CacheId>) -> Option<String> {
    let gone: Vec<&str> = names_in(headers, headers::CACHES).filter(|name| cache(name).is_none()).collect();
    (!gone.is_empty()).then(|| gone.join(","))
}

/// Reads which caches a message is still about; `None` for all of them, as in a fresh event. Names that are not
/// configured here are left out, see [`unconfigured_caches`].
#[must_use]
pub fn read_scope(headers: &Headers, cache: impl Fn(&str) -> Option<CacheId>) -> Option<Scope> {
    let set = |header| names_in(headers, header).filter_map(&cache).collect::<CacheSet>();
    let only = names_in(headers, headers::CACHES).next().map(|_| set(headers::CACHES));
    let (done, handed_over) = (set(headers::CACHES_DONE), set(headers::CACHES_HANDED_OVER));
    let is_all = only.is_none() && done.is_empty() && handed_over.is_empty();
    (!is_all).then_some(Scope { only, done, handed_over })
}

/// Adds names of caches, separated by commas, to those that a header holds.
pub fn add_caches(headers: &mut Headers, header: &'static str, caches: &str) {
    let mut names: Vec<&str> = names_in(headers, header).collect();
    names.extend(caches.split(',').filter(|name| !name.is_empty()));
    names.sort_unstable();
    names.dedup();
    let names = (!names.is_empty()).then(|| names.join(","));
    set_or_remove(headers, header, names);
}

fn named(headers: &Headers) -> impl Iterator<Item = &str> {
    names_in(headers, headers::TARGETS)
}

fn names_in<'h>(headers: &'h Headers, header: &str) -> impl Iterator<Item = &'h str> {
    let names = headers.get(header).into_iter().flat_map(|text| text.split(','));
    names.map(str::trim).filter(|name| !name.is_empty())
}

fn spell(targets: TargetSet, names: &[String]) -> Option<String> {
    let known: Vec<&str> = targets.iter().filter_map(|id| names.get(usize::from(id.0))).map(String::as_str).collect();
    (!known.is_empty()).then(|| known.join(","))
}

fn number<N: std::str::FromStr>(headers: &Headers, name: &str) -> Option<N> {
    headers.get(name)?.parse().ok()
}

fn set_or_remove(headers: &mut Headers, name: &'static str, value: Option<String>) {
    match value {
        Some(value) => headers.set(name, value),
        None => drop(headers.remove(name)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> Vec<String> {
        ["eu", "main", "us"].map(str::to_owned).to_vec()
    }

    fn id(name: &str) -> Option<TargetId> {
        names().iter().position(|known| known == name).and_then(|index| u8::try_from(index).ok()).map(TargetId)
    }

    fn of(pairs: &[(&'static str, &str)]) -> Headers {
        let mut headers = Headers::default();
        pairs.iter().for_each(|(name, value)| headers.set(*name, *value));
        headers
    }

    fn set(ids: &[u8]) -> TargetSet {
        ids.iter().copied().map(TargetId).collect()
    }

    #[test]
    fn the_state_survives_the_journey_through_headers() {
        let states = [
            State::default(),
            State { attempt: 7, ..State::default() },
            State { targets: set(&[0, 2]), pass: Duration::from_secs(30), ..State::default() },
            State { attempt: 2, targets: set(&[1]), first_failure_ms: Some(1_700_000_000_123), ..State::default() },
        ];
        for state in states {
            let mut headers = of(&[(headers::ATTEMPT, "99"), (headers::TARGETS, "us"), ("ce-type", "x")]);
            state.write(&mut headers, &names());
            assert_eq!(State::read(&headers, id), state);
            assert_eq!(headers.get("ce-type"), Some("x"));
        }
    }

    #[test]
    fn headers_that_make_no_sense_count_as_absent() {
        for nonsense in ["", " ", ",", "-1", "99999999999999999999999999", "\u{0}", "NaN"] {
            let mut headers =
                of(&[(headers::ATTEMPT, nonsense), (headers::PASS, nonsense), (headers::ATTEMPTS, nonsense)]);
            headers.set(headers::REPLAYS, nonsense);
            assert_eq!(State::read(&headers, id), State::default(), "{nonsense:?}");
            assert_eq!((read_attempts(&headers).len(), read_replays(&headers)), (0, 0), "{nonsense:?}");
        }
        assert_eq!(State::read(&of(&[(headers::FIRST_FAILURE, "soon")]), id), State::default());
        assert_eq!(State::read(&of(&[(headers::ATTEMPT, "0")]), id), State::default());
        assert_eq!(State::read(&of(&[(headers::PASS, "5000")]), id), State::default(), "a pass of nobody");
        for nonsense in ["", " ", ",", " , "] {
            assert_eq!(State::read(&of(&[(headers::TARGETS, nonsense)]), id), State::default(), "{nonsense:?}");
        }
    }

    #[test]
    fn a_pass_is_early_until_it_is_due_and_no_longer_than_it_takes() {
        let pass = Duration::from_secs(30);
        let cases = [
            ("1000", None),
            ("999", None),
            ("1001", Some(Duration::from_millis(1))),
            ("9999999999999999", Some(pass)),
            ("-99999999999999999999", None),
            ("soon", None),
            ("", None),
        ];
        for (due, expected) in cases {
            assert_eq!(read_early(&of(&[(headers::DUE, due)]), pass, 1000), expected, "{due}");
        }
        assert_eq!(read_early(&Headers::default(), pass, 1000), None);
        assert_eq!(read_early(&of(&[(headers::DUE, "2000")]), Duration::ZERO, 1000), None, "it asks for no pass");
    }

    #[test]
    fn targets_that_are_not_configured_here_are_kept() {
        let cases = [
            ("main", set(&[1]), false, "main"),
            ("main,gone", set(&[1]), true, "main,gone"),
            (" eu , us ", set(&[0, 2]), false, "eu,us"),
            ("gone, main ,lost", set(&[1]), true, "main,gone,lost"),
            ("gone", set(&[]), true, "gone"),
        ];
        for (text, targets, elsewhere, written) in cases {
            let mut headers = of(&[(headers::TARGETS, text)]);
            let state = State::read(&headers, id);
            assert_eq!((state.targets, state.elsewhere), (targets, elsewhere), "{text}");
            state.write(&mut headers, &names());
            assert_eq!(headers.get(headers::TARGETS), Some(written), "{text}");
        }
    }

    #[test]
    fn the_scope_is_what_the_headers_name() {
        let index =
            |name: &str| ["a", "b", "c"].iter().position(|known| *known == name).map(|index| CacheId(index as u32));
        let set = |caches: &[u32]| caches.iter().copied().map(CacheId).collect::<CacheSet>();
        let done = Scope { done: set(&[1]), ..Scope::default() };
        let cases = [
            (vec![], None, None),
            (vec![(headers::CACHES, " , ")], None, None),
            (vec![(headers::CACHES_DONE, "unknown")], None, None),
            (vec![(headers::CACHES_DONE, "b, unknown")], Some(done), None),
            (
                vec![(headers::CACHES, "a,c,x,y"), (headers::CACHES_HANDED_OVER, "a,c")],
                Some(Scope { only: Some(set(&[0, 2])), handed_over: set(&[0, 2]), ..Scope::default() }),
                Some("x,y"),
            ),
            (vec![(headers::CACHES, "x")], Some(Scope { only: Some(set(&[])), ..Scope::default() }), Some("x")),
        ];
        for (pairs, scope, unknown) in cases {
            let headers = of(&pairs);
            assert_eq!(read_scope(&headers, index), scope, "{pairs:?}");
            assert_eq!(unconfigured_caches(&headers, index).as_deref(), unknown, "{pairs:?}");
        }
    }

    #[test]
    fn names_of_caches_are_added_once() {
        let mut headers = of(&[(headers::CACHES_HANDED_OVER, "b,a")]);
        add_caches(&mut headers, headers::CACHES_HANDED_OVER, "c,a");
        assert_eq!(headers.get(headers::CACHES_HANDED_OVER), Some("a,b,c"));
        let mut none = Headers::default();
        add_caches(&mut none, headers::CACHES_DONE, "");
        assert_eq!(none, Headers::default());
    }

    #[test]
    fn only_the_last_attempts_travel() {
        let attempts: Vec<Attempt> =
            (0..25).map(|at_ms| Attempt { at_ms, target: None, error: "x".to_owned() }).collect();
        let mut headers = Headers::default();
        write_attempts(&mut headers, &attempts);
        assert_eq!(read_attempts(&headers), attempts[15..]);
        write_attempts(&mut headers, &[]);
        assert_eq!(headers, Headers::default());
    }

    #[test]
    fn a_long_error_is_cut_between_characters() {
        assert_eq!(shorten("short"), "short");
        let long = shorten(&"ü".repeat(ERROR_BYTES));
        assert!(long.len() <= ERROR_BYTES + "…".len() && long.ends_with('…'));
    }
}
