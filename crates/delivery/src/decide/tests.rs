//! Shows what becomes of deliveries: a table of cases, and the promise that no target is ever forgotten.

use proptest::prelude::*;
use quash_core::event::DecodeError;
use quash_core::rule::RuleError;

use super::*;
use crate::retry::RetryConfig;

const NOW_MS: i64 = 1_700_000_000_000;
const DAY_MS: i64 = 24 * 3600 * 1000;

fn policy() -> RetryPolicy {
    RetryPolicy::from(&RetryConfig { jitter: 0.0, ..RetryConfig::default() })
}

fn set(ids: &[u8]) -> TargetSet {
    ids.iter().copied().map(TargetId).collect()
}

fn matched(ids: &[u8], next_pass_ms: Option<u64>) -> Resolved {
    Resolved::Matched(Matched { targets: set(ids), next_pass: next_pass_ms.map(Duration::from_millis), time_us: None })
}

fn of(state: State, outcome: Outcome<'_>) -> Decision {
    decide(outcome, &Terms { state, policy: &policy(), now_ms: NOW_MS, random: 0.0 })
}

/// A decision in one line: `park failed [0] attempt 2 in 200ms pass 0ms; letter target_error 1`.
fn brief(decision: &Decision) -> String {
    let Decision::Replace { parks, letters } = decision else { return format!("{decision:?}").to_lowercase() };
    let parks = parks.iter().map(|park| {
        let targets: Vec<u8> = park.state.targets.iter().map(|id| id.0).take(9).collect();
        let Park { why, state, delay, .. } = park;
        format!("park {why:?} {targets:?} attempt {} in {delay:?} pass {:?}", state.attempt, state.pass)
    });
    let letters = letters.iter().map(|letter| {
        format!("letter {} {:?} after {}", letter.reason.name(), letter.target.map(|id| id.0), letter.attempts_made)
    });
    parks.chain(letters).collect::<Vec<_>>().join("; ")
}

#[track_caller]
fn check(state: State, resolved: &Resolved, errors: &[(TargetId, ShareError<&str>)], expected: &str) {
    assert_eq!(brief(&of(state, Outcome::Resolved { resolved, errors, deferred: &[] })), expected);
}

const FRESH: State =
    State { attempt: 1, targets: TargetSet::ALL, elsewhere: false, pass: Duration::ZERO, first_failure_ms: None };

const fn failing(attempt: u32, for_ms: i64) -> State {
    State { attempt, first_failure_ms: Some(NOW_MS - for_ms), ..FRESH }
}

const fn failed(target: u8) -> (TargetId, ShareError<&'static str>) {
    (TargetId(target), ShareError::Failed("ERR no"))
}

const fn unreachable(target: u8) -> (TargetId, ShareError<&'static str>) {
    away(target, 0)
}

const fn away(target: u8, seconds: u64) -> (TargetId, ShareError<&'static str>) {
    (TargetId(target), ShareError::Unreachable { error: "refused", away: Duration::from_secs(seconds) })
}

#[test]
fn what_the_source_does_not_accept_is_acked() {
    assert_eq!(brief(&of(failing(3, 2 * DAY_MS), Outcome::LeftOut)), "ack");
}

#[test]
fn what_is_done_or_matches_nothing_is_acked() {
    check(FRESH, &Resolved::Unmatched { time_us: None }, &[], "ack");
    check(FRESH, &matched(&[0, 1], None), &[], "ack");
    check(failing(3, 1_000), &matched(&[1], None), &[], "ack");
}

#[test]
fn a_share_waits_for_a_target_that_is_not_configured_here_and_is_given_up_like_one_out_of_reach() {
    let share = |state| State { targets: TargetSet::EMPTY, elsewhere: true, ..state };
    let brief_of = |state| brief(&of(share(state), Outcome::Unconfigured));
    assert_eq!(brief_of(FRESH), "park Unconfigured [] attempt 1 in 200ms pass 0ns");
    assert_eq!(brief_of(failing(3, 5_000)), "park Unconfigured [] attempt 3 in 5s pass 0ns");
    assert_eq!(brief_of(failing(1, DAY_MS)), "letter gave_up None after 1");
    let both = State { targets: set(&[0]), elsewhere: true, ..FRESH };
    check(both, &matched(&[0], None), &[], "park Unconfigured [] attempt 1 in 200ms pass 0ns");
    check(both, &Resolved::Unmatched { time_us: None }, &[], "park Unconfigured [] attempt 1 in 200ms pass 0ns");
    check(
        both,
        &matched(&[0], None),
        &[failed(0)],
        "park Failed [0] attempt 2 in 200ms pass 0ns; park Unconfigured [] attempt 1 in 200ms pass 0ns",
    );
}

#[test]
fn a_first_failure_in_the_future_does_not_put_off_the_end() {
    let share = State { targets: TargetSet::EMPTY, elsewhere: true, first_failure_ms: Some(i64::MAX), ..FRESH };
    let decided = of(share, Outcome::Unconfigured);
    let Decision::Replace { parks, .. } = &decided else { panic!("{decided:?}") };
    assert_eq!(parks[0].state.first_failure_ms, Some(NOW_MS), "it counts from now on");
    check(
        failing(1, -DAY_MS),
        &matched(&[0], None),
        &[unreachable(0)],
        "park Unreachable [0] attempt 1 in 200ms pass 0ns",
    );
}

#[test]
fn a_later_pass_is_parked_for_the_targets_that_are_done() {
    let next = matched(&[0, 1], Some(1_000));
    check(FRESH, &next, &[], "park NextPass [0, 1] attempt 1 in 1s pass 1s");
    let second = State { pass: Duration::from_secs(1), ..failing(5, 700) };
    check(second, &matched(&[0], Some(30_000)), &[], "park NextPass [0] attempt 1 in 29s pass 30s");
    check(
        second,
        &matched(&[0, 1], Some(30_000)),
        &[failed(1)],
        "park NextPass [0] attempt 1 in 29s pass 30s; park Failed [1] attempt 6 in 3.2s pass 1s",
    );
}

#[test]
fn an_error_costs_an_attempt_until_they_are_used_up() {
    check(FRESH, &matched(&[0, 1], None), &[failed(1)], "park Failed [1] attempt 2 in 200ms pass 0ns");
    check(
        failing(2, 200),
        &matched(&[0, 1], None),
        &[failed(0), failed(1)],
        "park Failed [0, 1] attempt 3 in 400ms pass 0ns",
    );
    check(failing(7, 200), &matched(&[0], None), &[failed(0)], "park Failed [0] attempt 8 in 12.8s pass 0ns");
    check(failing(8, 200), &matched(&[0], None), &[failed(0)], "letter target_error Some(0) after 8");
    check(
        failing(8, 200),
        &matched(&[0, 1], None),
        &[failed(0), failed(1)],
        "letter target_error Some(0) after 8; letter target_error Some(1) after 8",
    );
}

#[test]
fn an_unreachable_target_costs_no_attempt_until_the_share_is_given_up() {
    check(FRESH, &matched(&[0, 1], None), &[unreachable(0)], "park Unreachable [0] attempt 1 in 200ms pass 0ns");
    check(failing(8, 5_000), &matched(&[0], None), &[unreachable(0)], "park Unreachable [0] attempt 8 in 5s pass 0ns");
    check(
        failing(1, DAY_MS - 1),
        &matched(&[0], None),
        &[unreachable(0)],
        "park Unreachable [0] attempt 1 in 300s pass 0ns",
    );
    check(
        FRESH,
        &matched(&[0, 1], None),
        &[away(0, 0), away(1, 20)],
        "park Unreachable [0, 1] attempt 1 in 20s pass 0ns",
    );
    check(failing(1, DAY_MS), &matched(&[0], None), &[unreachable(0)], "letter gave_up Some(0) after 1");
    check(
        failing(1, -DAY_MS),
        &matched(&[0], None),
        &[unreachable(0)],
        "park Unreachable [0] attempt 1 in 200ms pass 0ns",
    );
}

#[test]
fn shares_with_one_fate_travel_in_one_copy_and_others_alone() {
    check(
        FRESH,
        &matched(&[0, 1, 2, 3, 4], Some(1_000)),
        &[failed(1), unreachable(2), failed(3), unreachable(4)],
        "park NextPass [0] attempt 1 in 1s pass 1s; park Failed [1, 3] attempt 2 in 200ms pass 0ns; \
         park Unreachable [2, 4] attempt 1 in 200ms pass 0ns",
    );
}

#[test]
fn what_cannot_be_resolved_is_a_dead_letter_at_once() {
    let limit = DecodeError::Limit { what: "nesting depth", actual: 33, limit: 32, setting: "limits.max_depth" };
    let rule = RuleError { cache: Some("product".to_owned()), error: "column id is missing".to_owned() };
    let cases = [
        (Refused::Decode(DecodeError::Malformed("no JSON".to_owned())), "letter decode None after 1"),
        (Refused::Decode(limit), "letter limit None after 1"),
        (Refused::Rule(rule), "letter rule None after 1"),
    ];
    for (refused, expected) in cases {
        check(FRESH, &Resolved::Refused(refused), &[], expected);
    }
}

#[test]
fn a_rule_error_names_its_cache() {
    let rule = RuleError { cache: Some("product".to_owned()), error: "column id is missing".to_owned() };
    let resolved = Resolved::Refused(Refused::Rule(rule));
    let Decision::Replace { letters, .. } =
        of(FRESH, Outcome::Resolved { resolved: &resolved, errors: &[], deferred: &[] })
    else {
        panic!("a rule error is a dead letter");
    };
    assert_eq!(letters[0].cache.as_deref(), Some("product"));
    assert_eq!(letters[0].error, "cache product: column id is missing");
}

#[test]
fn a_panic_costs_an_attempt_of_everything_that_was_to_do() {
    let some = State { targets: set(&[1]), pass: Duration::from_secs(1), ..FRESH };
    assert_eq!(brief(&of(some, Outcome::Panicked("boom"))), "park Panicked [1] attempt 2 in 200ms pass 1s");
    let Decision::Replace { parks, .. } = of(FRESH, Outcome::Panicked("boom")) else { panic!("it is tried again") };
    assert_eq!(parks[0].state.targets, TargetSet::ALL);
    assert_eq!(brief(&of(failing(8, 0), Outcome::Panicked("boom"))), "letter panic None after 8");
}

#[test]
fn a_delivery_that_kills_workers_is_not_tried_again() {
    assert_eq!(brief(&of(FRESH, Outcome::KillsWorkers(10))), "letter panic None after 1");
    assert_eq!(brief(&of(FRESH, Outcome::Unreadable("why"))), "letter decode None after 1");
}

#[test]
fn what_a_stopping_worker_did_not_finish_goes_back() {
    assert_eq!(of(failing(3, 5), Outcome::Interrupted), Decision::Release);
}

fn any_error() -> impl Strategy<Value = Option<ShareError<&'static str>>> {
    prop_oneof![
        Just(None),
        Just(Some(ShareError::Failed("ERR"))),
        Just(Some(ShareError::Unreachable { error: "refused", away: Duration::ZERO })),
    ]
}

proptest! {
    #[test]
    fn every_target_ends_done_parked_or_dead_lettered_and_attempts_never_decrease(
        asked_bits in 1_u8..=255,
        fates in proptest::collection::vec(any_error(), 8),
        attempt in 1_u32..12,
        failing_ms in proptest::option::of(-1_000..2 * DAY_MS),
        pass_ms in prop_oneof![Just(0_u64), Just(1_000)],
        next_ms in proptest::option::of(1_001_u64..60_000),
        random in 0.0..=1.0_f64,
    ) {
        let targets: TargetSet = (0..8).filter(|bit| asked_bits & (1 << bit) != 0).map(TargetId).collect();
        let pass = Duration::from_millis(pass_ms);
        let state = State { attempt, pass, first_failure_ms: failing_ms.map(|ms| NOW_MS - ms), ..FRESH };
        let errors: Vec<_> = (0..8)
            .map(TargetId)
            .zip(&fates)
            .filter(|(id, _)| targets.contains(*id))
            .filter_map(|(id, fate)| fate.map(|error| (id, error)))
            .collect();
        let resolved = Resolved::Matched(Matched { targets, next_pass: next_ms.map(Duration::from_millis), time_us: None });
        let outcome = Outcome::Resolved { resolved: &resolved, errors: &errors, deferred: &[] };
        let decision = decide(outcome, &Terms { state, policy: &policy(), now_ms: NOW_MS, random });

        let undone: TargetSet = errors.iter().map(|(id, _)| *id).collect();
        let (parks, letters) = match decision {
            Decision::Ack => (Vec::new(), Vec::new()),
            Decision::Replace { parks, letters } => {
                prop_assert!(!(parks.is_empty() && letters.is_empty()));
                (parks, letters)
            }
            Decision::Release => return Err(TestCaseError::fail("nothing was interrupted")),
        };
        let mut handled = targets.difference(undone);
        for park in &parks {
            prop_assert!(!park.state.targets.is_empty());
            if park.why == Why::NextPass {
                prop_assert_eq!(park.state.targets, targets.difference(undone));
                prop_assert!(park.state.pass > pass);
            } else {
                prop_assert!(park.state.attempt >= attempt && park.state.attempt <= policy().max_attempts.max(attempt));
                prop_assert_eq!(park.state.pass, pass);
                prop_assert!(park.state.first_failure_ms.is_some());
                prop_assert!(handled.intersection(park.state.targets).is_empty());
                handled = handled.union(park.state.targets);
            }
        }
        for target in letters.iter().filter_map(|letter| letter.target) {
            prop_assert!(!handled.contains(target));
            handled.insert(target);
        }
        prop_assert_eq!(handled, targets);
        prop_assert_eq!(parks.iter().any(|park| park.why == Why::NextPass), next_ms.is_some() && !targets.difference(undone).is_empty());
    }
}
