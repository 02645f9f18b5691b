//! Holds entries, makes them stale, and removes them with their guards, as the scripts do it on a server.

use std::time::{Duration, Instant, SystemTime};

use super::{Entry, Refusal, State, refusal};
use quash_core::action::{GUARD, Object, Void};
use quash_core::freshness::scripts::version_arg;
use quash_core::freshness::{HEADER, HOLD, MAGIC, Token};

impl State {
    /// Puts a hold in the place of an entry, or in its guard, and removes the entry then.
    pub(super) fn hold(&mut self, key: &str, ms: u64, guarded: bool) -> Result<u64, Refusal> {
        let holder = if guarded { format!("{key}{GUARD}") } else { key.to_owned() };
        for touched in [&holder, key] {
            if self.refused.contains(touched) {
                return Err(refusal(touched));
            }
        }
        self.entries.insert(holder, Entry { value: HOLD.to_vec(), until: after(ms) });
        Ok(if guarded { u64::from(self.entries.remove(key).is_some()) } else { 0 })
    }

    /// Removes entries together with their guards.
    pub(super) fn remove_guarded(&mut self, object: &Object) -> Result<u64, Refusal> {
        let (mut removed, mut outcome) = (0, Ok(()));
        for key in self.found(object, true)? {
            let pair = [format!("{key}{GUARD}"), key];
            match pair.iter().find(|key| self.refused.contains(*key)) {
                Some(key) => outcome = Err(refusal(key)),
                None => removed += pair.iter().filter(|key| self.entries.remove(*key).is_some()).count() as u64,
            }
        }
        outcome.map(|()| removed)
    }

    /// Makes entries stale; gives how many may be served as that.
    pub(super) fn void_all(&mut self, object: &Object, void: Void) -> Result<u64, Refusal> {
        let (mut stale, mut outcome) = (0, Ok(()));
        for key in self.found(object, false)? {
            match self.refused.contains(&key) {
                true => outcome = Err(refusal(&key)),
                false => stale += u64::from(self.void(&key, void)),
            }
        }
        outcome.map(|()| stale)
    }

    /// The keys of an object: those that are there, or the one that it names.
    fn found(&self, object: &Object, guarded: bool) -> Result<Vec<String>, Refusal> {
        let mut keys = match object {
            Object::Key(key) => return Ok(vec![key.to_string()]),
            Object::Prefix(prefix) if prefix.is_empty() => {
                return Err(Refusal("an empty prefix would remove every key".to_owned()));
            }
            Object::Prefix(prefix) => self.with_prefix(prefix),
            Object::Pattern(pattern) if guarded => {
                [self.matching(pattern), self.matching(&pattern.followed_by(GUARD))].concat()
            }
            Object::Pattern(pattern) => self.matching(pattern),
        };
        if guarded {
            keys.iter_mut()
                .for_each(|key| key.truncate(key.len() - if key.ends_with(GUARD) { GUARD.len() } else { 0 }));
            keys.sort_unstable();
            keys.dedup();
        }
        Ok(keys)
    }

    /// What the script `void` does to one key; whether its value may be served stale now.
    fn void(&mut self, key: &str, Void { version, hold_ms, stale_ms }: Void) -> bool {
        let now = Instant::now();
        let old = self.entries.get_mut(key).filter(|entry| entry.lives(now));
        let (mut state, mut bar, mut lease) = (None, version_arg(0), [b'0'; 29]);
        if let Some(header) = old.as_ref().and_then(|entry| framed(&entry.value)) {
            state = Some(header[3]);
            bar.copy_from_slice(&header[37..]);
            if version > 0 {
                lease.copy_from_slice(&header[8..37]);
            }
        }
        let wanted = version_arg(version);
        if version > 0 && bar >= wanted {
            return false;
        }
        bar = bar.max(wanted);
        if version == 0 && hold_ms > 0 {
            lease[..16].copy_from_slice(Token::NOBODY.as_bytes());
            lease[16..].copy_from_slice(format!("{:013}", now_ms().saturating_add(hold_ms)).as_bytes());
        }
        let left = old.as_ref().and_then(|entry| entry.until).map(|until| until.saturating_duration_since(now));
        match (state, old) {
            (Some(b'V' | b'S'), Some(entry)) if stale_ms > 0 => {
                entry.value[3] = b'S';
                entry.value[8..37].copy_from_slice(&lease);
                entry.value[37..HEADER].copy_from_slice(&bar);
                if left.is_none_or(|left| left > Duration::from_millis(stale_ms)) {
                    entry.until = after(stale_ms);
                }
                return true;
            }
            _ if version == 0 && hold_ms == 0 => {
                self.entries.remove(key);
            }
            (state, _) => {
                let is_held = matches!(state, Some(b'L' | b'T'));
                let left = left.filter(|_| is_held).unwrap_or_default();
                let value = [&MAGIC[..], b"T---0", &lease, &bar].concat();
                let until = now.checked_add(left.max(Duration::from_millis(hold_ms)));
                self.entries.insert(key.to_owned(), Entry { value, until });
            }
        }
        false
    }
}

fn framed(value: &[u8]) -> Option<&[u8; HEADER]> {
    value.first_chunk().filter(|header| header.starts_with(&MAGIC))
}

/// A time too long for the clock is for good.
fn after(ms: u64) -> Option<Instant> {
    Instant::now().checked_add(Duration::from_millis(ms))
}

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
