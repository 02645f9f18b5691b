//! Reads what a publisher declares about the bytes of a body, for those that are no JSON in UTF-8.

use super::cloud_events::Headers;
use super::problem::{malformed, quoted};
use super::{DecodeError, Payload};

/// The names of what is read, and of what is the same on fewer characters.
const UTF8: [&str; 5] = ["utf-8", "utf8", "us-ascii", "ascii", ""];

/// Encodings that leave the bytes as they are. Some clients write the charset there.
const AS_IT_IS: [&str; 4] = ["identity", "binary", "7bit", "8bit"];

/// Reads a body, and says beside what is wrong with it what its publisher declares of its bytes.
pub(super) fn checked(payload: Payload<'_>, read: impl FnOnce() -> Result<(), DecodeError>) -> Result<(), DecodeError> {
    check(payload.body, payload.headers)?;
    read().map_err(|error| beside(error, payload.headers))
}

/// Refuses a body in another charset whose bytes could be taken for UTF-8: it would be another text. What is ASCII is the
/// same in nearly all of them.
fn check(body: &[u8], headers: Headers<'_>) -> Result<(), DecodeError> {
    match charset(headers) {
        Some(charset) if !body.is_ascii() => Err(malformed(format!(
            "{}, and the body is more than ASCII: events are JSON in UTF-8",
            said_charset(charset)
        ))),
        _ => Ok(()),
    }
}

/// The same error, with what the headers say about the bytes.
fn beside(error: DecodeError, headers: Headers<'_>) -> DecodeError {
    let DecodeError::Malformed(error) = error else { return error };
    let encoding = header(headers, "content-encoding");
    let encoding = encoding.filter(|encoding| !is_one_of(&UTF8, encoding) && !is_one_of(&AS_IT_IS, encoding));
    let said = [
        encoding.map(|encoding| format!("the content-encoding says {}: publish the body as it is", quoted(encoding))),
        charset(headers).map(said_charset),
    ];
    said.into_iter().flatten().fold(malformed(error), |error, said| malformed(format!("{error}; {said}")))
}

fn said_charset(charset: &str) -> String {
    format!("the content-type says charset {}", quoted(charset))
}

/// The charset of the `content-type`, where it is not UTF-8.
fn charset<'h>(headers: Headers<'h>) -> Option<&'h str> {
    let named = |parameter: &'h str| {
        let (name, value) = parameter.split_once('=')?;
        name.trim().eq_ignore_ascii_case("charset").then(|| value.trim().trim_matches('"'))
    };
    let charset = header(headers, "content-type")?.split(';').skip(1).find_map(named)?;
    (!is_one_of(&UTF8, charset)).then_some(charset)
}

fn header<'h>(headers: Headers<'h>, name: &str) -> Option<&'h str> {
    headers.iter().find(|(header, _)| header.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
}

fn is_one_of(names: &[&str], name: &str) -> bool {
    names.iter().any(|known| known.eq_ignore_ascii_case(name.trim()))
}

#[cfg(test)]
mod tests {
    use crate::event::Format;
    use crate::event::testing::{check_malformed, decoded};

    const EVENT: &str = r#"{"entity":"a.B","op":"truncate","origin":"café"}"#;

    #[test]
    fn a_body_in_another_charset_is_refused_by_its_name() {
        for (content_type, said) in [
            ("application/json; charset=iso-8859-1", Some("iso-8859-1")),
            ("application/json;Charset=\"windows-1252\"", Some("windows-1252")),
            ("application/json; x=1 ; charset = utf-16 ", Some("utf-16")),
            ("application/json; charset=\u{1b}[2J", Some("\\u{1b}[2J")),
            ("application/json; charset=UTF-8", None),
            ("application/json; charset=", None),
            ("application/json; charset", None),
            ("application/json; x=charset=utf-16", None),
            ("charset=utf-16", None),
        ] {
            let headers = [("content-type", content_type)];
            let said = said.map(|said| format!("the content-type says charset '{said}'"));
            let refused = decoded(EVENT, Format::Auto, &headers).err().map(|error| error.to_string());
            assert_eq!(refused.is_some(), said.is_some(), "{content_type}: {refused:?}");
            assert!(refused.unwrap_or_default().contains(&said.unwrap_or_default()), "{content_type}");
            let ascii = EVENT.replace('é', "e");
            assert!(decoded(&ascii, Format::Auto, &headers).is_ok(), "{content_type}");
        }
    }

    #[test]
    fn what_is_no_json_is_named_by_what_its_publisher_declares() {
        let error =
            |headers: &[(&'static str, &str)]| decoded("\u{1f}", Format::Auto, headers).unwrap_err().to_string();
        assert!(
            error(&[("content-encoding", "gzip")])
                .ends_with("the content-encoding says 'gzip': publish the body as it is")
        );
        let both = error(&[("content-encoding", "br"), ("content-type", "a/b; charset=utf-16")]);
        assert!(both.contains("'br'") && both.contains("'utf-16'"), "{both}");
        for plain in ["", "identity", "UTF-8", "binary"] {
            assert!(!error(&[("content-encoding", plain)]).contains("says"), "{plain}");
        }
        check_malformed("\u{1f}", Format::Auto, "not valid JSON");
    }
}
