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
