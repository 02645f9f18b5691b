//! Gives a change as a worker would decode it, without spelling and reading it.

use std::borrow::Cow;
use std::ops::Range;

use quash_core::event::{self as decoded, EventLimits, Relation, Row, Type, Types};
use serde_json::Value as Json;

use super::change::{self, Change};
use super::{Body, Document, Event, id};

/// What one byte of text takes at most in a message: a control character is `\u001f` there.
const BYTES_PER_BYTE: usize = 6;

/// What a number takes at most, and what stands around any value.
const BYTES_PER_VALUE: usize = 32;

/// What the names of an event's fields take at most, with its time.
const BYTES_OF_NAMES: usize = 512;

/// The levels around a row at most: the event, and the list of `to`.
const LEVELS_AROUND: usize = 2;

/// The years that are sure to be spelt with four digits and read again: 1970 to 9998, in microseconds.
const TIMES_US: Range<i64> = 0..253_370_764_800_000_000;

impl Event {
    /// The change that a worker would decode from the message of an event that [fits](Event::fits).
    pub(crate) fn decoded(&self) -> Option<decoded::Change<'_>> {
        match &self.body {
            Body::Change(change) => Some(decoded::Change::Event(change.decoded())),
            Body::Command(_) | Body::Given(_) => None,
        }
    }

    /// Whether its message is a change that a worker takes, sure to keep within the limits however it is spelt. Of direct
    /// commands and native JSON only decoding tells.
    pub(crate) fn fits(&self, limits: &EventLimits) -> bool {
        match &self.body {
            Body::Change(change) => self.check().is_ok() && limits.max_events > 0 && change.fits(limits),
            Body::Command(_) | Body::Given(_) => false,
        }
    }
}

impl Change {
    fn decoded(&self) -> decoded::Event<'_> {
        let types = self.types().into_iter();
        let types = types.filter_map(|(path, word)| Some((Cow::Owned(path), Type::named(word.as_str()?))));
        let is_of_row = !self.op.is_of_relation();
        decoded::Event {
            id: Some(Cow::Borrowed(&self.id)),
            source: self.source.as_deref().map(Into::into),
            entity: Cow::Borrowed(&self.entity),
            op: self.op,
            key: self.key.as_ref().map(decoded_row).unwrap_or_default(),
            before: self.before.as_ref().filter(|_| is_of_row).map(decoded_row),
            after: self.after.as_ref().filter(|_| is_of_row).map(decoded_row),
            filled: false,
            changed: self.changed.as_deref().filter(|_| is_of_row).map(decoded_columns),
            types: Types(types.collect()),
            relation: self.decoded_relation(),
            time_us: self.time.map(id::time_us),
            origin: self.origin.as_deref().map(Into::into),
            traceparent: self.traceparent.as_deref().map(Into::into),
            transaction: None,
            answer: None,
        }
    }

    fn decoded_relation(&self) -> Option<Relation<'_>> {
        let name = self.relation.as_deref().filter(|_| self.op.is_of_relation())?;
        let from = self.from.as_ref().map(decoded_row)?;
        Some(Relation { name: Cow::Borrowed(name), from, to: self.to.iter().flatten().map(decoded_row).collect() })
    }

    fn fits(&self, limits: &EventLimits) -> bool {
        let Some(levels) = limits.depth().checked_sub(LEVELS_AROUND) else { return false };
        let types = self.types();
        let texts = [self.source.as_deref(), self.origin.as_deref(), Some(&*self.id), Some(&*self.entity)];
        let texts = texts.into_iter().chain([self.relation.as_deref(), self.traceparent.as_deref()]).flatten();
        let texts = texts.chain(self.changed.iter().flatten().map(String::as_str));
        let is_time_read = self.time.is_none_or(|time| TIMES_US.contains(&id::time_us(time)));
        let mut left = BytesLeft(limits.max_message_bytes);
        is_time_read
            && left.take(BYTES_OF_NAMES).is_some()
            && texts.into_iter().all(|text| left.take_text(text).is_some())
            && self.rows().map(|row| &row.columns).chain([&types]).all(|row| left.take_object(row, levels).is_some())
    }
}

fn decoded_columns(columns: &[String]) -> Vec<Cow<'_, str>> {
    columns.iter().map(|column| Cow::Borrowed(column.as_str())).collect()
}

fn decoded_row(row: &change::Row) -> Row<'_> {
    Row::from(&row.columns)
}

/// The bytes that a message may still take.
struct BytesLeft(usize);

impl BytesLeft {
    fn take(&mut self, bytes: usize) -> Option<()> {
        self.0 = self.0.checked_sub(bytes)?;
        Some(())
    }

    fn take_text(&mut self, text: &str) -> Option<()> {
        self.take(text.len().checked_mul(BYTES_PER_BYTE)?.checked_add(BYTES_PER_VALUE)?)
    }

    fn take_object(&mut self, object: &Document, levels: usize) -> Option<()> {
        let levels = levels.checked_sub(1)?;
        self.take(BYTES_PER_VALUE)?;
        object.iter().try_for_each(|(name, value)| {
            self.take_text(name)?;
            self.take_value(value, levels)
        })
    }

    fn take_value(&mut self, value: &Json, levels: usize) -> Option<()> {
        match value {
            Json::Null | Json::Bool(_) | Json::Number(_) => self.take(BYTES_PER_VALUE),
            Json::String(text) => self.take_text(text),
            Json::Object(object) => self.take_object(object, levels),
            Json::Array(items) => {
                let levels = levels.checked_sub(1)?;
                self.take(BYTES_PER_VALUE)?;
                items.iter().try_for_each(|item| self.take_value(item, levels))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime, UNIX_EPOCH};

    use proptest::prelude::*;
    use quash_core::event::{Format, Payload, decode};
    use serde_json::json;

    use super::*;

    /// What a worker makes of the event's message.
    fn read<R>(event: &Event, limits: &EventLimits, look: impl FnOnce(Result<decoded::Change<'_>, String>) -> R) -> R {
        let body = event.to_json().unwrap();
        let payload = Payload { body: body.as_bytes(), headers: &[] };
        let mut changes = Vec::new();
        let decoded = decode(payload, Format::Json, limits, &mut changes).map_err(|error| error.to_string());
        assert!(changes.len() <= 1);
        look(decoded.map(|()| changes.remove(0)))
    }

    fn value() -> impl Strategy<Value = Json> {
        let leaf = prop_oneof![
            Just(Json::Null),
            any::<bool>().prop_map(Json::from),
            any::<i64>().prop_map(Json::from),
            any::<u64>().prop_map(Json::from),
            any::<f64>().prop_map(Json::from),
            "\\PC{0,6}|[\u{0}-\u{1f}\"\\\\]{0,3}".prop_map(Json::from),
        ];
        leaf.prop_recursive(3, 12, 3, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..3).prop_map(Json::from),
                prop::collection::btree_map("[a-c.]{0,2}", inner, 0..3)
                    .prop_map(|columns| Json::Object(columns.into_iter().collect())),
            ]
        })
    }

    fn row() -> impl Strategy<Value = Json> {
        prop::collection::btree_map("\\PC{1,3}|[a-c]", value(), 0..4)
            .prop_map(|columns| Json::Object(columns.into_iter().collect()))
    }

    /// Anything that an application may say, in any combination.
    fn event() -> impl Strategy<Value = Event> {
        let rows = (row(), prop::option::of(row()), row(), prop::collection::vec(row(), 0..3));
        let texts = (prop::option::of("\\PC{0,5}"), prop::option::of(prop::collection::vec("[a-c]", 0..3)));
        let time = prop_oneof![any::<u32>().prop_map(u64::from), 0_u64..300_000_000_000];
        (0..7, rows, texts, any::<i64>(), time, any::<bool>()).prop_map(|(op, rows, texts, id, seconds, is_typed)| {
            let ((before, after, from, to), (source, changed)) = (rows, texts);
            let event = match op {
                0 => Event::create("shop.Book"),
                1 => Event::update("shop.Book"),
                2 => Event::delete("shop.Book"),
                3 => Event::truncate("shop.Book"),
                4 => Event::add("shop.Book", "tags"),
                5 => Event::remove("shop.Book", "tags"),
                _ => Event::clear("shop.Book", "tags"),
            };
            let event = event.key("id", id).before(&before).from_row(&from);
            let event = event.time(UNIX_EPOCH + Duration::from_millis(seconds * 1000 + 7));
            let event = match after {
                Some(after) => event.after(&after),
                None if op == 0 => event.after(&json!({})),
                None => event,
            };
            let event = if is_typed { event.types([("a", "decimal"), ("b.c", "no type")]) } else { event };
            let event = to.iter().fold(event, |event, row| event.to(row));
            let event = source.into_iter().fold(event, |event, source| event.source(source));
            changed.into_iter().fold(event, |event, changed| event.changed(changed))
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(512))]

        #[test]
        fn it_is_what_a_worker_decodes(event in event()) {
            let limits = EventLimits::default();
            read(&event, &limits, |read| {
                if event.fits(&limits) {
                    assert_eq!(Ok(event.decoded().unwrap()), read);
                }
            });
        }

        #[test]
        fn what_fits_is_never_refused(event in event(), bytes in 300_usize..3000, depth in 0_usize..6) {
            let limits = EventLimits { max_message_bytes: bytes, max_depth: depth, ..EventLimits::default() };
            if event.fits(&limits) {
                read(&event, &limits, |read| assert!(read.is_ok(), "{read:?}"));
            }
        }
    }

    #[test]
    fn common_events_fit_and_only_they() {
        let limits = EventLimits::default();
        let book = || Event::update("shop.Book").key("id", 1).after(&json!({"id": 1, "tags": [1, 2], "title": "x"}));
        assert!(book().fits(&limits));
        assert!(book().time(SystemTime::now()).fits(&limits));
        let deep = (0..31).fold(json!(1), |inner, _| json!([inner]));
        for (event, limits) in [
            (book(), EventLimits { max_events: 0, ..limits }),
            (book(), EventLimits { max_message_bytes: 1000, ..limits }),
            (book(), EventLimits { max_depth: 3, ..limits }),
            (book().after(&json!({ "deep": deep })), limits),
            (book().after(&json!({ "long": "x".repeat(200_000) })), limits),
            (book().time(UNIX_EPOCH - Duration::from_secs(1)), limits),
            (book().time(UNIX_EPOCH + Duration::from_secs(253_400_000_000)), limits),
            (crate::event::Invalidate::tag("t").into(), limits),
            (Event::given(book().document().unwrap()), limits),
        ] {
            assert!(!event.fits(&limits), "{event:?} {limits:?}");
        }
    }
}
