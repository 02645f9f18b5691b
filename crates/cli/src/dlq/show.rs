//! `quash dlq show`: all that is known of a letter, on one screen.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::ops::ControlFlow;

use super::{Chosen, Desk};
use crate::output::{Paint, ago, count, escape_for_terminal, thousands, time, write_json};
use crate::table::cut;
use crate::{CliError, Exit};
use quash_worker::dead_letter::archive::Archived;
use quash_worker::dead_letter::select::select;
use quash_worker::dead_letter::{Letter, pretty};

/// Lines of the payload that still leave room for the rest of the screen.
const PAYLOAD_LINES: usize = 24;
/// Letters of a line: some payloads are one long line.
const PAYLOAD_WIDTH: usize = 400;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The letters' ids, as `quash dlq ls` shows them
    #[arg(required = true, value_name = "ID")]
    ids: Vec<String>,
    /// Show the whole payload, however long it is
    #[arg(long)]
    full: bool,
}

impl Desk<'_> {
    pub(super) async fn show(&mut self, args: Args) -> Result<Exit, CliError> {
        let choice = Chosen::default().choice(&args.ids)?;
        let mut letters = Vec::new();
        let mut found = |letter| {
            letters.push(letter);
            ControlFlow::Continue(())
        };
        let selection = select(self.letters(), &choice, self.now_ms, &mut found, &mut |_| ()).await?;
        match self.is_json() {
            true => write_json(self.out, &letters.iter().map(Archived::of).collect::<Vec<_>>())?,
            false => {
                let view = View { now_ms: self.now_ms, paint: self.screen.paint, hint: &self.hint, full: args.full };
                let screens: Vec<String> = letters.iter().map(|letter| view.screen(letter)).collect();
                write!(self.out, "{}", screens.join("\n"))?;
            }
        }
        self.note_missing(&selection.missing);
        Ok(if selection.missing.is_empty() { Exit::Done } else { Exit::Failures })
    }
}

/// How a letter is shown.
struct View<'a> {
    now_ms: i64,
    paint: Paint,
    hint: &'a str,
    full: bool,
}

impl View<'_> {
    fn screen(&self, letter: &Letter) -> String {
        let mut screen = self.title(letter);
        self.section(&mut screen, "", self.facts(letter));
        self.section(&mut screen, "attempts", self.attempts(letter));
        self.section(&mut screen, "why the rules asked for it", letter.about.trace.clone());
        let bytes = letter.message.payload.len() as u64;
        self.section(&mut screen, &format!("payload, {}", count(bytes, "byte", "bytes")), self.payload(letter));
        self.section(
            &mut screen,
            "headers",
            letter.more_headers().map(|(name, value)| format!("{name}: {value}")).collect(),
        );
        self.section(&mut screen, "what to do", self.what_to_do(letter));
        screen
    }

    fn title(&self, letter: &Letter) -> String {
        let about = &letter.about;
        let mut title = format!("{}  {}", letter.id.0, about.reason.as_deref().unwrap_or("-"));
        // Writing to a string cannot fail.
        if let Some(target) = &about.target {
            let _ = write!(title, " on {target}");
        }
        if let Some(cache) = &about.cache {
            let _ = write!(title, ", cache {cache}");
        }
        let error = about.error.as_deref().unwrap_or("no error is known");
        let (title, error) = (escape_for_terminal(&title), escape_for_terminal(error));
        format!("{}\n  {}\n", self.paint.bold(&title), self.paint.red(&error))
    }

    /// Adds lines under a heading, unless there is none.
    fn section(&self, screen: &mut String, heading: &str, lines: Vec<String>) {
        if lines.is_empty() {
            return;
        }
        screen.push('\n');
        if !heading.is_empty() {
            let _ = writeln!(screen, "{}", self.paint.bold(heading));
        }
        for line in lines {
            let _ = writeln!(screen, "{}", format!("  {}", escape_for_terminal(&line)).trim_end());
        }
    }

    fn facts(&self, letter: &Letter) -> Vec<String> {
        let about = &letter.about;
        let known = |value: &Option<String>| value.clone().unwrap_or_else(|| "-".to_owned());
        let mut facts = vec![
            format!("event     {} of {}", known(&about.id), known(&about.entity)),
            format!("received  from {} as {}", known(&about.source), known(&about.broker_id)),
            format!("failed    {}", self.failed(letter)),
            format!("kept by   {}, quash {}", known(&about.worker), known(&about.quash)),
        ];
        if about.replays > 0 {
            facts.push(format!("replayed  {}", count(about.replays.into(), "time", "times")));
        }
        facts.extend(about.legibility.note());
        facts
    }

    fn failed(&self, letter: &Letter) -> String {
        let about = &letter.about;
        let when = |ms: i64| format!("{} ({} ago)", time(ms), ago(self.now_ms.saturating_sub(ms)));
        match (about.first_failure_ms, about.last_failure_ms) {
            (Some(first), Some(last)) if first != last => format!("first {}, last {}", when(first), when(last)),
            (_, Some(ms)) | (Some(ms), None) => when(ms),
            (None, None) => "-".to_owned(),
        }
    }

    /// The attempts as a timeline: the first with its time, each later one by how long after the one before.
    fn attempts(&self, letter: &Letter) -> Vec<String> {
        let about = &letter.about;
        let kept = about.attempts.len() as u64;
        let mut lines = Vec::new();
        if let Some(more @ 1..) = about.attempts_made.and_then(|made| u64::from(made).checked_sub(kept)) {
            lines.push(format!("({}, not kept one by one)", count(more, "earlier attempt", "earlier attempts")));
        }
        let mut before = None;
        for attempt in &about.attempts {
            let when = match before.replace(attempt.at_ms) {
                None => time(attempt.at_ms),
                Some(earlier) => format!("+{}", ago(attempt.at_ms.saturating_sub(earlier))),
            };
            lines.push(format!("{when:>20}  {}  {}", attempt.target.as_deref().unwrap_or("-"), attempt.error));
        }
        lines
    }

    fn payload(&self, letter: &Letter) -> Vec<String> {
        let payload = &letter.message.payload;
        let text: Cow<'_, str> = match std::str::from_utf8(payload) {
            Ok(text) => pretty::indent(text).map_or(Cow::Borrowed(text), Cow::Owned),
            Err(_) => Cow::Owned(payload.escape_ascii().to_string()),
        };
        if self.full {
            return text.lines().map(str::to_owned).collect();
        }
        let mut lines: Vec<String> = text.lines().take(PAYLOAD_LINES).map(|line| cut(line, PAYLOAD_WIDTH)).collect();
        let all = text.lines().count();
        if all > PAYLOAD_LINES || text.lines().take(PAYLOAD_LINES).zip(&lines).any(|(line, shown)| line != shown) {
            let more = all.saturating_sub(PAYLOAD_LINES) as u64;
            lines.push(format!("… {} more lines; --full shows all", thousands(more)));
        }
        lines
    }

    fn what_to_do(&self, letter: &Letter) -> Vec<String> {
        let advice = letter.about.advice().map(str::to_owned);
        let commands = ["replay", "discard"].map(|verb| format!("quash dlq {verb}{} {}", self.hint, letter.id.0));
        advice.into_iter().chain(commands).collect()
    }
}

#[cfg(test)]
mod tests {
    use quash_transport::Message;

    use super::super::testing::{check, json, run};
    use crate::Exit;
    use quash_delivery::headers;
    use quash_delivery::record::Reason;
    use quash_worker::dead_letter::testing::{Broker, message, record};

    #[tokio::test]
    async fn one_screen_says_what_why_when_and_what_to_do() {
        let mut letter = message(&record(Reason::TargetError), "{\"id\":1.50,\"x\":\"\u{9b}\"}");
        letter.headers.set("traceparent", "00-1");
        let expect = r#"1  target_error on main, cache product
  OOM at 12 MB

  event     e1 of shop.Book
  received  from events as 5-0
  failed    first 2023-11-14 21:56:40Z (17m ago), last 2023-11-14 22:13:20Z (1m ago)
  kept by   w1, quash 0.1.0

attempts
  (6 earlier attempts, not kept one by one)
  2023-11-14 21:56:40Z  main  OOM at 12 MB
                  +16m  main  OOM at 12 MB

why the rules asked for it
  row shop.Book matched product

payload, 20 bytes
  {
    "id": 1.50,
    "x": "\u{9b}"
  }

headers
  traceparent: 00-1

what to do
  the target refused every attempt: mend what it says, then replay
  quash dlq replay 1
  quash dlq discard 1
"#;
        check(&Broker::with([letter]), "show 1", Exit::Done, expect).await;
    }

    #[tokio::test]
    async fn a_stranger_s_letter_is_shown_with_what_there_is() {
        let mut letter = Message { payload: vec![0xff, b'a', 0].into(), ..Message::default() };
        letter.headers.set(headers::RECORD, "{\x1b");
        let expect = r"1  -
  no error is known

  event     - of -
  received  from - as -
  failed    -
  kept by   -, quash -
  its record cannot be read; it stands among the headers

payload, 3 bytes
  \xffa\x00

headers
  quash-dead-letter: {\x1b

what to do
  quash dlq replay 1
  quash dlq discard 1
";
        check(&Broker::with([letter]), "show 1", Exit::Done, expect).await;
    }

    #[tokio::test]
    async fn a_long_payload_is_cut_unless_all_is_wanted() {
        let payload = format!("[{}0]", "0,".repeat(99));
        let broker = Broker::with([message(&record(Reason::Limit), &payload)]);
        let (_, short, _) = run(&broker, "show 1", None).await;
        assert!(short.contains("… 78 more lines; --full shows all"), "{short}");
        let (_, full, _) = run(&broker, "show 1 --full", None).await;
        assert_eq!(full.matches("    0").count(), 100, "{full}");
    }

    #[tokio::test]
    async fn a_letter_that_is_not_there_is_named() {
        let broker = Broker::with([message(&record(Reason::Limit), "{}")]);
        let (ended, out, err) = run(&broker, "show 1 7-7", None).await;
        assert_eq!((ended.unwrap(), err.as_str()), (Exit::Failures, "there is no dead letter 7-7 in events\n"));
        assert!(out.starts_with("1  limit"), "{out}");
    }

    #[tokio::test]
    async fn programs_get_the_letter_as_it_is_exported() {
        let broker = Broker::with([message(&record(Reason::Limit), "{}")]);
        let letters = json(&broker, "show 1").await;
        assert_eq!((&letters[0]["payload"], &letters[0]["record"]["reason"]), (&"{}".into(), &"limit".into()));
    }
}
