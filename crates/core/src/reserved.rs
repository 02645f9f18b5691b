//! Keeps what Quash stores for itself on a target apart from what it removes.

use crate::plan::{ActionKind, Of};

/// What the keys begin with that Quash keeps for itself on a target.
pub const RESERVED: &str = "quash:";

/// Whether an action on a key or a prefix may concern Quash's own keys.
pub(crate) fn is(key: &str, kind: ActionKind) -> bool {
    let below = matches!(
        kind,
        ActionKind::DeletePrefix | ActionKind::DeleteGuarded(Of::Prefix) | ActionKind::Void(Of::Prefix, _)
    );
    key.starts_with(RESERVED) || (below && RESERVED.starts_with(key))
}

/// Whether keys that begin with this text, and go on in any way, may be Quash's own.
pub(crate) fn may_begin(root: &str) -> bool {
    root.starts_with(RESERVED) || (RESERVED.starts_with(root) && !root.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_action_reaches_the_keys_of_quash() {
        let cases = [
            ("quash:answer:1", ActionKind::Delete, true),
            ("quash:", ActionKind::Bump, true),
            ("quash", ActionKind::Delete, false),
            ("quash", ActionKind::DeletePrefix, true),
            ("q", ActionKind::DeleteGuarded(Of::Prefix), true),
            ("quashed:", ActionKind::DeletePrefix, false),
            ("shop:1:quash:", ActionKind::DeletePrefix, false),
        ];
        for (key, kind, expected) in cases {
            assert_eq!(is(key, kind), expected, "{key} {kind:?}");
        }
        assert_eq!(["qu", "quash:x", "quash-x", ""].map(may_begin), [true, true, false, false]);
    }
}
