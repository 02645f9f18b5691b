//! Reads a dead letter: the message, and whatever can be learnt of why it is there.

use quash_transport::{Headers, LetterId, Message};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::hint;
use quash_delivery::headers;
use quash_delivery::record::{Attempt, Reason, Record};

/// A dead letter. One without a readable record is a letter like any other, of which less is known.
#[derive(Debug, Clone, PartialEq)]
pub struct Letter {
    /// Names it at the broker.
    pub id: LetterId,
    /// The original message, with Quash's headers.
    pub message: Message,
    /// What is known of it.
    pub about: About,
}

/// What is known of a dead letter; `None` and empty are "not known".
///
/// The fields are those of [`Record`], read one by one: what a newer version added or changed does not hide the rest.
#[derive(Debug, Clone, PartialEq, Eq, Default, serde::Serialize)]
pub struct About {
    /// How much of the record could be read.
    #[serde(skip)]
    pub legibility: Legibility,
    /// The event's identifier.
    pub id: Option<String>,
    /// The source it was received from.
    pub source: Option<String>,
    /// The broker's identifier of the original message.
    pub broker_id: Option<String>,
    /// What changed.
    pub entity: Option<String>,
    /// Why it is here: the name of a `Reason`, or of one that a newer version knows.
    pub reason: Option<String>,
    /// The last error.
    pub error: Option<String>,
    /// The target that failed.
    pub target: Option<String>,
    /// The cache whose rule failed.
    pub cache: Option<String>,
    /// How many attempts were made.
    pub attempts_made: Option<u32>,
    /// The last of them, oldest first.
    pub attempts: Vec<Attempt>,
    /// When it first failed, in milliseconds since the Unix epoch.
    pub first_failure_ms: Option<i64>,
    /// When it last failed, in milliseconds since the Unix epoch.
    pub last_failure_ms: Option<i64>,
    /// Why the rules asked for what failed.
    pub trace: Vec<String>,
    /// The worker that gave it up.
    pub worker: Option<String>,
    /// The version of Quash that wrote the record.
    pub quash: Option<String>,
    /// How often it was replayed before.
    pub replays: u32,
}

/// How much of a letter's record could be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Legibility {
    /// All of it.
    Full,
    /// It is of a newer version: what this one knows was read.
    Newer(u32),
    /// There is none: somebody else put the letter there.
    #[default]
    Absent,
    /// There is something else in its place.
    Garbled,
}

impl Letter {
    /// Reads a letter as the broker handed it out.
    #[must_use]
    pub fn read(id: LetterId, message: Message) -> Self {
        let about = About::read(&message.headers);
        Self { id, message, about }
    }

    /// The headers, without those that [`Self::about`] has in full.
    pub fn more_headers(&self) -> impl Iterator<Item = (&str, &str)> {
        let is_told = |name: &str| {
            name == headers::RECORD && self.about.legibility == Legibility::Full
                || name == headers::ATTEMPTS && !self.about.attempts.is_empty()
        };
        let headers = self.message.headers.as_slice().iter();
        headers.map(|(name, value)| (&**name, value.as_str())).filter(move |(name, _)| !is_told(name))
    }

    /// How long ago it failed, in milliseconds; never negative, `None` when it is not known.
    #[must_use]
    pub fn age_ms(&self, now_ms: i64) -> Option<i64> {
        self.about.last_failure_ms.map(|failed_ms| now_ms.saturating_sub(failed_ms).max(0))
    }
}

impl Legibility {
    /// What somebody who reads the letter should know of its record, if anything.
    #[must_use]
    pub fn note(self) -> Option<String> {
        match self {
            Self::Full => None,
            Self::Newer(version) => {
                Some(format!("its record is of version {version}: a newer Quash wrote it, and more of it"))
            }
            Self::Absent => Some("it carries no record: somebody other than a worker put it there".to_owned()),
            Self::Garbled => Some("its record cannot be read; it stands among the headers".to_owned()),
        }
    }
}

impl About {
    /// What to do about it, in one sentence, where the reason is one that this version knows.
    #[must_use]
    pub fn advice(&self) -> Option<&'static str> {
        cure(self.reason.as_deref(), self.error.as_deref())
    }

    /// Reads the record, and where it is silent the other headers that Quash sets.
    fn read(headers: &Headers) -> Self {
        let mut about = match headers.get(headers::RECORD).map(serde_json::from_str::<Map<String, Value>>) {
            Some(Ok(record)) => Self::of_record(&record),
            Some(Err(_)) => Self { legibility: Legibility::Garbled, ..Self::default() },
            None => Self::default(),
        };
        about.complete(headers);
        about
    }

    fn of_record(record: &Map<String, Value>) -> Self {
        Self {
            legibility: legibility(record),
            id: text(record, "id"),
            source: text(record, "source"),
            broker_id: text(record, "broker_id"),
            entity: text(record, "entity"),
            reason: text(record, "reason"),
            error: text(record, "error"),
            target: text(record, "target"),
            cache: text(record, "cache"),
            attempts_made: field(record, "attempts_made"),
            attempts: items(record.get("attempts")),
            first_failure_ms: field(record, "first_failure_ms"),
            last_failure_ms: field(record, "last_failure_ms"),
            trace: items(record.get("trace")),
            worker: text(record, "worker"),
            quash: text(record, "quash"),
            replays: field(record, "replays"),
        }
    }

    fn complete(&mut self, headers: &Headers) {
        let number = |name| headers.get(name).and_then(|text| text.parse::<i64>().ok());
        if self.attempts.is_empty() {
            let history = headers.get(headers::ATTEMPTS).and_then(|text| serde_json::from_str::<Value>(text).ok());
            self.attempts = items(history.as_ref());
        }
        if self.id.is_none() {
            self.id = headers.get(headers::ID).map(str::to_owned);
        }
        self.replays = self.replays.max(number(headers::REPLAYS).and_then(|n| n.try_into().ok()).unwrap_or(0));
        self.first_failure_ms = self.first_failure_ms.or_else(|| number(headers::FIRST_FAILURE));
        let last = self.attempts.last();
        self.last_failure_ms = self.last_failure_ms.or(last.map(|last| last.at_ms)).or(self.first_failure_ms);
    }
}

/// What to do about letters: what mends the error where that is known, else what the reason says.
#[must_use]
pub fn cure(reason: Option<&str>, error: Option<&str>) -> Option<&'static str> {
    let mend = error.map(hint::mend).filter(|mend| !mend.is_empty());
    let advice = || Reason::ALL.into_iter().find(|known| Some(known.name()) == reason).map(Reason::advice);
    mend.or_else(advice)
}

fn legibility(record: &Map<String, Value>) -> Legibility {
    match field::<Option<u32>>(record, "version") {
        Some(version) if version > Record::VERSION => Legibility::Newer(version),
        Some(_) => Legibility::Full,
        None => Legibility::Garbled,
    }
}

/// A field that has the expected form, or nothing.
fn field<T: DeserializeOwned + Default>(record: &Map<String, Value>, name: &str) -> T {
    record.get(name).and_then(|value| T::deserialize(value).ok()).unwrap_or_default()
}

/// Text, where there is any.
fn text(record: &Map<String, Value>, name: &str) -> Option<String> {
    field::<Option<String>>(record, name).filter(|text| !text.is_empty())
}

/// The items that have the expected form.
fn items<T: DeserializeOwned>(list: Option<&Value>) -> Vec<T> {
    let items = list.and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    items.iter().filter_map(|item| T::deserialize(item).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::super::testing;
    use super::*;

    fn read(headers: &[(&'static str, &str)]) -> About {
        let mut message = Message::default();
        headers.iter().for_each(|(name, value)| message.headers.set(*name, *value));
        Letter::read(LetterId("1".to_owned()), message).about
    }

    #[test]
    fn a_record_that_was_written_is_read_whole() {
        let record = testing::record(Reason::TargetError);
        let mut message = Message::default();
        record.put(&mut message.headers);
        let about = Letter::read(LetterId("1".to_owned()), message).about;

        assert_eq!(about.legibility, Legibility::Full);
        assert_eq!(about.reason.as_deref(), Some("target_error"));
        assert_eq!((about.id, about.broker_id), (record.id, Some(record.broker_id)));
        assert_eq!((about.source, about.entity), (Some(record.source), record.entity));
        assert_eq!((about.target, about.cache), (record.target, record.cache));
        assert_eq!((about.error, about.attempts), (Some(record.error), record.attempts));
        assert_eq!((about.attempts_made, about.replays), (Some(record.attempts_made), record.replays));
        assert_eq!(about.first_failure_ms, Some(record.first_failure_ms));
        assert_eq!(about.last_failure_ms, Some(record.last_failure_ms));
        assert_eq!((about.trace, about.worker), (record.trace, Some(record.worker)));
        assert_eq!(about.quash, Some(record.quash));
    }

    #[test]
    fn what_others_put_there_is_still_a_letter() {
        let garbled = About { legibility: Legibility::Garbled, ..About::default() };
        let cases = [
            (None, About::default()),
            (Some(""), garbled.clone()),
            (Some("no json"), garbled.clone()),
            (Some("[1]"), garbled.clone()),
            (Some("{}"), garbled.clone()),
            (Some(r#"{"version":"one","reason":7,"attempts":{},"replays":-1}"#), garbled),
            (
                Some(r#"{"version":9,"reason":"expired","error":{"code":1},"attempts":[{"odd":1}],"worker":"w"}"#),
                About {
                    legibility: Legibility::Newer(9),
                    reason: Some("expired".to_owned()),
                    worker: Some("w".to_owned()),
                    ..About::default()
                },
            ),
        ];
        for (header, expect) in cases {
            let headers: Vec<_> = header.map(|text| (headers::RECORD, text)).into_iter().collect();
            assert_eq!(read(&headers), expect, "{header:?}");
        }
    }

    #[test]
    fn the_other_headers_tell_what_a_missing_record_does_not() {
        let about = read(&[
            (headers::ID, "e7"),
            (headers::REPLAYS, "2"),
            (headers::FIRST_FAILURE, "1000"),
            (headers::ATTEMPTS, r#"[{"at_ms":1000,"error":"a"},{"at_ms":3000,"error":"b"}]"#),
        ]);
        assert_eq!((about.id.as_deref(), about.replays, about.attempts.len()), (Some("e7"), 2, 2));
        assert_eq!((about.first_failure_ms, about.last_failure_ms), (Some(1000), Some(3000)));
    }

    #[test]
    fn an_age_is_never_negative() {
        let letter = testing::letter("1", &testing::record(Reason::Decode), "{}");
        assert_eq!(letter.age_ms(testing::NOW_MS), Some(60_000));
        assert_eq!(letter.age_ms(0), Some(0));
        assert_eq!(letter.age_ms(i64::MIN), Some(0));
    }

    proptest::proptest! {
        #[test]
        fn no_header_makes_reading_panic(record: String, attempts: String, first: String) {
            read(&[(headers::RECORD, &record), (headers::ATTEMPTS, &attempts), (headers::FIRST_FAILURE, &first)]);
        }
    }
}
