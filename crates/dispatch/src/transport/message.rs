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
///
/// ```
/// use quash_dispatch::transport::Message;
///
/// let mut message = Message { payload: r#"{"entity":"shop.Book","op":"truncate"}"#.into(), ..Message::default() };
/// message.headers.set("content-type", "application/json");
/// assert_eq!(message.headers.get("content-type"), Some("application/json"));
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Message {
    /// The body, byte for byte as published. Cloning shares it.
    pub payload: Bytes,
    /// The headers; names are unique and lower case.
    pub headers: Headers,
}

/// Headers in the order they were set, which not every broker keeps: two are equal whatever their order. Most messages
/// have none, and then nothing is allocated.
///
/// ```
/// use quash_dispatch::transport::Headers;
///
/// let (mut one, mut other) = (Headers::default(), Headers::default());
/// one.set("a", "1");
/// one.set("b", "2");
/// other.set("b", "2");
/// other.set("a", "1");
/// assert_eq!(one, other);
/// ```
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
    ///
    /// ```
    /// # use quash_dispatch::transport::Headers;
    /// let mut headers = Headers::default();
    /// headers.set("content-type", "application/json");
    /// assert_eq!(headers.get("content-type"), Some("application/json"));
    /// assert_eq!(headers.get("message-id"), None);
    /// ```
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// Sets a header, replacing what it was.
    ///
    /// ```
    /// # use quash_dispatch::transport::Headers;
    /// let mut headers = Headers::default();
    /// headers.set("tries", "1");
    /// headers.set("tries", "2");
    /// assert_eq!(headers.get("tries"), Some("2"));
    /// ```
    pub fn set(&mut self, name: impl Into<Cow<'static, str>>, value: impl Into<String>) {
        let (name, value) = (name.into(), value.into());
        match self.0.iter_mut().find(|(known, _)| *known == name) {
            Some(entry) => entry.1 = value,
            None => self.0.push((name, value)),
        }
    }

    /// Takes a header out.
    ///
    /// ```
    /// # use quash_dispatch::transport::Headers;
    /// let mut headers = Headers::default();
    /// headers.set("tries", "1");
    /// assert_eq!(headers.remove("tries").as_deref(), Some("1"));
    /// assert_eq!(headers, Headers::default());
    /// ```
    pub fn remove(&mut self, name: &str) -> Option<String> {
        let place = self.0.iter().position(|(known, _)| known == name)?;
        Some(self.0.remove(place).1)
    }

    /// All headers, in order.
    ///
    /// ```
    /// # use quash_dispatch::transport::Headers;
    /// let mut headers = Headers::default();
    /// headers.set("b", "1");
    /// headers.set("a", "2");
    /// let names: Vec<_> = headers.as_slice().iter().map(|(name, _)| name.as_ref()).collect();
    /// assert_eq!(names, ["b", "a"]);
    /// ```
    #[must_use]
    pub fn as_slice(&self) -> &[(Cow<'static, str>, String)] {
        &self.0
    }
}
