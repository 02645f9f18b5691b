//! Compares formatted values with what real Python gave, and what is refused with the reason.

use serde_json::Value as Json;

use super::*;
use crate::event::{Type, Value};
use crate::key::python::tests::{published, table};

fn formatted(spec: &str, json: &str, declared: Option<Type>) -> Result<String, Unknown> {
    let value: Value<'_> = serde_json::from_str(json).unwrap();
    let mut out = String::new();
    FormatSpec::parse(spec).unwrap().format(Arg { value: &value, declared }, &mut out).map(|()| out)
}

#[test]
fn values_are_formatted_as_python_formats_them() {
    for line in table("format") {
        let (json, declared) = published(&line);
        let given = formatted(line["format"].as_str().unwrap(), &json, declared);
        match line["text"].as_str() {
            Some(expected) => assert_eq!(given.as_deref(), Ok(expected), "{line}"),
            None => assert!(given.is_err(), "{line} gave {given:?}"),
        }
    }
}

#[test]
fn no_exponent_and_no_number_of_digits_is_too_much() {
    let long = format!("\"{}.5\"", "1".repeat(70_000));
    let grouped = formatted(":,.0f", &long, Some(Type::Decimal)).unwrap();
    assert_eq!((grouped.len(), grouped.matches(',').count()), (70_000 + 23_333, 23_333));
    for exponent in
        ["-9223372036854775808", "9223372036854775807", "-9223372036854775807", "1000000", "9".repeat(100).as_str()]
    {
        for spec in ["", ":.2f", ":f", ":,"] {
            let number = format!("\"1.5E{exponent}\"");
            let given = formatted(spec, &number, Some(Type::Decimal));
            assert!(given.is_err_and(|why| why.contains("no decimal")), "{spec} of {number}");
        }
    }
    for (spec, number) in [(":f", "1E-99999"), (":.0f", "1E+99999"), (":,", "1E+99999"), (":f", "0E-99999")] {
        let given = formatted(spec, &format!("\"{number}\""), Some(Type::Decimal));
        assert!(given.is_err_and(|why| why.contains("does not fit")), "{spec} of {number}");
    }
    assert_eq!(formatted("", "\"1E-99999\"", Some(Type::Decimal)).as_deref(), Ok("1E-99999"));
}

#[test]
fn what_is_not_done_here_is_refused() {
    let cases = [
        (":e", "\"1.50\"", Some(Type::Decimal), "does not fit"),
        (":%Y", "\"2024-01-02\"", None, "declare its type"),
        (":%Y", "\"0999-01-02\"", Some(Type::Date), "before the year 1000"),
        (":d", "1.5", None, "does not fit"),
        (":d", "\"x\"", None, "does not fit"),
        (":>4", "null", None, "does not fit"),
        (":d", "\"2024-01-02T03:04:05Z\"", None, "declare its type"),
    ];
    for (spec, json, declared, why) in cases {
        let refused = formatted(spec, json, declared);
        assert!(refused.as_ref().is_err_and(|words| words.contains(why)), "{spec} {json}: {refused:?}");
    }
}

#[test]
fn templates_are_taken_apart_into_literals_and_paths() {
    let pieces = parse("a{{{self.owner.name!r:>10}:{kwargs[p]}{d:%Y-%m-%d}}}").unwrap();
    let shown: Vec<String> = pieces
        .iter()
        .map(|piece| match piece {
            Piece::Literal(text) => text.clone(),
            Piece::Field(field) => format!("<{}|{}>", field.path.join("/"), field.format.text),
        })
        .collect();
    assert_eq!(shown, ["a{", "<self/owner/name|>10>", ":", "<kwargs/p|>", "<d|%Y-%m-%d>", "}"]);
    let wrong =
        ["{", "a}", "{}", "{:d}", "{a..b}", "{a[}", "{a!x}", "{a:q}", "{a:{w}}", "{a:%Q}", "{a:99999d}", "{a:.}"];
    for source in wrong {
        assert!(parse(source).is_err(), "{source}");
    }
    let plain: Json = serde_json::json!(
        parse("{a}")
            .is_ok_and(|pieces| { matches!(&pieces[..], [Piece::Field(Field { format, .. })] if format.is_plain()) })
    );
    assert_eq!(plain, Json::Bool(true));
}
