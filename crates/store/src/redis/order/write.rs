//! Spells what writes: tokens, integers, holds and publications.

use std::time::SystemTime;

use quash_core::action::{Action, GUARD, Life, Write};
use quash_core::freshness::HOLD;
use redis::Cmd;

/// The command of an action that writes: a bump, a set, a hold or a publication.
pub(super) fn command(action: &Action) -> Cmd {
    let mut command = redis::cmd(if matches!(action, Action::Publish { .. }) { "PUBLISH" } else { "SET" });
    match action {
        Action::Publish { channel, message } => command.arg(channel.as_bytes()).arg(message.as_bytes()),
        Action::Set { key, write } => set(command.arg(key.as_bytes()), *write),
        Action::Hold { key, ms, guarded } => {
            let name = if *guarded { [key.as_bytes(), GUARD.as_bytes()].concat() } else { key.as_bytes().to_vec() };
            command.arg(name).arg(&HOLD).arg("PX").arg(*ms)
        }
        // A bump; what else has a key never comes here as a write.
        other => command.arg(other.object().as_bytes()).arg(token()),
    };
    command
}

/// What follows the key in a SET.
fn set(command: &mut Cmd, Write { number, life, only_if_exists }: Write) -> &mut Cmd {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let now_us = i64::try_from(since.as_micros()).unwrap_or(i64::MAX);
    command.arg(number.resolve(now_us, fastrand::u64(..)));
    if only_if_exists {
        command.arg("XX");
    }
    match life {
        Life::Forever => command,
        Life::Ms(time) => command.arg("PX").arg(time),
        Life::Keep => command.arg("KEEPTTL"),
    }
}

/// A generation token that was never there before: 63 random bits, so that no eviction and no restart repeats one.
fn token() -> u64 {
    fastrand::u64(..) >> 1
}
