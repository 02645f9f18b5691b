//! `quash dlq ls` and `quash dlq groups`: dead letters one by one, and by cause.

use std::ops::ControlFlow;

use super::{Chosen, Desk};
use crate::output::{ago, count, escape_for_terminal, shell_quote, thousands, write_json};
use crate::progress::Progress;
use crate::table::Table;
use crate::{CliError, Exit};
use quash_worker::dead_letter::Letter;
use quash_worker::dead_letter::groups::{Group, Groups};
use quash_worker::dead_letter::report::{GroupReport, Summary};
use quash_worker::dead_letter::select::{Choice, Selection, select};

/// Letters that `ls` shows unless told otherwise: about a screen.
const LS_LIMIT: usize = 50;

#[derive(Debug, clap::Args)]
pub(super) struct LsArgs {
    /// Only letters like this: reason:decode -cache:product age:<1h "text of the error"
    #[arg(long, value_name = "FILTER", allow_hyphen_values = true)]
    pub(super) filter: Vec<String>,
    /// So many at most, the oldest first; 0 is all
    #[arg(long, value_name = "N", default_value_t = LS_LIMIT)]
    pub(super) limit: usize,
}

#[derive(Debug, clap::Args)]
pub(super) struct GroupsArgs {
    #[command(flatten)]
    pub(super) chosen: Chosen,
}

impl Desk<'_> {
    pub(super) async fn ls(&mut self, args: LsArgs) -> Result<Exit, CliError> {
        let choice = Chosen { filter: args.filter, limit: args.limit }.choice(&[])?;
        let total = self.letters().len().await?;
        let (letters, selection) = self.gather(&choice, total).await?;
        match self.is_json() {
            true => self.ls_json(&letters, total)?,
            false if letters.is_empty() => self.say(&none(&self.source, &choice))?,
            false => {
                letter_table(&letters, self.now_ms).write(self.out, self.screen)?;
                self.say_how_many(&choice, &selection, total)?;
            }
        }
        Ok(Exit::Done)
    }

    async fn gather(&self, choice: &Choice, total: u64) -> Result<(Vec<Letter>, Selection), CliError> {
        let mut letters = Vec::new();
        let mut progress = Progress::new("reading", Some(total));
        let mut found = |letter| {
            letters.push(letter);
            ControlFlow::Continue(())
        };
        let selected = select(self.letters(), choice, self.now_ms, &mut found, &mut |done| progress.update(done)).await;
        progress.finish();
        Ok((letters, selected?))
    }

    fn ls_json(&mut self, letters: &[Letter], total: u64) -> Result<(), CliError> {
        let letters: Vec<Summary<'_>> = letters.iter().map(|letter| Summary::of(letter, self.now_ms)).collect();
        write_json(self.out, &serde_json::json!({ "source": self.source, "total": total, "letters": letters }))
    }

    fn say_how_many(&mut self, choice: &Choice, selection: &Selection, total: u64) -> Result<(), CliError> {
        let chosen = selection.chosen.len();
        let (shown, source) = (thousands(chosen as u64), &self.source);
        let all = count(total, "dead letter", "dead letters");
        let line = match (choice.filter.is_empty(), choice.limit == Some(chosen)) {
            (true, true) if (chosen as u64) < total => format!("{shown} of {all} in {source}; --limit 0 shows all"),
            (true, _) => format!("{all} in {source}"),
            (false, false) => format!("{shown} of {all} in {source} match"),
            (false, true) => format!("{shown} of {all} in {source}; more may match, --limit 0 shows all"),
        };
        let line = escape_for_terminal(&line);
        Ok(writeln!(self.out, "\n{}", self.screen.paint.dim(&line))?)
    }

    pub(super) async fn groups(&mut self, args: GroupsArgs) -> Result<Exit, CliError> {
        let choice = args.chosen.choice(&[])?;
        let total = self.letters().len().await?;
        let groups = self.gather_groups(&choice, total).await?;
        match self.is_json() {
            true => self.groups_json(&groups, total)?,
            false if groups.is_empty() => self.say(&none(&self.source, &choice))?,
            false => groups.iter().enumerate().try_for_each(|(index, group)| self.say_group(index, group))?,
        }
        Ok(Exit::Done)
    }

    async fn gather_groups(&self, choice: &Choice, total: u64) -> Result<Vec<Group>, CliError> {
        let mut groups = Groups::default();
        let mut progress = Progress::new("reading", Some(total));
        let mut found = |letter: Letter| {
            groups.add(&letter);
            ControlFlow::Continue(())
        };
        let selected = select(self.letters(), choice, self.now_ms, &mut found, &mut |done| progress.update(done)).await;
        progress.finish();
        selected?;
        Ok(groups.into_sorted())
    }

    fn groups_json(&mut self, groups: &[Group], total: u64) -> Result<(), CliError> {
        let groups: Vec<_> = groups.iter().map(GroupReport::of).collect();
        write_json(self.out, &serde_json::json!({ "source": self.source, "total": total, "groups": groups }))
    }

    /// How many and what, the error, and the commands: two to look further, two to be done with them.
    fn say_group(&mut self, index: usize, group: &Group) -> Result<(), CliError> {
        if index > 0 {
            writeln!(self.out)?;
        }
        let paint = self.screen.paint;
        let title = format!("{} × {}", thousands(group.count), group.cause.title());
        let filter = shell_quote(&group.cause.filter());
        writeln!(self.out, "{}  {}", paint.bold(&escape_for_terminal(&title)), paint.dim(&ages(group, self.now_ms)))?;
        self.say(&format!("  {}", group.cause.error.as_deref().unwrap_or("no error is known")))?;
        if let Some(cure) = group.cause.cure() {
            self.say(&format!("  {cure}"))?;
        }
        self.say(&format!("  quash dlq ls{} --filter {filter}", self.hint))?;
        self.say(&format!("  quash dlq show{} {}", self.hint, group.example.0))?;
        self.say(&format!("  quash dlq replay{} --filter {filter}", self.hint))?;
        self.say(&format!("  quash dlq discard{} --filter {filter}", self.hint))
    }
}

fn ages(group: &Group, now_ms: i64) -> String {
    let since = |ms: i64| ago(now_ms.saturating_sub(ms));
    match (group.oldest_ms, group.newest_ms) {
        (Some(oldest), Some(newest)) if since(oldest) != since(newest) => {
            format!("{} to {} ago", since(newest), since(oldest))
        }
        (Some(ms), _) | (_, Some(ms)) => format!("{} ago", since(ms)),
        (None, None) => "nobody knows since when".to_owned(),
    }
}

fn none(source: &str, choice: &Choice) -> String {
    match choice.filter.is_empty() {
        true => format!("no dead letters in {source}"),
        false => format!("no dead letter in {source} matches"),
    }
}

/// The letters as a table, as `ls` shows them.
pub(super) fn letter_table(letters: &[Letter], now_ms: i64) -> Table {
    let headings = ["ID", "AGE", "REASON", "ENTITY", "CACHE/TARGET", "ATTEMPTS", "ERROR"];
    let mut table = Table::new(&headings).right(&[1, 5]).flexible(6);
    for letter in letters {
        let about = &letter.about;
        let known = |value: &Option<String>| value.clone().unwrap_or_else(|| "-".to_owned());
        table.row([
            letter.id.0.clone(),
            letter.age_ms(now_ms).map_or_else(|| "-".to_owned(), ago),
            known(&about.reason),
            known(&about.entity),
            format!("{}/{}", known(&about.cache), known(&about.target)),
            about.attempts_made.map_or_else(|| "-".to_owned(), |made| thousands(made.into())),
            known(&about.error),
        ]);
    }
    table
}

#[cfg(test)]
mod tests {
    use quash_transport::Message;

    use super::super::testing::{check, json};
    use crate::Exit;
    use quash_delivery::record::{Reason, Record};
    use quash_worker::dead_letter::testing::{Broker, message, record};

    fn mixed() -> Broker {
        let error = |error: &str| Record { error: error.to_owned(), ..record(Reason::TargetError) };
        let decode = Record {
            entity: None,
            target: None,
            cache: None,
            attempts_made: 1,
            error: "no JSON\n\x1b[2J".to_owned(),
            ..record(Reason::Decode)
        };
        Broker::with([
            message(&error("OOM at 12 MB"), "{}"),
            message(&decode, "x"),
            Message::default(),
            message(&error("OOM at 9 MB"), "{}"),
        ])
    }

    #[tokio::test]
    async fn an_empty_queue_is_said_to_be_empty() {
        check(&Broker::default(), "ls", Exit::Done, "no dead letters in events\n").await;
        check(&Broker::default(), "groups", Exit::Done, "no dead letters in events\n").await;
        check(&mixed(), "ls --filter reason:panic", Exit::Done, "no dead letter in events matches\n").await;
    }

    #[tokio::test]
    async fn letters_are_listed_aligned_escaped_and_none_is_skipped() {
        let expect = r"ID  AGE  REASON        ENTITY     CACHE/TARGET  ATTEMPTS  ERROR
1    1m  target_error  shop.Book  product/main         8  OOM at 12 MB
2    1m  decode        -          -/-                  1  no JSON\n\x1b[2J
3     -  -             -          -/-                  -  -
4    1m  target_error  shop.Book  product/main         8  OOM at 9 MB

4 dead letters in events
";
        check(&mixed(), "ls", Exit::Done, expect).await;
    }

    #[tokio::test]
    async fn a_list_says_what_it_leaves_out() {
        let cases = [
            ("ls --limit 2", "2 of 4 dead letters in events; --limit 0 shows all\n"),
            ("ls --limit 4", "4 dead letters in events\n"),
            ("ls --limit 0", "4 dead letters in events\n"),
            ("ls --filter error:oom --limit 1", "1 of 4 dead letters in events; more may match, --limit 0 shows all\n"),
            ("ls --filter error:oom", "2 of 4 dead letters in events match\n"),
            ("ls --filter error:oom --filter attempts:8 --limit 9", "2 of 4 dead letters in events match\n"),
        ];
        for (command, expect) in cases {
            let (_, out, _) = super::super::testing::run(&mixed(), command, None).await;
            assert_eq!(out.lines().last().unwrap().to_owned() + "\n", expect, "{command}");
        }
    }

    #[tokio::test]
    async fn groups_count_causes_and_name_the_commands_to_look_further_and_to_be_done_with_them() {
        let expect = r#"2 × target_error on main, cache product  1m ago
  OOM at * MB
  the target refused every attempt: mend what it says, then replay
  quash dlq ls --filter 'reason:target_error target:main cache:product error:"OOM at * MB"'
  quash dlq show 4
  quash dlq replay --filter 'reason:target_error target:main cache:product error:"OOM at * MB"'
  quash dlq discard --filter 'reason:target_error target:main cache:product error:"OOM at * MB"'

1 × -  nobody knows since when
  no error is known
  quash dlq ls --filter 'reason:- target:- cache:-'
  quash dlq show 3
  quash dlq replay --filter 'reason:- target:- cache:-'
  quash dlq discard --filter 'reason:- target:- cache:-'

1 × decode  1m ago
  no JSON*[*
  the publisher sends something that is no event: mend it there, then discard the letter
  quash dlq ls --filter 'reason:decode target:- cache:- error:"no JSON*[*"'
  quash dlq show 2
  quash dlq replay --filter 'reason:decode target:- cache:- error:"no JSON*[*"'
  quash dlq discard --filter 'reason:decode target:- cache:- error:"no JSON*[*"'
"#;
        check(&mixed(), "groups", Exit::Done, expect).await;
    }

    #[tokio::test]
    async fn programs_get_the_same_as_json() {
        let list = json(&mixed(), "ls --filter reason:decode").await;
        assert_eq!((&list["source"], &list["total"]), (&"events".into(), &4.into()));
        let letter = &list["letters"][0];
        assert_eq!(
            (&letter["id"], &letter["reason"], &letter["age_ms"]),
            (&"2".into(), &"decode".into(), &60_000.into())
        );

        let groups = json(&mixed(), "groups").await;
        assert_eq!(groups["groups"][0]["count"], 2);
        assert_eq!(groups["groups"][1]["filter"], "reason:- target:- cache:-");
    }

    #[tokio::test]
    async fn a_wrong_filter_is_wrong_usage() {
        let (ended, _, _) = super::super::testing::run(&mixed(), "ls --filter reson:decode", None).await;
        let error = ended.unwrap_err();
        assert_eq!(error.code(), 2);
        assert!(error.to_string().contains("did you mean `reason`?"), "{error}");
    }
}
