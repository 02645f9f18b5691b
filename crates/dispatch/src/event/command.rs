//! Gathers what a direct command names, and spells it in the order of the format.

use std::time::SystemTime;

use serde::ser::{Serialize, SerializeMap, Serializer};

use super::change::put;
use super::{Document, EventError, id, spell};

/// A direct command: removes what it names, whatever depends on what.
///
/// ```
/// use quash_dispatch::event::{Event, Invalidate};
///
/// let commands = [
///     Invalidate::cache("catalog_page").arg("author_id", 3),   // arguments that are left out are any
///     Invalidate::key("product:42").target("eu"),              // on one target; on every one otherwise
///     Invalidate::prefix("catalog:3:"),
///     Invalidate::tag("author:3"),
/// ];
/// for command in commands {
///     assert!(Event::from(command).document().is_ok());
/// }
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Invalidate {
    pub(super) command: Command,
    pub(super) wrong: Option<EventError>,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Command {
    what: &'static str,
    name: String,
    args: Option<Document>,
    target: Option<String>,
    pub(super) id: String,
    pub(super) time: Option<SystemTime>,
}

impl Invalidate {
    /// Everything of a declared cache, or what [`Invalidate::arg`] leaves of it.
    ///
    /// ```
    /// # use quash_dispatch::event::{Event, Invalidate};
    /// let event = Event::from(Invalidate::cache("catalog_page"));
    /// assert_eq!(event.document()?["invalidate"], serde_json::json!({"cache": "catalog_page"}));
    /// # Ok::<(), quash_dispatch::event::EventError>(())
    /// ```
    #[must_use]
    pub fn cache(name: impl Into<String>) -> Self {
        Self::new("cache", name.into())
    }

    /// One key, as the application spells it.
    ///
    /// ```
    /// # use quash_dispatch::event::{Event, Invalidate};
    /// let event = Event::from(Invalidate::key("product:42"));
    /// assert_eq!(event.document()?["invalidate"], serde_json::json!({"key": "product:42"}));
    /// # Ok::<(), quash_dispatch::event::EventError>(())
    /// ```
    #[must_use]
    pub fn key(key: impl Into<String>) -> Self {
        Self::new("key", key.into())
    }

    /// Every key that begins with this.
    ///
    /// ```
    /// # use quash_dispatch::event::{Event, Invalidate};
    /// let event = Event::from(Invalidate::prefix("catalog:3:"));
    /// assert_eq!(event.document()?["invalidate"], serde_json::json!({"prefix": "catalog:3:"}));
    /// # Ok::<(), quash_dispatch::event::EventError>(())
    /// ```
    #[must_use]
    pub fn prefix(prefix: impl Into<String>) -> Self {
        Self::new("prefix", prefix.into())
    }

    /// One generation token.
    ///
    /// ```
    /// # use quash_dispatch::event::{Event, Invalidate};
    /// let event = Event::from(Invalidate::tag("author:3"));
    /// assert_eq!(event.document()?["invalidate"], serde_json::json!({"tag": "author:3"}));
    /// # Ok::<(), quash_dispatch::event::EventError>(())
    /// ```
    #[must_use]
    pub fn tag(tag: impl Into<String>) -> Self {
        Self::new("tag", tag.into())
    }

    fn new(what: &'static str, name: String) -> Self {
        let now = SystemTime::now();
        let command = Command { what, name, args: None, target: None, id: id::fresh(now), time: Some(now) };
        Self { command, wrong: None }
    }

    /// An argument of the cache; call it once for each.
    ///
    /// ```
    /// # use quash_dispatch::event::{Event, Invalidate};
    /// let event = Event::from(Invalidate::cache("catalog_page").arg("author_id", 3).arg("page", 1));
    /// assert_eq!(event.document()?["invalidate"]["args"], serde_json::json!({"author_id": 3, "page": 1}));
    /// # Ok::<(), quash_dispatch::event::EventError>(())
    /// ```
    #[must_use]
    pub fn arg(mut self, name: impl Into<String>, value: impl Serialize) -> Self {
        let name = name.into();
        match spell::value(&value) {
            Ok(spelt) => drop(self.command.args.get_or_insert_default().insert(name, spelt.json)),
            Err(error) => {
                let Command { what, name: of, .. } = &self.command;
                self.wrong.get_or_insert(EventError::new(format!("invalidate {what} {of}: argument {name}: {error}")));
            }
        }
        self
    }

    /// The target to act on; every one when it is left out.
    ///
    /// ```
    /// # use quash_dispatch::event::{Event, Invalidate};
    /// let event = Event::from(Invalidate::key("product:42").target("eu"));
    /// assert_eq!(event.document()?["invalidate"]["target"], "eu");
    /// # Ok::<(), quash_dispatch::event::EventError>(())
    /// ```
    #[must_use]
    pub fn target(mut self, target: impl Into<String>) -> Self {
        self.command.target = Some(target.into());
        self
    }

    /// Names the command, in the place of a fresh UUID.
    ///
    /// ```
    /// # use quash_dispatch::event::{Event, Invalidate};
    /// let event = Event::from(Invalidate::tag("author:3").id("import-7"));
    /// assert_eq!(event.document()?["id"], "import-7");
    /// # Ok::<(), quash_dispatch::event::EventError>(())
    /// ```
    #[must_use]
    pub fn id(mut self, id: impl Into<String>) -> Self {
        self.command.id = id.into();
        self
    }

    /// When the reason for it was committed, in the place of now.
    ///
    /// ```
    /// # use quash_dispatch::event::{Event, Invalidate};
    /// use std::time::{Duration, UNIX_EPOCH};
    ///
    /// let event = Event::from(Invalidate::tag("author:3").time(UNIX_EPOCH + Duration::from_secs(1_700_000_000)));
    /// assert_eq!(event.document()?["time"], "2023-11-14T22:13:20Z");
    /// # Ok::<(), quash_dispatch::event::EventError>(())
    /// ```
    #[must_use]
    pub fn time(mut self, time: SystemTime) -> Self {
        self.command.time = Some(time);
        self
    }
}

impl Command {
    pub(super) fn check(&self) -> Result<(), EventError> {
        if self.name.is_empty() {
            return Err(EventError::new(format!("a command names a {}, and not with an empty text", self.what)));
        }
        if self.args.is_some() && self.what != "cache" {
            return Err(EventError::new("a command has args only with a cache"));
        }
        Ok(())
    }
}

/// The fields in the order of the format.
impl Serialize for Command {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = serializer.serialize_map(None)?;
        fields.serialize_entry("id", &self.id)?;
        fields.serialize_entry("invalidate", &Named(self))?;
        put(&mut fields, "time", self.time.map(id::time))?;
        fields.end()
    }
}

/// What a command names.
struct Named<'c>(&'c Command);

impl Serialize for Named<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Command { what, name, args, target, .. } = self.0;
        let mut fields = serializer.serialize_map(None)?;
        fields.serialize_entry(what, name)?;
        put(&mut fields, "args", args.as_ref())?;
        put(&mut fields, "target", target.as_ref())?;
        fields.end()
    }
}
