//! Says what each script does to a key: the scripts again, as pure functions, for stores in memory and for models.

use super::frame::{HEADER, MAGIC, Token, blank, digits, number};
use super::scripts::{Filled, Taken, Voided, Want};

/// A key as a script finds it.
#[derive(Debug, Clone, Copy)]
pub struct Found<'a> {
    /// What stands there; nothing where there is no key.
    pub bytes: &'a [u8],
    /// How long it has to live, in milliseconds; `None` is for ever.
    pub left_ms: Option<u64>,
}

/// What a script does to a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Nothing.
    Nothing,
    /// Removes it.
    Remove,
    /// Puts a lease or a hold there.
    Set {
        /// The bytes.
        bytes: [u8; HEADER],
        /// How long it lives.
        ttl_ms: u64,
    },
    /// Overwrites bytes of what is there.
    Patch {
        /// Where they begin.
        at: usize,
        /// The bytes.
        bytes: Vec<u8>,
        /// Its new time to live, where that changes.
        ttl_ms: Option<u64>,
    },
}

/// What a frame's header says, as scripts read it: text, unchecked.
#[derive(Clone, Copy)]
struct Header<'a> {
    state: u8,
    body: &'a [u8],
    token: &'a [u8],
    until: &'a [u8],
    bar: &'a [u8],
}

const NO_VERSION: [u8; 20] = [b'0'; 20];
/// Nobody's token, and a time that is over.
const NO_LEASE: [u8; 29] = [b'0'; 29];

impl<'a> Header<'a> {
    fn read(bytes: &'a [u8]) -> Option<Self> {
        let header = bytes.first_chunk::<HEADER>().filter(|header| header[..3] == MAGIC)?;
        let (state, body, token) = (header[3], &header[4..8], &header[8..24]);
        Some(Self { state, body, token, until: &header[24..37], bar: &header[37..] })
    }

    fn is_blank(&self) -> bool {
        matches!(self.state, b'L' | b'T')
    }
}

/// [`TAKE`](super::scripts::TAKE), by this clock of the server.
#[must_use]
pub fn take(found: Found<'_>, token: Token, lease_ms: u64, want: Want, now_ms: u64) -> (Taken, Effect) {
    let until = digits::<13>(now_ms.saturating_add(lease_ms));
    if found.bytes.is_empty() {
        return (Taken::Won { bar: 0, now_ms }, Effect::Set { bytes: lease_until(token, until), ttl_ms: lease_ms });
    }
    let Some(header) = Header::read(found.bytes) else { return (Taken::Foreign, Effect::Nothing) };
    if header.state == b'V' && want == Want::Miss {
        return (Taken::Value, Effect::Nothing);
    }
    if header.until > &digits::<13>(now_ms)[..] {
        let until_ms = number(header.until).unwrap_or_default();
        if header.token != Token::NOBODY.as_bytes() {
            return (Taken::Busy { until_ms, now_ms }, Effect::Nothing);
        }
        if header.bar == NO_VERSION {
            return (Taken::Held { until_ms, now_ms }, Effect::Nothing);
        }
    }
    let is_short = header.is_blank() && found.left_ms.is_some_and(|left| left < lease_ms);
    let bytes = [&token.as_bytes()[..], &until].concat();
    let bar = number(header.bar).unwrap_or_default();
    (Taken::Won { bar, now_ms }, Effect::Patch { at: 8, bytes, ttl_ms: is_short.then_some(lease_ms) })
}

/// [`FILL`](super::scripts::FILL): whoever is told [`Filled::Stored`] puts the entry there.
#[must_use]
pub fn fill(found: Found<'_>, token: Token, version: u64) -> Filled {
    match Header::read(found.bytes).filter(|header| holds(header, token)) {
        None => Filled::Gone,
        Some(header) if header.bar > &digits::<20>(version)[..] => {
            Filled::TooOld { bar: number(header.bar).unwrap_or(u64::MAX) }
        }
        Some(_) => Filled::Stored,
    }
}

/// [`DROP`](super::scripts::DROP): whether the lease was there.
#[must_use]
pub fn drop_lease(found: Found<'_>, token: Token) -> (bool, Effect) {
    match Header::read(found.bytes).filter(|header| holds(header, token)) {
        None => (false, Effect::Nothing),
        Some(header) if header.state == b'L' => (true, Effect::Remove),
        Some(_) => (true, Effect::Patch { at: 8, bytes: NO_LEASE.to_vec(), ttl_ms: None }),
    }
}

/// [`VOID`](super::scripts::VOID), by this clock of the server; with zeros for what is not asked for. A version needs a hold.
#[must_use]
pub fn void(found: Found<'_>, version: u64, hold_ms: u64, stale_ms: u64, now_ms: u64) -> (Voided, Effect) {
    let given = digits::<20>(version);
    let header = Header::read(found.bytes);
    let bar = header.map_or(&NO_VERSION[..], |header| header.bar);
    if version > 0 && bar >= &given[..] {
        return (Voided::Known, Effect::Nothing);
    }
    let bar = bar.max(&given);
    let lease = match header {
        Some(header) if version > 0 => [header.token, header.until].concat(),
        _ if version == 0 && hold_ms > 0 => {
            [&Token::NOBODY.as_bytes()[..], &digits::<13>(now_ms.saturating_add(hold_ms))].concat()
        }
        _ => NO_LEASE.to_vec(),
    };
    match header {
        Some(header) if stale_ms > 0 && matches!(header.state, b'V' | b'S') => {
            let is_long = found.left_ms.is_none_or(|left| left > stale_ms);
            let bytes = [b"S", header.body, &lease, bar].concat();
            (Voided::Stale, Effect::Patch { at: 3, bytes, ttl_ms: is_long.then_some(stale_ms) })
        }
        _ if version == 0 && hold_ms == 0 => (Voided::Removed, Effect::Remove),
        _ => {
            let left = header.filter(Header::is_blank).and(found.left_ms).unwrap_or_default();
            let mut bytes = blank(b'T', Token::NOBODY);
            bytes[8..37].copy_from_slice(&lease);
            bytes[37..].copy_from_slice(bar);
            (Voided::Held, Effect::Set { bytes, ttl_ms: hold_ms.max(left) })
        }
    }
}

/// [`GUARD_TAKE`](super::scripts::GUARD_TAKE) with this at the guard, given whether there is a value; its effect is on the guard.
#[must_use]
pub fn guard_take(has_value: bool, guard: Found<'_>, token: Token, lease_ms: u64, now_ms: u64) -> (Taken, Effect) {
    if has_value {
        return (Taken::Value, Effect::Nothing);
    }
    let until_ms = |header: Header<'_>| number(header.until).unwrap_or_default();
    match Header::read(guard.bytes).filter(|header| header.until > &digits::<13>(now_ms)[..]) {
        Some(header) if header.token != Token::NOBODY.as_bytes() => {
            (Taken::Busy { until_ms: until_ms(header), now_ms }, Effect::Nothing)
        }
        Some(header) => (Taken::Held { until_ms: until_ms(header), now_ms }, Effect::Nothing),
        None => {
            let bytes = lease_until(token, digits(now_ms.saturating_add(lease_ms)));
            (Taken::Won { bar: 0, now_ms }, Effect::Set { bytes, ttl_ms: lease_ms })
        }
    }
}

/// [`GUARD_FILL`](super::scripts::GUARD_FILL) with this at the guard: whoever is told [`Filled::Stored`] puts the value at the
/// key and removes the guard.
#[must_use]
pub fn guard_fill(guard: Found<'_>, token: Token) -> Filled {
    if Header::read(guard.bytes).is_some_and(|header| holds(&header, token)) { Filled::Stored } else { Filled::Gone }
}

fn holds(header: &Header<'_>, token: Token) -> bool {
    token != Token::NOBODY && header.token == token.as_bytes()
}

fn lease_until(token: Token, until: [u8; 13]) -> [u8; HEADER] {
    let mut bytes = blank(b'L', token);
    bytes[24..37].copy_from_slice(&until);
    bytes
}
