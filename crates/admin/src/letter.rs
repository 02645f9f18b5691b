//! Finds one letter at its broker, and says all that is known of it.

use quash_core::event::Format;
use quash_transport::{LetterId, TransportError};
use quash_worker::dead_letter::archive::Archived;
use quash_worker::dead_letter::select::{Choice, select};
use quash_worker::dead_letter::{About, Letter, pretty};
use serde::Serialize;
use std::ops::ControlFlow;

use crate::clock::{now_ms, within};
use crate::desk::Desk;
use crate::explanation::Explained;
use crate::refusal::Refusal;
use crate::shelf::Wish;
use crate::source::Source;
use crate::token::Who;

/// Bytes of a payload that are shown; the whole is in an export.
pub(crate) const PAYLOAD_MAX: usize = 64 * 1024;

/// The letter of that name, with payload and headers.
pub(crate) async fn find(source: &Source, id: &str) -> Result<Letter, Refusal> {
    let found = within(look_for(source, id)).await.map_err(|error| Refusal::unanswered(error.to_string()))?;
    found.ok_or_else(|| Refusal::missing(format!("there is no dead letter {id} in {}", source.name)))
}

async fn look_for(source: &Source, id: &str) -> Result<Option<Letter>, TransportError> {
    let letters = source.transport.dead_letters();
    // What is known says where it is, which saves reading all that comes before it.
    let known = source.shelf.look(Wish::Glimpse).await.known;
    if let Some((known, index)) = known.as_ref().and_then(|known| Some((known, known.index(id)?))) {
        let found = letters.scan(known.before(index), 1).await?;
        if let Some((found, message)) = found.into_iter().find(|(found, _)| found.0 == id) {
            return Ok(Some(Letter::read(found, message)));
        }
    }
    let choice = Choice { ids: Some([LetterId(id.to_owned())].into()), ..Choice::default() };
    let mut letter = None;
    let mut found = |it| {
        letter = Some(it);
        ControlFlow::Break(())
    };
    select(letters, &choice, now_ms(), &mut found, &mut |_| ()).await?;
    Ok(letter)
}

/// All that is known of a letter, for programs.
#[derive(Debug, Serialize)]
pub(crate) struct LetterSeen {
    pub(crate) source: String,
    pub(crate) id: String,
    /// As it is exported; nothing for those who do not see payloads.
    pub(crate) letter: Option<Archived>,
    /// What is known of it.
    pub(crate) about: About,
    /// What to do about it.
    pub(crate) advice: Option<&'static str>,
    /// What somebody who reads it should know of its record.
    pub(crate) note: Option<String>,
    /// What it asks for by the rules in force; nothing for those who do not see payloads.
    pub(crate) explained: Option<Explained>,
    pub(crate) payload_bytes: usize,
}

impl LetterSeen {
    pub(crate) fn of(desk: &Desk, source: &Source, letter: &Letter, who: &Who) -> Self {
        let shown = |format: Format| Explained::letter(desk, letter, format);
        Self {
            source: source.name.clone(),
            letter: who.sees_payloads.then(|| Archived::of(letter)),
            id: letter.id.0.clone(),
            about: letter.about.clone(),
            advice: letter.about.advice(),
            note: letter.about.legibility.note(),
            explained: who.sees_payloads.then(|| shown(source.format)),
            payload_bytes: letter.message.payload.len(),
        }
    }
}

/// A payload in the forms that people read, each cut to [`PAYLOAD_MAX`].
pub(crate) struct PayloadShown {
    /// Indented, where it is JSON.
    pub(crate) pretty: Option<String>,
    /// As text, with `\x` for what is none.
    pub(crate) raw: String,
    /// Sixteen bytes a line, with their place and their text.
    pub(crate) hex: String,
    /// How many bytes are shown of how many, where not all are.
    pub(crate) cut: Option<(usize, usize)>,
}

impl PayloadShown {
    pub(crate) fn of(payload: &[u8]) -> Self {
        let shown = &payload[..payload.len().min(PAYLOAD_MAX)];
        let cut = (shown.len() < payload.len()).then_some((shown.len(), payload.len()));
        let text = std::str::from_utf8(payload).ok();
        let pretty =
            text.filter(|_| cut.is_none()).and_then(pretty::indent).filter(|text| text.len() <= 4 * PAYLOAD_MAX);
        let raw = match std::str::from_utf8(shown) {
            Ok(text) => text.to_owned(),
            // Cut in the middle of a character.
            Err(error) if cut.is_some() && error.error_len().is_none() => {
                String::from_utf8_lossy(&shown[..error.valid_up_to()]).into_owned()
            }
            Err(_) => shown.escape_ascii().to_string(),
        };
        Self { pretty, raw, hex: hex(shown), cut }
    }
}

fn hex(bytes: &[u8]) -> String {
    let line = |(index, bytes): (usize, &[u8])| {
        let digits: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let text: String = bytes
            .iter()
            .map(|byte| if byte.is_ascii_graphic() || *byte == b' ' { char::from(*byte) } else { '.' })
            .collect();
        format!("{:08x}  {:<47}  {text}\n", index * 16, digits.join(" "))
    };
    bytes.chunks(16).enumerate().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_is_shown_in_three_forms_and_cut_where_it_is_long() {
        let json = PayloadShown::of(b"{\"a\":1.50}");
        assert_eq!(
            (json.pretty.as_deref(), json.raw.as_str(), json.cut),
            (Some("{\n  \"a\": 1.50\n}"), "{\"a\":1.50}", None)
        );
        assert_eq!(json.hex, "00000000  7b 22 61 22 3a 31 2e 35 30 7d                    {\"a\":1.50}\n");
        let bytes = PayloadShown::of(&[0xff, b'a', 0]);
        assert_eq!((bytes.pretty, bytes.raw.as_str()), (None, r"\xffa\x00"));
        let long = PayloadShown::of("ü".repeat(PAYLOAD_MAX).as_bytes());
        assert_eq!((long.raw.chars().count(), long.cut), (PAYLOAD_MAX / 2, Some((PAYLOAD_MAX, 2 * PAYLOAD_MAX))));
        let odd = PayloadShown::of(format!("a{}", "ü".repeat(PAYLOAD_MAX)).as_bytes());
        assert_eq!(odd.raw.len(), PAYLOAD_MAX - 1);
    }
}
