//! `quash dlq replay`, `discard` and `purge`: what takes letters out.

use std::ops::ControlFlow;

use quash_transport::TransportError;
use tokio::sync::watch;

use super::list::letter_table;
use super::{Chosen, Desk, short_list, stopped_by_ctrl_c};
use crate::output::{count, escape_for_terminal, thousands, write_json};
use crate::progress::Progress;
use crate::{CliError, Exit};
use quash_worker::dead_letter::Letter;
use quash_worker::dead_letter::discard::{Discarded, discard};
use quash_worker::dead_letter::replay::{REPLAYS_MAX, Rate, Replayed, replay};
use quash_worker::dead_letter::report::{DiscardReport, ReplayReport};
use quash_worker::dead_letter::select::{Choice, Selection, select};

/// Letters that a dry run shows: enough to see whether the right ones are meant.
const DRY_RUN_SHOWN: usize = 20;

#[derive(Debug, clap::Args)]
pub(super) struct ReplayArgs {
    /// The letters' ids
    #[arg(value_name = "ID")]
    ids: Vec<String>,
    #[command(flatten)]
    chosen: Chosen,
    /// Every letter there is; needed where no ids, no filter and no limit say which
    #[arg(long, conflicts_with_all = ["ids", "filter", "limit"])]
    all: bool,
    /// So many in a time, as 100/s, 30/m or 5/h
    #[arg(long, value_name = "RATE")]
    rate: Option<Rate>,
    /// Also letters that were replayed three times or more and came back
    #[arg(long)]
    force: bool,
    /// Show what would be replayed, and do nothing
    #[arg(long)]
    dry_run: bool,
}

#[derive(Debug, clap::Args)]
pub(super) struct DiscardArgs {
    /// The letters' ids
    #[arg(value_name = "ID", required_unless_present = "filter")]
    ids: Vec<String>,
    #[command(flatten)]
    chosen: Chosen,
    /// Show what would be removed, and do nothing
    #[arg(long)]
    dry_run: bool,
}

#[derive(Debug, clap::Args)]
pub(super) struct PurgeArgs {
    /// Do not ask; needed where nobody can be asked
    #[arg(long, short)]
    yes: bool,
    /// Show what would be removed, and do nothing
    #[arg(long)]
    dry_run: bool,
}

impl Desk<'_> {
    pub(super) async fn replay(&mut self, args: ReplayArgs, mut stop: watch::Receiver<bool>) -> Result<Exit, CliError> {
        let replays_below = (!args.force).then_some(REPLAYS_MAX);
        let choice = Choice { replays_below, ..args.chosen.choice(&args.ids)? };
        let is_all = choice.ids.is_none() && choice.filter.is_empty() && choice.limit.is_none();
        if is_all && !args.all && !args.dry_run {
            let message = "say which letters: ids, a --filter (`quash dlq groups` has one for each cause), or --all";
            return Err(CliError::Usage(message.to_owned()));
        }
        let selection = self.pick(&choice, args.dry_run, "replay").await?;
        let mut so_far = Replayed::default();
        let mut ended = Ok(());
        if !args.dry_run && !selection.chosen.is_empty() {
            self.transport.prepare().await?;
            let mut progress = Progress::new("replaying", Some(selection.chosen.len() as u64));
            let mut update = |done| progress.update(done);
            ended = replay(self.transport, &selection, args.rate, &mut stop, &mut so_far, &mut update).await;
            progress.finish();
        }
        let reported = self.report_replay(&selection, so_far, args.dry_run);
        exit(ended, reported, &selection, so_far.left)
    }

    pub(super) async fn discard(&mut self, args: DiscardArgs, stop: watch::Receiver<bool>) -> Result<Exit, CliError> {
        let choice = args.chosen.choice(&args.ids)?;
        if choice.ids.is_none() && choice.filter.is_empty() {
            return Err(CliError::Usage("the filter is empty; `quash dlq purge` removes all letters".to_owned()));
        }
        let selection = self.pick(&choice, args.dry_run, "discard").await?;
        self.remove(selection, args.dry_run, stop).await
    }

    pub(super) async fn purge(&mut self, args: PurgeArgs) -> Result<Exit, CliError> {
        let total = self.letters().len().await?;
        if total > 0 && !args.dry_run && !args.yes {
            self.confirm(total)?;
        }
        let selection = self.pick(&Choice::default(), args.dry_run, "discard").await?;
        self.remove(selection, args.dry_run, stopped_by_ctrl_c()).await
    }

    /// Removes a set for good and reports it.
    pub(super) async fn remove(
        &mut self,
        selection: Selection,
        dry_run: bool,
        stop: watch::Receiver<bool>,
    ) -> Result<Exit, CliError> {
        let mut so_far = Discarded::default();
        let mut ended = Ok(());
        if !dry_run {
            let mut progress = Progress::new("discarding", Some(selection.chosen.len() as u64));
            let mut update = |done| progress.update(done);
            ended = discard(self.letters(), &selection, &stop, &mut so_far, &mut update).await;
            progress.finish();
        }
        let reported = self.report_discard(&selection, so_far, dry_run);
        exit(ended, reported, &selection, so_far.left)
    }

    /// Takes the set; a dry run shows its first letters.
    async fn pick(&mut self, choice: &Choice, dry_run: bool, verb: &str) -> Result<Selection, CliError> {
        let total = self.letters().len().await?;
        let mut shown = Vec::new();
        let mut found = |letter: Letter| {
            if dry_run && shown.len() < DRY_RUN_SHOWN {
                shown.push(letter);
            }
            ControlFlow::Continue(())
        };
        let mut progress = Progress::new("reading", Some(total));
        let selected = select(self.letters(), choice, self.now_ms, &mut found, &mut |done| progress.update(done)).await;
        progress.finish();
        let selection = selected?;
        self.note_missing(&selection.missing);
        if dry_run && !self.is_json() {
            self.say_dry_run(&shown, &selection, verb)?;
        }
        Ok(selection)
    }

    fn say_dry_run(&mut self, shown: &[Letter], selection: &Selection, verb: &str) -> Result<(), CliError> {
        if !shown.is_empty() {
            letter_table(shown, self.now_ms).write(self.out, self.screen)?;
            writeln!(self.out)?;
        }
        let chosen = selection.chosen.len() as u64;
        self.say(&format!(
            "would {verb} {} of {}; nothing was done",
            count(chosen, "dead letter", "dead letters"),
            self.source
        ))
    }

    /// Asks whether all letters are to go.
    fn confirm(&mut self, total: u64) -> Result<(), CliError> {
        let letters = count(total, "dead letter", "dead letters");
        let Some(answers) = self.answers.as_deref_mut() else {
            let message =
                format!("purging removes {letters} of {} for good, and nobody can be asked: add --yes", self.source);
            return Err(CliError::Refused(message));
        };
        let question = format!("Remove {letters} of {} for good? [y/N] ", self.source);
        write!(self.err, "{}", escape_for_terminal(&question))?;
        self.err.flush()?;
        let mut answer = String::new();
        answers.read_line(&mut answer).map_err(|error| CliError::file("read", "the answer", &error))?;
        match answer.trim().to_lowercase().as_str() {
            "y" | "yes" => Ok(()),
            _ => Err(CliError::Refused("nothing was removed".to_owned())),
        }
    }

    fn report_replay(&mut self, selection: &Selection, so_far: Replayed, dry_run: bool) -> Result<(), CliError> {
        if self.is_json() {
            return write_json(self.out, &ReplayReport::of(&self.source, dry_run, selection, so_far));
        }
        if !dry_run {
            let done = [
                (so_far.gone, "were gone before"),
                (so_far.left, "were not tried"),
                (so_far.unclear, "may be both sent and still here; sending them again is harmless"),
            ];
            self.say_done("replayed", so_far.replayed, &done)?;
        }
        if !selection.circling.is_empty() {
            let skipped = count(selection.circling.len() as u64, "letter", "letters");
            let ids = short_list(&selection.circling);
            let times = REPLAYS_MAX;
            self.say(&format!(
                "skipped {skipped} that came back after {times} replays; --force sends them again: {ids}"
            ))?;
        }
        Ok(())
    }

    fn report_discard(&mut self, selection: &Selection, so_far: Discarded, dry_run: bool) -> Result<(), CliError> {
        if self.is_json() {
            return write_json(self.out, &DiscardReport::of(&self.source, dry_run, selection, so_far));
        }
        match dry_run {
            true => Ok(()),
            false => {
                let done = [(so_far.gone, "were gone before"), (so_far.left, "were not tried")];
                self.say_done("discarded", so_far.discarded, &done)
            }
        }
    }

    /// Says what was done, and what became of the others, where there are any.
    fn say_done(&mut self, verb: &str, done: u64, others: &[(u64, &str)]) -> Result<(), CliError> {
        let mut line = format!("{verb} {} of {}", count(done, "dead letter", "dead letters"), self.source);
        for (number, what) in others.iter().filter(|(number, _)| *number > 0) {
            line = format!("{line}; {} {what}", thousands(*number));
        }
        self.say(&line)
    }
}

/// What was asked for and not done is a failure: letters that are not there, go in circles, or were left by Ctrl-C. That
/// the work broke weighs more than that nobody reads the report.
fn exit(
    ended: Result<(), TransportError>,
    reported: Result<(), CliError>,
    selection: &Selection,
    left: u64,
) -> Result<Exit, CliError> {
    ended?;
    reported?;
    let all = selection.missing.is_empty() && selection.circling.is_empty() && left == 0;
    Ok(if all { Exit::Done } else { Exit::Failures })
}

#[cfg(test)]
mod tests {
    use super::super::testing::{check, json, run};
    use crate::Exit;
    use quash_delivery::record::{Reason, Record};
    use quash_worker::dead_letter::testing::{Broker, message, record};

    fn broker(replays: &[u32]) -> Broker {
        let letter = |replays: &u32| Record { replays: *replays, ..record(Reason::TargetError) };
        Broker::with(replays.iter().map(|replays| message(&letter(replays), "{}")))
    }

    #[tokio::test]
    async fn letters_are_replayed_and_those_in_circles_are_not() {
        let broker = broker(&[0, 3, 2]);
        let expect = "replayed 2 dead letters of events\n\
                      skipped 1 letter that came back after 3 replays; --force sends them again: 2\n";
        check(&broker, "replay --all", Exit::Failures, expect).await;
        assert_eq!((broker.ids(), broker.published().concat().len()), (vec![2], 2));
        check(&broker, "replay --all --force --rate 1000/s", Exit::Done, "replayed 1 dead letter of events\n").await;
        assert_eq!(broker.ids(), [0u64; 0]);
        check(&broker, "replay --all", Exit::Done, "replayed 0 dead letters of events\n").await;
    }

    #[tokio::test]
    async fn a_replay_needs_to_be_told_what() {
        let broker = broker(&[0, 0]);
        let (ended, out, err) = run(&broker, "replay", None).await;
        let error = ended.unwrap_err();
        assert_eq!((error.code(), out.as_str(), err.as_str()), (2, "", ""));
        assert!(error.to_string().contains("or --all"), "{error}");
        assert_eq!((broker.ids().len(), broker.published().len()), (2, 0));
        check(&broker, "replay --limit 1", Exit::Done, "replayed 1 dead letter of events\n").await;
        check(&broker, "replay --all", Exit::Done, "replayed 1 dead letter of events\n").await;
    }

    #[tokio::test]
    async fn a_name_that_is_not_there_is_a_failure() {
        let broker = broker(&[0, 0]);
        let (ended, out, err) = run(&broker, "replay 2 7", None).await;
        assert_eq!((ended.unwrap(), out.as_str()), (Exit::Failures, "replayed 1 dead letter of events\n"));
        assert_eq!((err.as_str(), broker.ids()), ("there is no dead letter 7 in events\n", vec![1]));
    }

    #[tokio::test]
    async fn a_dry_run_shows_and_does_nothing() {
        let broker = broker(&[0, 0]);
        for (command, last) in [
            ("replay --dry-run", "would replay 2 dead letters of events; nothing was done"),
            ("discard 1 --dry-run", "would discard 1 dead letter of events; nothing was done"),
            ("purge --dry-run", "would discard 2 dead letters of events; nothing was done"),
        ] {
            let (ended, out, _) = run(&broker, command, None).await;
            assert_eq!((ended.unwrap(), out.lines().last()), (Exit::Done, Some(last)), "{out}");
        }
        assert_eq!((broker.ids(), broker.published().len()), (vec![1, 2], 0));
    }

    #[tokio::test]
    async fn what_a_broken_replay_did_is_said_before_the_error() {
        let broker = broker(&[0; 300]).fail_after(1);
        let (ended, out, _) = run(&broker, "replay --all", None).await;
        assert_eq!(ended.unwrap_err().code(), 69);
        let expect = "replayed 128 dead letters of events; 44 were not tried; \
                      128 may be both sent and still here; sending them again is harmless\n";
        assert_eq!(out, expect);
    }

    #[tokio::test]
    async fn discarding_needs_to_be_told_what() {
        let broker = broker(&[0, 0, 5]);
        check(&broker, "discard --filter replays:>4", Exit::Done, "discarded 1 dead letter of events\n").await;
        check(&broker, "discard 2", Exit::Done, "discarded 1 dead letter of events\n").await;
        let (ended, ..) = run(&broker, "discard --filter ~", None).await;
        assert_eq!(ended.unwrap_err().code(), 2);
        assert_eq!(broker.ids(), [1]);
    }

    #[tokio::test]
    async fn a_purge_needs_somebody_who_says_yes() {
        let purged = Some("discarded 2 dead letters of events\n");
        let cases = [
            ("purge", None, None, ""),
            ("purge --yes", None, purged, ""),
            ("purge", Some("y\n"), purged, "Remove 2 dead letters of events for good? [y/N] "),
            ("purge", Some("\n"), None, "Remove 2 dead letters of events for good? [y/N] "),
            ("purge", Some(""), None, "Remove 2 dead letters of events for good? [y/N] "),
        ];
        for (command, answer, expect, question) in cases {
            let broker = broker(&[0, 0]);
            let (ended, out, err) = run(&broker, command, answer).await;
            assert_eq!(err, question, "{command} {answer:?}");
            match expect {
                Some(expect) => assert_eq!((ended.unwrap(), out.as_str(), broker.ids().len()), (Exit::Done, expect, 0)),
                None => assert_eq!((ended.unwrap_err().code(), broker.ids().len()), (77, 2), "{command} {answer:?}"),
            }
        }
    }

    #[tokio::test]
    async fn a_purge_without_a_terminal_says_what_it_needs() {
        let (ended, ..) = run(&broker(&[0]), "purge", None).await;
        let expect = "purging removes 1 dead letter of events for good, and nobody can be asked: add --yes";
        assert_eq!(ended.unwrap_err().to_string(), expect);
        check(&Broker::default(), "purge", Exit::Done, "discarded 0 dead letters of events\n").await;
    }

    #[tokio::test]
    async fn programs_are_told_the_same() {
        let report = json(&broker(&[0, 3]), "replay --all").await;
        assert_eq!((&report["replayed"], &report["skipped"][0], &report["left"]), (&1.into(), &"2".into(), &0.into()));
        let report = json(&broker(&[0, 3]), "discard 1 --dry-run").await;
        assert_eq!(
            (&report["matched"], &report["discarded"], &report["dry_run"]),
            (&1.into(), &0.into(), &true.into())
        );
    }
}
