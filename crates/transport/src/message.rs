//! Holds what travels: a payload that nobody changes, and headers.

use std::borrow::Cow;

use bytes::Bytes;

/// The header by which a transport says that it could not read the headers of a message as they were published, and why.
/// The others hold what could be read of them. Such a message is a dead letter; a replay of it is as good as any other.
pub const UNREADABLE: &str = "quash-unreadable";

/// How the names begin of what Quash itself says of a message.
#[cfg(any(feature = "amqp", feature = "nats", feature = "redis_streams"))]
const OWN: &str = "quash-";

/// How many headers of a publisher are kept: finding one among them takes the longer the more there are.
#[cfg(any(feature = "amqp", feature = "nats", feature = "redis_streams"))]
const THEIRS_MAX: usize = 1000;

/// How many of those are kept that Quash wrote, whatever else there is: without them a copy would begin anew for ever.
#[cfg(any(feature = "amqp", feature = "nats", feature = "redis_streams"))]
const OWN_MAX: usize = 50;

/// How many headers a message has at most that was received.
#[cfg(feature = "redis_streams")]
pub(super) const HEADERS_MAX: usize = THEIRS_MAX + OWN_MAX;

/// Text as it is, and bytes that are not UTF-8 as a percent sign and two digits.
#[cfg(any(feature = "amqp", feature = "nats"))]
pub(super) fn legible(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        chunk.invalid().iter().for_each(|byte| text.push_str(&format!("%{byte:02X}")));
    }
    text
}

/// A payload with its headers.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Message {
    /// The body, byte for byte as published. Cloning shares it.
    pub payload: Bytes,
    /// The headers; names are unique and lower case.
    pub headers: Headers,
}

/// Headers in the order they were set, which not every broker keeps: two are equal whatever their order. Most messages
/// have none, and then nothing is allocated.
#[derive(Debug, Clone, Eq, Default)]
pub struct Headers(Vec<(Cow<'static, str>, String)>);

impl PartialEq for Headers {
    fn eq(&self, other: &Self) -> bool {
        // Names are unique.
        self.0.len() == other.0.len() && self.0.iter().all(|(name, value)| other.get(name) == Some(value))
    }
}

impl Headers {
    /// The value of a header.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// Sets a header, replacing what it was.
    pub fn set(&mut self, name: impl Into<Cow<'static, str>>, value: impl Into<String>) {
        let (name, value) = (name.into(), value.into());
        match self.0.iter_mut().find(|(known, _)| *known == name) {
            Some(entry) => entry.1 = value,
            None => self.0.push((name, value)),
        }
    }

    /// Those of Quash first, then the others.
    #[cfg(feature = "redis_streams")]
    pub(super) fn own_first(&self) -> impl Iterator<Item = &(Cow<'static, str>, String)> {
        let is_own = |(name, _): &&(Cow<'static, str>, String)| name.starts_with(OWN);
        self.0.iter().filter(is_own).chain(self.0.iter().filter(move |header| !is_own(header)))
    }

    /// Takes a header out.
    pub fn remove(&mut self, name: &str) -> Option<String> {
        let index = self.0.iter().position(|(known, _)| known == name)?;
        Some(self.0.remove(index).1)
    }

    /// All headers, in order.
    #[must_use]
    pub fn as_slice(&self) -> &[(Cow<'static, str>, String)] {
        &self.0
    }
}

/// The headers of a message as it comes in, as many as are kept.
#[cfg(any(feature = "amqp", feature = "nats", feature = "redis_streams"))]
#[derive(Default)]
pub(super) struct Incoming {
    pub(super) headers: Headers,
    theirs: usize,
    own: usize,
}

#[cfg(any(feature = "amqp", feature = "nats", feature = "redis_streams"))]
impl Incoming {
    /// Takes one in, if there is room.
    pub(super) fn take(&mut self, name: String, value: impl Into<String>) {
        let (taken, most) =
            if name.starts_with(OWN) { (&mut self.own, OWN_MAX) } else { (&mut self.theirs, THEIRS_MAX) };
        if *taken < most {
            *taken += 1;
            self.headers.set(name, value);
        }
    }
}

#[cfg(all(test, any(feature = "amqp", feature = "nats", feature = "redis_streams")))]
mod tests {
    use super::*;

    #[test]
    fn what_quash_wrote_is_kept_however_many_others_there_are() {
        let mut incoming = Incoming::default();
        (0..100_000).for_each(|index| incoming.take(format!("x-{index}"), "theirs"));
        (0..100_000).for_each(|index| incoming.take(format!("quash-{index}"), "own"));
        let headers = incoming.headers;
        assert_eq!(headers.as_slice().len(), THEIRS_MAX + OWN_MAX);
        assert_eq!((headers.get("x-999"), headers.get("x-1000")), (Some("theirs"), None));
        assert_eq!((headers.get("quash-49"), headers.get("quash-50")), (Some("own"), None));
        #[cfg(feature = "redis_streams")]
        assert!(headers.own_first().take(OWN_MAX).all(|(_, value)| value == "own"));
    }
}
