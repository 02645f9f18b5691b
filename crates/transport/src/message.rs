//! Holds what travels: a payload that nobody changes, and headers.

use std::borrow::Cow;

use bytes::Bytes;

/// The header by which a transport says that it could not read the headers of a message as they were published, and why.
/// The others hold what could be read of them. Such a message is a dead letter; a replay of it is as good as any other.
pub const UNREADABLE: &str = "quash-unreadable";

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
