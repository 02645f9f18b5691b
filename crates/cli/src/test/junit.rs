//! Writes results as JUnit XML, which every CI reads.

use super::case::Ran;

/// The whole document.
pub(super) fn xml(cases: &[Ran]) -> String {
    let failures = cases.iter().filter(|case| !case.passed).count();
    let counts = format!("tests=\"{}\" failures=\"{failures}\" errors=\"0\" skipped=\"0\"", cases.len());
    let cases: String = cases.iter().map(case).collect();
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites name=\"quash\" {counts}>\n  \
         <testsuite name=\"quash test\" {counts}>\n{cases}  </testsuite>\n</testsuites>\n"
    )
}

fn case(ran: &Ran) -> String {
    let name = escape(&ran.name);
    if ran.passed {
        return format!("    <testcase classname=\"quash\" name=\"{name}\"{}/>\n", location(ran));
    }
    let message = escape(ran.differences.first().map_or("", String::as_str));
    let text = escape(&ran.differences.join("\n"));
    format!(
        "    <testcase classname=\"quash\" name=\"{name}\"{}>\n      \
         <failure message=\"{message}\">{text}</failure>\n    </testcase>\n",
        location(ran)
    )
}

/// Where the case stands, as attributes that CIs make links of.
fn location(ran: &Ran) -> String {
    match (&ran.file, ran.line) {
        (Some(file), Some(line)) => format!(" file=\"{}\" line=\"{line}\"", escape(file)),
        _ => String::new(),
    }
}

/// Text as it may stand in an attribute or an element. XML 1.0 cannot hold control characters, not even escaped.
fn escape(text: &str) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut out, char| {
        match char {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&apos;"),
            '\n' => out.push_str("&#10;"),
            '\t' => out.push_str("&#9;"),
            '\u{fffe}' | '\u{ffff}' => out.push('\u{fffd}'),
            char if char.is_control() => out.push('\u{fffd}'),
            char => out.push(char),
        }
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_text_gives_well_formed_xml() {
        let passed = Ran {
            name: "a".to_owned(),
            file: None,
            line: None,
            passed: true,
            differences: Vec::new(),
            exercised: Vec::new(),
        };
        let failed = Ran {
            name: "<b> & \"c\" \u{0}".to_owned(),
            file: Some("a&b.yaml".to_owned()),
            line: Some(12),
            passed: false,
            differences: vec!["actions:".to_owned(), "- main delete it's]]>".to_owned()],
            exercised: Vec::new(),
        };
        let expect = r#"<?xml version="1.0" encoding="UTF-8"?>
<testsuites name="quash" tests="2" failures="1" errors="0" skipped="0">
  <testsuite name="quash test" tests="2" failures="1" errors="0" skipped="0">
    <testcase classname="quash" name="a"/>
    <testcase classname="quash" name="&lt;b&gt; &amp; &quot;c&quot; �" file="a&amp;b.yaml" line="12">
      <failure message="actions:">actions:&#10;- main delete it&apos;s]]&gt;</failure>
    </testcase>
  </testsuite>
</testsuites>
"#;
        assert_eq!(xml(&[passed, failed]), expect);
    }
}
