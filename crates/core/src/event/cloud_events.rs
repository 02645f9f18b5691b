//! Decodes CloudEvents 1.0: structured, in a batch, and binary with the attributes in the message's headers.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;

use super::context::Context;
use super::decode::fields_inside;
use super::fields::{Fields, Shape, text};
use super::problem::{malformed, quoted, within};
use super::{Change, DecodeError, EventLimits, base64, debezium, json, owned, time};

/// The headers of a message.
pub(super) type Headers<'a> = &'a [(Cow<'static, str>, String)];

/// How the names of attributes begin in headers: over HTTP and NATS, and over AMQP in two spellings.
const PREFIXES: [&str; 3] = ["ce-", "cloudEvents:", "cloudEvents_"];

/// What a CloudEvent says about its data.
#[derive(Debug, Default)]
pub(super) struct Attributes<'a> {
    context: Context<'a>,
    kind: Cow<'a, str>,
    debezium: debezium::Profile<'a>,
}

/// Decodes one CloudEvent in structured mode, or a list of them.
pub(super) fn structured<'a>(
    fields: &mut Fields<'a>,
    limits: &EventLimits,
    changes: &mut Vec<Change<'a>>,
) -> Result<(), DecodeError> {
    let decoded = match fields.elements.take() {
        Some(batch) => batch.map(|mut all| changes.append(&mut all)),
        None => entry(fields, limits, changes),
    };
    decoded.map_err(within("CloudEvents"))
}

/// Decodes one element of a batch.
pub(super) fn entry<'a>(
    fields: &mut Fields<'a>,
    limits: &EventLimits,
    changes: &mut Vec<Change<'a>>,
) -> Result<(), DecodeError> {
    if fields.shape != Shape::Object {
        return Err(malformed("expected an object with `specversion`, `type`, `source`, `id` and `data`"));
    }
    let attributes = of_fields(fields)?;
    match (fields.data.take(), fields.other_text("data_base64")) {
        (Some(_), Some(_)) => Err(malformed("both `data` and `data_base64`")),
        (Some(mut content), None) => data(&attributes, &mut content, limits, changes),
        (None, Some(encoded)) => {
            let bytes = base64::decode(&encoded).ok_or_else(|| malformed("`data_base64` is no base64"))?;
            let mut inner = Vec::new();
            data(&attributes, &mut fields_inside(&bytes, limits)?, limits, &mut inner)?;
            changes.extend(owned::all(inner));
            Ok(())
        }
        (None, None) => Err(malformed("no `data`")),
    }
}

/// Decodes the body of a CloudEvent in binary mode.
pub(super) fn binary<'a>(
    attributes: &Attributes<'a>,
    body: &mut Fields<'a>,
    limits: &EventLimits,
    changes: &mut Vec<Change<'a>>,
) -> Result<(), DecodeError> {
    data(attributes, body, limits, changes).map_err(within("CloudEvents"))
}

fn data<'a>(
    attributes: &Attributes<'a>,
    content: &mut Fields<'a>,
    limits: &EventLimits,
    changes: &mut Vec<Change<'a>>,
) -> Result<(), DecodeError> {
    let start = changes.len();
    if content.shape != Shape::Object {
        return Err(malformed("the data is no object: expected a native event or a Debezium change"));
    }
    if attributes.kind.starts_with("io.debezium.") {
        debezium::profile(&attributes.debezium, content, limits, changes)?;
    } else if debezium::is_envelope(content) {
        debezium::decode(content, &[], limits, changes)?;
    } else {
        json::decode(content, changes)?;
    }
    attributes.context.fill(&mut changes[start..]);
    Ok(())
}

fn of_fields<'a>(fields: &mut Fields<'a>) -> Result<Attributes<'a>, DecodeError> {
    version(fields.other_text("specversion").as_deref())?;
    let required = |name: &str, value: Option<Cow<'a, str>>| {
        value
            .filter(|text| !text.is_empty())
            .ok_or_else(|| malformed(format!("no `{name}`, which every CloudEvent has")))
    };
    let context = Context {
        id: Some(required("id", text("id", fields.id.take())?)?),
        source: Some(required("source", text("source", fields.source.take())?)?.into()),
        time_us: fields.time.take().map_or(Ok(None), |value| time::field(&value))?,
        origin: None,
        traceparent: text("traceparent", fields.traceparent.take())?.map(Into::into),
        transaction: None,
        answer: None,
    };
    let kind = required("type", fields.other_text("type"))?;
    Ok(Attributes { context, kind, debezium: debezium::Profile::of(|name| fields.other_text(name)) })
}

/// The attributes in the headers, when all the required ones are there: then the message is in binary mode.
pub(super) fn of_headers<'a>(headers: Headers<'a>) -> Result<Option<Attributes<'a>>, DecodeError> {
    let of = |name: &str| attribute(headers, name);
    let (Some(specversion), Some(id), Some(source), Some(kind)) =
        (of("specversion"), of("id"), of("source"), of("type"))
    else {
        return Ok(None);
    };
    let read = || {
        version(Some(&specversion))?;
        let time_us = of("time").map_or(Ok(None), |text| time::header(&text))?;
        let traceparent = of("traceparent").map(Into::into);
        let context = Context { id: Some(id), source: Some(source.into()), time_us, traceparent, ..Context::default() };
        Ok(Some(Attributes { context, kind, debezium: debezium::Profile::of(of) }))
    };
    read().map_err(within("CloudEvents"))
}

/// The `type` in the headers, when the message is in binary mode.
pub(super) fn kind<'a>(headers: Headers<'a>) -> Option<Cow<'a, str>> {
    attribute(headers, "specversion").and_then(|_| attribute(headers, "type"))
}

/// Whether the `content-type` says that the body is a whole CloudEvent, or several.
pub(super) fn says_structured(headers: Headers<'_>) -> bool {
    let content_type = headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("content-type"));
    content_type.is_some_and(|(_, value)| starts_with(value, "application/cloudevents"))
}

fn version(specversion: Option<&str>) -> Result<(), DecodeError> {
    match specversion {
        Some("1.0") => Ok(()),
        Some(other) => Err(malformed(format!("unknown `specversion` {}, expected 1.0", quoted(other)))),
        None => Err(malformed("no `specversion`, expected 1.0")),
    }
}

fn attribute<'a>(headers: Headers<'a>, name: &str) -> Option<Cow<'a, str>> {
    headers.iter().find_map(|(header, value)| {
        let prefix = PREFIXES.into_iter().find(|prefix| starts_with(header, prefix))?;
        let same = header.get(prefix.len()..)?.eq_ignore_ascii_case(name);
        // Only the header binding percent-encodes; AMQP carries text as it is.
        let encoded = prefix == "ce-";
        same.then(
            || if encoded { percent_decode_str(value).decode_utf8_lossy() } else { Cow::Borrowed(value.as_str()) },
        )
    })
}

fn starts_with(text: &str, prefix: &str) -> bool {
    text.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
}

#[cfg(test)]
mod tests;
