//! Makes the keys of entries that are to be stale into calls of the script that does it.

use redis::Cmd;

use super::{Key, Order};
use quash_core::action::Void;
use quash_core::freshness::scripts::{VOID, version_arg};

/// How many keys one call names at most: it holds the server for about as long as the largest UNLINK does.
const KEYS_MAX: usize = 64;

/// The call for these keys; with the whole script, or with the digest by which the server knows it.
pub(super) fn command(keys: &[Key<'_>], void: Void, whole: bool) -> Cmd {
    let mut command = redis::cmd(if whole { "EVAL" } else { "EVALSHA" });
    command.arg(if whole { VOID.text } else { VOID.sha1 }).arg(keys.len());
    for key in keys {
        command.arg(key.name.as_ref());
    }
    command.arg(&version_arg(void.version)).arg(void.hold_ms).arg(void.stale_ms);
    command
}

/// As few calls as the largest allows, each for keys of one group that are made stale in the same way.
pub(in crate::redis) fn voids<'a, G: Ord>(
    mut keys: Vec<(Void, Key<'a>)>,
    group: impl Fn(&Key<'a>) -> G,
) -> Vec<Order<'a>> {
    keys.sort_by_cached_key(|(void, key)| (*void, group(key)));
    let groups = keys.chunk_by(|one, other| one.0 == other.0 && group(&one.1) == group(&other.1));
    let calls = groups.flat_map(|keys| keys.chunks(KEYS_MAX));
    let order = |keys: &[(Void, Key<'a>)]| {
        let void = keys.first().map(|(void, _)| *void)?;
        Some(Order::Void { keys: keys.iter().map(|(_, key)| key.clone()).collect(), void, whole: false })
    };
    calls.filter_map(order).collect()
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::*;
    use crate::Refusal;
    use crate::redis::order::Tally;
    use redis::Value;

    const STALE: Void = Void { version: 0, hold_ms: 0, stale_ms: 30_000 };

    fn keys(names: &'static [&'static str], guarded: bool) -> Vec<Key<'static>> {
        let key = |(owner, name): (usize, &&'static str)| Key { owner, name: Cow::Borrowed(name.as_bytes()), guarded };
        names.iter().enumerate().map(key).collect()
    }

    fn error(line: &str) -> Value {
        redis::parse_redis_value(format!("-{line}\r\n").as_bytes()).unwrap()
    }

    #[test]
    fn an_entry_and_its_guard_stay_in_one_command() {
        let packed = |order: &Order<'_>| {
            let packed = String::from_utf8(order.command().get_packed_command()).unwrap();
            packed.lines().skip(1).filter(|line| !line.starts_with('$')).collect::<Vec<_>>().join(" ")
        };
        let both = Order::Unlink(keys(&["a", "b"], true));
        assert_eq!(packed(&both), "UNLINK a a!q b b!q");
        let mut tally = Tally::new(2);
        tally.book(both.clone(), error("NOPERM No permissions to access a key")).unwrap();
        assert_eq!(tally.again.iter().map(packed).collect::<Vec<_>>(), ["UNLINK a a!q", "UNLINK b b!q"]);
        // Nor is either asked for by itself while their slot moves.
        assert!(tally.book(Order::Unlink(keys(&["a"], true)), error("TRYAGAIN Multiple keys request")).is_err());
        let mut tally = Tally::new(2);
        tally.book(both, Value::Int(3)).unwrap();
        assert_eq!(tally.outcomes(), [Ok(2), Ok(1)]);
    }

    #[test]
    fn what_is_not_done_is_asked_for_in_another_way() {
        let order = |names, whole| Order::Void { keys: keys(names, false), void: STALE, whole };
        let mut tally = Tally::new(2);
        tally.book(order(&["a", "b"], false), error("NOSCRIPT No matching script")).unwrap();
        assert_eq!(std::mem::take(&mut tally.again), [order(&["a", "b"], true)]);
        tally.book(order(&["a", "b"], true), error("OOM command not allowed when used memory > 'maxmemory'.")).unwrap();
        assert_eq!(std::mem::take(&mut tally.again), [Order::Unlink(keys(&["a", "b"], false))]);
        let held = Void { hold_ms: 2000, ..STALE };
        let hold = Order::Void { keys: keys(&["a"], false), void: held, whole: true };
        assert!(tally.book(hold, error("OOM command not allowed")).is_err(), "a hold waits for memory");
        tally.book(order(&["a", "b"], true), Value::BulkString(b"SD".to_vec())).unwrap();
        let line = "ERR The user executing the script can't run this command or subcommand";
        tally.book(order(&["a"], true), error(line)).unwrap();
        assert_eq!(tally.outcomes(), [Err(Refusal(line.to_owned())), Ok(0)]);
    }

    #[test]
    fn a_call_names_keys_of_one_group_and_one_way() {
        let (stale, hold) =
            (Void { version: 0, hold_ms: 0, stale_ms: 30_000 }, Void { version: 7, hold_ms: 2000, stale_ms: 0 });
        let keys = (0..200).map(|owner| {
            let key = Key::plain(owner, Cow::Owned(vec![b'k']));
            (if owner < 70 { hold } else { stale }, key)
        });
        let sizes: Vec<_> = voids(keys.collect(), |key| key.owner >= 100)
            .iter()
            .map(|order| match order {
                Order::Void { keys, void, whole: false } => (keys.len(), void.version),
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(sizes, [(30, 0), (64, 0), (36, 0), (64, 7), (6, 7)]);
    }

    #[test]
    fn a_call_is_spelt_as_the_script_reads_it() {
        let keys = ["a", "b"].map(|name| Key::plain(0, Cow::Borrowed(name.as_bytes())));
        let void = Void { version: 42, hold_ms: 2000, stale_ms: 30_000 };
        let packed = |whole| String::from_utf8(command(&keys, void, whole).get_packed_command()).unwrap();
        let words = |whole| -> Vec<String> {
            packed(whole).split("\r\n").skip(1).filter(|line| !line.starts_with('$')).map(str::to_owned).collect()
        };
        let arguments = ["2", "a", "b", "00000000000000000042", "2000", "30000", ""];
        assert_eq!(words(false), [&["EVALSHA", VOID.sha1], &arguments[..]].concat());
        assert_eq!(words(true)[0], "EVAL");
        assert!(packed(true).contains(VOID.text));
    }
}
