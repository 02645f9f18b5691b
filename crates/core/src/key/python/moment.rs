//! Spells Python's dates and times, given the texts that publishers and databases give them.

use super::Unknown;

const NO_DATE: Unknown = "no date as 2024-01-02, but its type is date";
const NO_TIME: Unknown = "no time as 03:04:05.678901, but its type is time";
const NO_DATETIME: Unknown = "no date with a time as 2024-01-02T03:04:05.678901+00:00, but its type is datetime";
const CUT: Unknown =
    "a date with a time that was cut to milliseconds, as JSON encoders do; publish it with all six digits";

/// `datetime.date`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Date {
    /// From 1 to 9999.
    pub year: u16,
    /// From 1 to 12.
    pub month: u8,
    /// From 1 to 31.
    pub day: u8,
}

/// `datetime.time` without an offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Time {
    /// From 0 to 23.
    pub hour: u8,
    /// From 0 to 59.
    pub minute: u8,
    /// From 0 to 59.
    pub second: u8,
    /// From 0 to 999,999.
    pub microsecond: u32,
}

/// `datetime.datetime`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Datetime {
    /// The day.
    pub date: Date,
    /// The time.
    pub time: Time,
    /// How far it is from UTC; `None` for one that is naive.
    pub offset: Option<Offset>,
}

/// How far a time is from UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Offset {
    /// Seconds east of UTC, less than a day.
    pub seconds: i32,
}

/// Whether a text has the form that a date with a time has in JSON, so that it may be one.
pub(super) fn looks_like_a_datetime(text: &str) -> bool {
    let bytes = text.as_bytes();
    let digit = |index: usize| bytes[index].is_ascii_digit();
    bytes.len() >= 16
        && bytes[10] == b'T'
        && [4, 7].into_iter().all(|index| bytes[index] == b'-')
        && [0, 1, 2, 3, 5, 6, 8, 9, 11, 12].into_iter().all(digit)
        && bytes[13] == b':'
}

impl Date {
    /// Reads `2024-01-02`.
    ///
    /// # Errors
    /// For anything else, and for days that there are not.
    pub fn parse(text: &str) -> Result<Self, Unknown> {
        let mut parts = text.trim().splitn(3, '-');
        let mut part = |width: usize| parts.next().and_then(|part| number(part, width));
        let (Some(year), Some(month), Some(day)) = (part(4), part(2), part(2)) else { return Err(NO_DATE) };
        let narrow = |number: u32| i8::try_from(number).unwrap_or(-1);
        let known =
            i16::try_from(year).ok().and_then(|year| jiff::civil::Date::new(year, narrow(month), narrow(day)).ok());
        match known.filter(|date| date.year() > 0) {
            Some(date) => Ok(Self {
                year: date.year().unsigned_abs(),
                month: date.month().unsigned_abs(),
                day: date.day().unsigned_abs(),
            }),
            None => Err(NO_DATE),
        }
    }

    /// `str()` of it.
    #[must_use]
    pub fn text(&self) -> String {
        format!("{:04}-{:02}-{:02}", self.year, self.month, self.day)
    }

    pub(super) fn repr(&self) -> String {
        format!("datetime.date({}, {}, {})", self.year, self.month, self.day)
    }
}

impl Time {
    /// Reads `03:04`, `03:04:05`, `03:04:05.678901`. Missing digits of the fraction are zeros.
    ///
    /// # Errors
    /// For anything else, also one with an offset, and for more than microseconds.
    pub fn parse(text: &str) -> Result<Self, Unknown> {
        let (clock, fraction) = text.trim().split_once('.').unwrap_or((text.trim(), "0"));
        let mut parts = clock.splitn(3, ':');
        let mut part = |below: u32| parts.next().and_then(|part| number(part, 2)).filter(|number| *number < below);
        let (Some(hour), Some(minute)) = (part(24), part(60)) else { return Err(NO_TIME) };
        let second = if clock.len() > 5 { part(60).ok_or(NO_TIME)? } else { 0 };
        let narrow = |number: u32| u8::try_from(number).unwrap_or_default();
        let microsecond = microseconds(fraction).ok_or(NO_TIME)?;
        Ok(Self { hour: narrow(hour), minute: narrow(minute), second: narrow(second), microsecond })
    }

    /// `str()` of it: a fraction of six digits, or none.
    #[must_use]
    pub fn text(&self) -> String {
        let clock = format!("{:02}:{:02}:{:02}", self.hour, self.minute, self.second);
        if self.microsecond == 0 { clock } else { format!("{clock}.{:06}", self.microsecond) }
    }

    pub(super) fn repr(&self) -> String {
        format!("datetime.time({})", self.parts())
    }

    /// What `repr()` names: no seconds and no fraction where they are zero.
    fn parts(&self) -> String {
        let Self { hour, minute, second, microsecond } = self;
        match (second, microsecond) {
            (0, 0) => format!("{hour}, {minute}"),
            (_, 0) => format!("{hour}, {minute}, {second}"),
            _ => format!("{hour}, {minute}, {second}, {microsecond}"),
        }
    }
}

impl Datetime {
    /// Reads `2024-01-02T03:04:05.678901+00:00`, with a blank for the `T`, `Z` for the offset, or none.
    ///
    /// # Errors
    /// For anything else; and for a fraction of three digits behind a `T`, which JSON encoders cut.
    pub fn parse(text: &str) -> Result<Self, Unknown> {
        let text = text.trim();
        let (date, rest) = text.split_at_checked(10).ok_or(NO_DATETIME)?;
        let separator =
            rest.chars().next().filter(|separator| matches!(separator, 'T' | 't' | ' ')).ok_or(NO_DATETIME)?;
        let (clock, offset) = split_offset(&rest[1..]).ok_or(NO_DATETIME)?;
        let digits = clock.split_once('.').map_or(0, |(_, fraction)| fraction.len());
        if separator != ' ' && digits == 3 {
            return Err(CUT);
        }
        let date = Date::parse(date).map_err(|_| NO_DATETIME)?;
        let time = Time::parse(clock).map_err(|_| NO_DATETIME)?;
        Ok(Self { date, time, offset })
    }

    /// `isoformat()` of it with this separator; `str()` has a blank.
    #[must_use]
    pub fn text(&self, separator: char) -> String {
        let offset = self.offset.map(|offset| offset.text(":")).unwrap_or_default();
        format!("{}{separator}{}{offset}", self.date.text(), self.time.text())
    }

    pub(super) fn repr(&self) -> Result<String, Unknown> {
        if self.offset.is_some() {
            return Err("a date with a time and a zone inside a list, where Python prints the zone's name");
        }
        let Date { year, month, day } = self.date;
        Ok(format!("datetime.datetime({year}, {month}, {day}, {})", self.time.parts()))
    }
}

impl Offset {
    /// `+05:30` with this text between hours and minutes; seconds only where there are any.
    #[must_use]
    pub fn text(self, between: &str) -> String {
        let sign = if self.seconds < 0 { '-' } else { '+' };
        let (hours, minutes, seconds) =
            (self.seconds.abs() / 3600, self.seconds.abs() / 60 % 60, self.seconds.abs() % 60);
        let rest = if seconds == 0 { String::new() } else { format!("{between}{seconds:02}") };
        format!("{sign}{hours:02}{between}{minutes:02}{rest}")
    }
}

/// Splits `03:04:05+02:00` into the clock and the offset.
fn split_offset(text: &str) -> Option<(&str, Option<Offset>)> {
    if let Some(clock) = text.strip_suffix(['Z', 'z']) {
        return Some((clock, Some(Offset { seconds: 0 })));
    }
    let Some(at) = text.find(['+', '-']) else { return Some((text, None)) };
    let (clock, offset) = text.split_at(at);
    let digits: String = offset[1..].chars().filter(|character| *character != ':').collect();
    if !matches!(digits.len(), 2 | 4 | 6) || !digits.is_ascii() {
        return None;
    }
    let part = |index: usize, below: i32| match digits.get(index..index + 2) {
        None => Some(0),
        Some(two) => number(two, 2).and_then(|number| i32::try_from(number).ok()).filter(|number| *number < below),
    };
    let seconds = part(0, 24)? * 3600 + part(2, 60)? * 60 + part(4, 60)?;
    Some((clock.trim_end(), Some(Offset { seconds: if offset.starts_with('-') { -seconds } else { seconds } })))
}

/// A number of exactly so many digits.
fn number(text: &str, width: usize) -> Option<u32> {
    (text.len() == width && text.bytes().all(|byte| byte.is_ascii_digit())).then(|| text.parse().ok()).flatten()
}

/// The microseconds of a fraction; `None` when it is finer than that.
fn microseconds(fraction: &str) -> Option<u32> {
    const DIGITS: usize = 6;
    let fine = fraction.get(DIGITS..).unwrap_or_default();
    let coarse = fraction.get(..DIGITS.min(fraction.len()))?;
    if coarse.is_empty() || !fine.bytes().all(|byte| byte == b'0') {
        return None;
    }
    number(&format!("{coarse:0<DIGITS$}"), DIGITS)
}
