//! Formats dates and times by the directives of `strftime`, as Python does in the C locale.

use std::fmt::Write;

use super::{Date, Datetime, Object, Time, Unknown};

const DAYS: [&str; 7] = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];
const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

/// Every directive whose text does not depend on the locale's settings or the machine.
const DIRECTIVES: &str = "YymdHMSfjaAbBIpzwuUWGV%FTDRe";

/// Whether every `%` of a format begins a directive that is known here.
pub(in crate::key) fn is_known(format: &str) -> Result<(), char> {
    let mut rest = format.chars();
    while rest.by_ref().any(|character| character == '%') {
        match rest.next() {
            Some(directive) if DIRECTIVES.contains(directive) => {}
            other => return Err(other.unwrap_or('%')),
        }
    }
    Ok(())
}

/// Appends a date or a time by a format.
///
/// # Errors
/// When it is neither, or the year has less than four digits, which machines print differently.
pub(in crate::key) fn strftime(object: &Object<'_>, format: &str, out: &mut String) -> Result<(), Unknown> {
    const MIDNIGHT: Time = Time { hour: 0, minute: 0, second: 0, microsecond: 0 };
    const EPOCH: Date = Date { year: 1900, month: 1, day: 1 };
    let moment = match object {
        Object::Datetime(datetime) => *datetime,
        Object::Date(date) => Datetime { date: *date, time: MIDNIGHT, offset: None },
        Object::Time(time) => Datetime { date: EPOCH, time: *time, offset: None },
        _ => return Err("no date and no time, which the format in its template is for; declare its type"),
    };
    let day = Day::of(moment.date).filter(|_| moment.date.year >= 1000);
    let day = day.ok_or("a date before the year 1000, which machines format differently")?;
    let mut rest = format.chars();
    while let Some(character) = rest.next() {
        match character {
            '%' => directive(rest.next().unwrap_or('%'), &moment, &day, out),
            other => out.push(other),
        }
    }
    Ok(())
}

/// What is counted of a day.
struct Day {
    /// From 1 to 366.
    of_year: i32,
    /// From 0, which is Monday.
    of_week: i32,
    iso_year: i32,
    iso_week: i32,
}

impl Day {
    fn of(date: Date) -> Option<Self> {
        let narrow = |number: u8| i8::try_from(number).unwrap_or_default();
        let year = i16::try_from(date.year).ok()?;
        let date = jiff::civil::Date::new(year, narrow(date.month), narrow(date.day)).ok()?;
        let iso = date.iso_week_date();
        Some(Self {
            of_year: i32::from(date.day_of_year()),
            of_week: i32::from(date.weekday().to_monday_zero_offset()),
            iso_year: i32::from(iso.year()),
            iso_week: i32::from(iso.week()),
        })
    }
}

/// A table of the directives.
fn directive(directive: char, Datetime { date, time, offset }: &Datetime, day: &Day, out: &mut String) {
    let (weekday, month) =
        (DAYS[day.of_week as usize % DAYS.len()], MONTHS[(usize::from(date.month) + 11) % MONTHS.len()]);
    let hour = if time.hour.is_multiple_of(12) { 12 } else { time.hour % 12 };
    // Writing to a String cannot fail.
    let _ = match directive {
        'Y' => write!(out, "{}", date.year),
        'y' => write!(out, "{:02}", date.year % 100),
        'm' => write!(out, "{:02}", date.month),
        'd' => write!(out, "{:02}", date.day),
        'e' => write!(out, "{:2}", date.day),
        'H' => write!(out, "{:02}", time.hour),
        'M' => write!(out, "{:02}", time.minute),
        'S' => write!(out, "{:02}", time.second),
        'f' => write!(out, "{:06}", time.microsecond),
        'I' => write!(out, "{hour:02}"),
        'p' => write!(out, "{}", if time.hour < 12 { "AM" } else { "PM" }),
        'j' => write!(out, "{:03}", day.of_year),
        'a' => write!(out, "{}", &weekday[..3]),
        'A' => write!(out, "{weekday}"),
        'b' => write!(out, "{}", &month[..3]),
        'B' => write!(out, "{month}"),
        'w' => write!(out, "{}", (day.of_week + 1) % 7),
        'u' => write!(out, "{}", day.of_week + 1),
        'U' => write!(out, "{:02}", (day.of_year + 6 - (day.of_week + 1) % 7) / 7),
        'W' => write!(out, "{:02}", (day.of_year + 6 - day.of_week) / 7),
        'G' => write!(out, "{}", day.iso_year),
        'V' => write!(out, "{:02}", day.iso_week),
        'F' => write!(out, "{}", date.text()),
        'D' => write!(out, "{:02}/{:02}/{:02}", date.month, date.day, date.year % 100),
        'T' => write!(out, "{:02}:{:02}:{:02}", time.hour, time.minute, time.second),
        'R' => write!(out, "{:02}:{:02}", time.hour, time.minute),
        'z' => write!(out, "{}", offset.map(|offset| offset.text("")).unwrap_or_default()),
        other => write!(out, "{other}"),
    };
}
