//! Rewrites OpenMetrics text as Prometheus text format 0.0.4, which every scraper reads.
//!
//! OpenMetrics names a family without the `_total` of its counter, so that the counter `quash_dead_letters_total` and the
//! gauge `quash_dead_letters` would be one family of two types. In the older format they are two families.

/// The same samples, with the comments of the older format.
pub(super) fn from_open_metrics(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut help = None;
    for line in text.lines() {
        match line.strip_prefix("# ").and_then(|comment| comment.split_once(' ')) {
            Some(("HELP", rest)) => help = rest.split_once(' '),
            Some(("TYPE", rest)) => describe(&mut out, rest, help.take()),
            Some(("UNIT", _)) => {}
            _ if line == "# EOF" => {}
            _ => push_line(&mut out, &[line]),
        }
    }
    out
}

fn describe(out: &mut String, family: &str, help: Option<(&str, &str)>) {
    let (name, kind) = family.split_once(' ').unwrap_or((family, "untyped"));
    let (suffix, kind) = match kind {
        "counter" => ("_total", "counter"),
        "info" => ("_info", "gauge"),
        other => ("", other),
    };
    if let Some((_, help)) = help {
        push_line(out, &["# HELP ", name, suffix, " ", help]);
    }
    push_line(out, &["# TYPE ", name, suffix, " ", kind]);
}

fn push_line(out: &mut String, parts: &[&str]) {
    parts.iter().for_each(|part| out.push_str(part));
    out.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_and_a_gauge_of_one_name_are_two_families() {
        let open = "# HELP a_b Written.\n# TYPE a_b counter\na_b_total{x=\"# EOF\"} 1\n\
                    # HELP a_b Kept.\n# TYPE a_b gauge\na_b 2\n\
                    # HELP v Version.\n# TYPE v info\nv_info{v=\"1\"} 1\n# EOF\n";
        let expected = "# HELP a_b_total Written.\n# TYPE a_b_total counter\na_b_total{x=\"# EOF\"} 1\n\
                        # HELP a_b Kept.\n# TYPE a_b gauge\na_b 2\n\
                        # HELP v_info Version.\n# TYPE v_info gauge\nv_info{v=\"1\"} 1\n";
        assert_eq!(from_open_metrics(open), expected);
    }
}
