//! Takes random steps on the store in memory and on Redis, and compares replies, bytes and times to live.

use std::collections::BTreeMap;

use quash_core::freshness::{Codec, Entry, Form, HOLD, MAGIC, Tag, Token, Want};

use super::{Real, Reply, Step, memory, on_memory};

const STEPS: usize = 3_000;
const NAMES: [(&str, &str); 4] = [("a", "a!q"), ("b", "b!q"), ("c", "c!q"), ("d", "d!q")];
/// Longer than the test takes by far, shorter than what times to live differ by.
const SLACK_MS: i64 = 60_000;

#[tokio::test]
async fn the_store_in_memory_does_what_redis_does() {
    let now_ms = 1_700_000_000_000;
    let (store, mut real) = (memory(now_ms), Real::start().await);
    real.empty(now_ms).await;
    let mut chance = fastrand::Rng::with_seed(42);
    let mut seen: BTreeMap<String, u32> = BTreeMap::new();
    for number in 0..STEPS {
        let (names, step) = random(&mut chance);
        let (one, other) = (on_memory(&store, names, &step).await, real.apply(names, &step).await);
        assert_eq!(one, other, "step {number}: {names:?} {step:?}");
        *seen.entry(kind(&one)).or_default() += 1;
        for name in [names.0, names.1] {
            let (bytes, left_ms) = real.at(name).await;
            assert_eq!(store.bytes(name), bytes, "step {number}: {name} {step:?}");
            let off = left_ms - store.left_ms(name);
            assert!(off.abs() < SLACK_MS, "step {number}: {name} {step:?}: {left_ms}, not {}", store.left_ms(name));
        }
    }
    // Every answer that there is was compared often.
    let answers = [
        "There none",
        "There some",
        "Won",
        "Value",
        "Busy",
        "Held",
        "Foreign",
        "Stored",
        "Gone",
        "TooOld",
        "Dropped(true)",
        "Dropped(false)",
        "Voided(Removed)",
        "Voided(Stale)",
        "Voided(Held)",
        "Voided(Known)",
    ];
    for answer in answers {
        assert!(seen.get(answer).is_some_and(|times| *times >= 5), "{answer} was seen too seldom: {seen:?}");
    }
}

fn kind(reply: &Reply) -> String {
    match reply {
        Reply::There(bytes) => format!("There {}", if bytes.is_some() { "some" } else { "none" }),
        Reply::Taken(taken) => first_word(&format!("{taken:?}")),
        Reply::Filled(filled) => first_word(&format!("{filled:?}")),
        other => format!("{other:?}"),
    }
}

fn first_word(text: &str) -> String {
    text.split(' ').next().unwrap_or_default().to_owned()
}

fn random(chance: &mut fastrand::Rng) -> ((&'static str, &'static str), Step) {
    let kind = chance.u32(..30);
    // The last key has a guard, and nothing but what has to do with guards.
    let names = if kind >= 25 { NAMES[3] } else { NAMES[chance.usize(..3)] };
    let nobody = chance.u32(..20) == 0;
    let token = if nobody { Token::NOBODY } else { Token::from_random(chance.u64(1..4)) };
    let of = |chance: &mut fastrand::Rng, list: &[u64]| list[chance.usize(..list.len())];
    let lease_ms = of(chance, &[200_000, 900_000]);
    let version = chance.u64(..5);
    let step = match kind {
        0..=2 => Step::Ask { token, lease_ms },
        3..=6 => {
            let want = if chance.bool() { Want::Miss } else { Want::Refresh };
            Step::Take { token, lease_ms, want }
        }
        7..=12 | 21 => {
            let tags = (0..chance.usize(..3)).map(|_| Tag::from_random(chance.u64(..))).collect();
            let (codec, form, encryption) = (Codec::Plain, Form::Value, None);
            let entry = Entry { codec, form, encryption, fresh_until_ms: 0, tags, payload: b"\0\xffpayload" };
            let entry = entry.encode(version).unwrap();
            Step::Fill { token, version, ttl_ms: of(chance, &[200_000, 600_000]), entry }
        }
        13 => Step::Drop { token },
        14..=17 => Step::Void {
            version,
            hold_ms: of(chance, &[400_000, 700_000]),
            stale_ms: of(chance, &[0, 300_000, 800_000]),
        },
        18 => Step::Void { version: 0, hold_ms: 0, stale_ms: of(chance, &[0, 300_000]) },
        19 => Step::Set { bytes: foreign(chance), px: of(chance, &[0, 500_000]).checked_sub(1).map(|px| px + 1) },
        20 => Step::Set { bytes: HOLD.to_vec(), px: Some(500_000) },
        22 | 29 => Step::Unlink,
        23 | 24 => Step::Time { ms: of(chance, &[0, 1, 50_000, 2_000_000]) },
        25 | 26 => Step::GuardTake { token, lease_ms },
        _ => Step::GuardFill { token, ttl_ms: 200_000, value: b"plain".to_vec() },
    };
    (names, step)
}

/// What no reader wrote: nothing, text, a piece of a frame, a state that there is not.
fn foreign(chance: &mut fastrand::Rng) -> Vec<u8> {
    let mut strange = HOLD.to_vec();
    strange[3] = b'X';
    let all = [Vec::new(), b"foreign".to_vec(), MAGIC.to_vec(), strange];
    all[chance.usize(..all.len())].clone()
}
