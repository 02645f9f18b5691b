//! Tells since when messages wait: a stream says of each when it stored it.

use super::intake::unix_ms;
use super::stored::{self, Stored};
use super::topology::{self, Lane, consumer_info};
use super::{Shared, wire};
use crate::ages::moment;
use crate::{Ages, Dated, TransportError};

/// Looks at the first message of each lane. Copies lie in the order in which they were parked, so that which of them is due
/// next cannot be told without reading all.
pub(super) async fn ages(shared: &Shared) -> Result<Ages, TransportError> {
    let names = &shared.names;
    let floor = consumer_info(shared, Lane::Work).await?.map_or(0, |info| info.ack_floor.stream_seq);
    let work = first(shared, &names.stream, floor.saturating_add(1), &names.subject).await?;
    let suspect = first(shared, &names.retry_stream, 1, &names.suspects).await?;
    let parked = first(shared, &names.retry_stream, 1, &names.parked).await?;
    // One whose delay is over is what a consumer may have in hand.
    let now = unix_ms();
    let (due, delayed) = match parked {
        Some(parked) if wire::due(parked.headers().as_ref()) > now => (None, Some(parked)),
        parked => (parked, None),
    };
    let oldest = [work, suspect, due].into_iter().flatten().filter_map(dated).min_by_key(|dated| dated.since);
    Ok(Ages { oldest, oldest_delayed: delayed.and_then(dated), next_due: None })
}

/// The first message from a number on; what does not exist yet is empty.
async fn first(shared: &Shared, stream: &str, from: u64, subject: &str) -> Result<Option<Stored>, TransportError> {
    match stored::first_from(shared, stream, from, subject).await {
        Err(error) if error == topology::missing_stream(stream) => Ok(None),
        found => found,
    }
}

fn dated(stored: Stored) -> Option<Dated> {
    let headers = wire::message(stored.headers().as_ref(), bytes::Bytes::new()).headers;
    Some(Dated { since: moment(read_time(&stored.time)?)?, headers })
}

/// Reads a time as the server writes it, `2026-12-01T07:45:10.123456789Z`, as milliseconds since the Unix epoch.
fn read_time(text: &str) -> Option<u64> {
    let (date, time) = text.strip_suffix('Z')?.split_once('T')?;
    let (time, fraction) = time.split_once('.').unwrap_or((time, ""));
    let [year, month, day] = numbers(date.split('-'))?;
    let [hour, minute, second] = numbers(time.split(':'))?;
    let milliseconds: u64 = format!("{fraction:0<3}").get(..3)?.parse().ok()?;
    if !(1970..10_000).contains(&year) || !(1..=12).contains(&month) {
        return None;
    }
    // Counted from March, a leap day is the last of its year.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = 365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day;
    let days = days.checked_sub(DAYS_TO_1970)?;
    Some(((days * 24 + hour) * 60 + minute) * 60_000 + second * 1000 + milliseconds)
}

/// From the first of March of the year 0 to 1970, the first day counted as one.
const DAYS_TO_1970: u64 = 719_469;

fn numbers<'t>(mut parts: impl Iterator<Item = &'t str>) -> Option<[u64; 3]> {
    let mut next = || parts.next()?.parse().ok();
    Some([next()?, next()?, next()?])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_the_server_writes_them() {
        let cases = [
            ("1970-01-01T00:00:00Z", Some(0)),
            ("2000-02-29T23:59:59.5Z", Some(951_868_799_500)),
            ("2026-12-01T07:45:10.123456789Z", Some(1_796_111_110_123)),
            ("2100-03-01T00:00:00.001Z", Some(4_107_542_400_001)),
            ("2026-12-01T07:45:10+01:00", None),
            ("0000-00-00T00:00:00Z", None),
            ("", None),
        ];
        for (text, expected) in cases {
            assert_eq!(read_time(text), expected, "{text}");
        }
    }
}
