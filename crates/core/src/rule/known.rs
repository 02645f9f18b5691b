//! Says what is known of a row's columns before and after a change, also where an image does not carry them.

use crate::event::{Event, Row, Value};

/// One image of an event, with what else is known of its columns.
#[derive(Clone, Copy)]
pub(super) struct Side<'e> {
    event: &'e Event<'e>,
    image: Option<&'e Row<'e>>,
    other: Option<&'e Row<'e>>,
    is_before: bool,
}

impl<'e> Side<'e> {
    /// The row before the change.
    pub(super) fn before(event: &'e Event<'e>) -> Self {
        Self { event, image: event.before.as_ref(), other: event.after.as_ref(), is_before: true }
    }

    /// The row after the change.
    pub(super) fn after(event: &'e Event<'e>) -> Self {
        Self { event, image: event.after.as_ref(), other: event.before.as_ref(), is_before: false }
    }

    /// Whether this is the row before the change.
    pub(super) const fn is_before(self) -> bool {
        self.is_before
    }

    /// The image as the event carries it.
    #[cfg(feature = "rules")]
    pub(super) const fn image(self) -> Option<&'e Row<'e>> {
        self.image
    }

    /// The value of a column; `None` is unknown.
    ///
    /// What the image does not carry is still known when it is part of the key, or when the other image carries it and the
    /// publisher says that it did not change. Of a key that changed it is not known which of the two the event names, unless
    /// it carries an image after the change.
    pub(super) fn at<S: AsRef<str>>(self, path: &[S]) -> Option<&'e Value<'e>> {
        if let Some(value) = self.image.and_then(|image| image.at(path)) {
            return Some(value);
        }
        let column = path.first()?.as_ref();
        let said_changed = self.event.changed.as_ref().map(|changed| changed.iter().any(|name| name == column));
        let names_another = said_changed == Some(true) && (self.is_before || self.image.is_none());
        if !names_another && let Some(value) = self.event.key.at(path) {
            return Some(value);
        }
        self.other.filter(|_| said_changed == Some(false)).and_then(|other| other.at(path))
    }
}

/// Whether a column of an updated row changed, as far as the event says; what is not known counts as changed.
pub(super) fn may_have_changed(event: &Event<'_>, column: &str) -> bool {
    if let Some(changed) = &event.changed {
        return changed.iter().any(|name| name == column);
    }
    match (&event.before, &event.after) {
        (Some(before), Some(after)) => match (before.get(column), after.get(column)) {
            (Some(before), Some(after)) => before != after,
            _ => true,
        },
        _ => true,
    }
}
