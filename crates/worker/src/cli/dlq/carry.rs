//! `quash dlq export` and `import`: letters as lines of JSON, out of a broker and into one.

use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use quash_dispatch::transport::{LetterId, Message};
use serde::Serialize;

use super::{Chosen, Desk};
use crate::cli::output::{count, thousands, write_json};
use crate::cli::progress::Progress;
use crate::cli::{CliError, Exit};
use crate::dead_letter::Letter;
use crate::dead_letter::archive::{Archived, read_line};
use crate::dead_letter::replay::replacement;
use crate::dead_letter::select::{PAGE, Selection, select};

#[derive(Debug, clap::Args)]
pub(super) struct ExportArgs {
    /// The letters' ids; all when left out
    #[arg(value_name = "ID")]
    ids: Vec<String>,
    #[command(flatten)]
    chosen: Chosen,
    /// Where to write; standard output when left out
    #[arg(long, short, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Remove each letter once it is in the file, and that on the disk
    #[arg(long, requires = "file")]
    discard: bool,
}

#[derive(Debug, clap::Args)]
pub(super) struct ImportArgs {
    /// Where to read; standard input when left out
    #[arg(long, short, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Send them to the source at once, instead of appending them to its dead letters
    #[arg(long)]
    replay: bool,
    /// Read and check all lines, and import none
    #[arg(long)]
    dry_run: bool,
}

/// How far an import came.
#[derive(Debug, Default, Serialize)]
struct Imported {
    imported: u64,
    wrong: u64,
}

impl Desk<'_> {
    pub(super) async fn export(&mut self, args: ExportArgs) -> Result<Exit, CliError> {
        let selection = match args.file.as_deref().filter(|file| *file != Path::new("-")) {
            None if args.discard => {
                return Err(CliError::Usage(
                    "--discard needs a file: of what reads standard output, nobody knows whether it keeps it"
                        .to_owned(),
                ));
            }
            None => self.export_to(None, &args).await?,
            Some(path) => {
                let wrong = |error| CliError::file("write", path.display(), &error);
                let mut file = BufWriter::new(File::create(path).map_err(wrong)?);
                let selection = self.export_to(Some(&mut file), &args).await?;
                file.into_inner()
                    .map_err(io::IntoInnerError::into_error)
                    .and_then(|file| file.sync_all())
                    .map_err(wrong)?;
                selection
            }
        };
        self.note_missing(&selection.missing);
        let exported = count(selection.chosen.len() as u64, "dead letter", "dead letters");
        let mut said = format!("exported {exported} of {}", self.source);
        if args.discard {
            let discarded = self.discard_exported(&selection.chosen).await?;
            said = format!("{said}, and discarded {}", thousands(discarded));
        }
        self.note(&said);
        Ok(if selection.missing.is_empty() { Exit::Done } else { Exit::Failures })
    }

    /// Removes these letters and no others, whatever came meanwhile.
    async fn discard_exported(&self, exported: &[LetterId]) -> Result<u64, CliError> {
        let mut progress = Progress::new("discarding", Some(exported.len() as u64));
        let mut discarded = 0;
        for page in exported.chunks(PAGE) {
            discarded += self.letters().remove(page).await?;
            progress.update(discarded);
        }
        progress.finish();
        Ok(discarded)
    }

    async fn export_to(
        &mut self,
        file: Option<&mut (dyn Write + Send)>,
        args: &ExportArgs,
    ) -> Result<Selection, CliError> {
        let choice = args.chosen.choice(&args.ids)?;
        let letters = self.transport.dead_letters();
        let mut progress = Progress::new("exporting", Some(letters.len().await?));
        let out: &mut (dyn Write + Send) = match file {
            Some(file) => file,
            None => self.out,
        };
        let mut written = Ok(());
        let mut found = |letter: Letter| {
            written = write_line(out, &letter);
            if written.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        };
        let selected = select(letters, &choice, self.now_ms, &mut found, &mut |done| progress.update(done)).await;
        progress.finish();
        written?;
        Ok(selected?)
    }

    pub(super) async fn import(&mut self, args: ImportArgs) -> Result<Exit, CliError> {
        let name = args.file.as_deref().filter(|file| *file != Path::new("-"));
        let shown = name.map_or_else(|| "standard input".to_owned(), |file| file.display().to_string());
        let wrong = |error| CliError::file("read", &shown, &error);
        let mut input: Box<dyn BufRead> = match name {
            Some(file) => Box::new(BufReader::new(File::open(file).map_err(wrong)?)),
            None => Box::new(io::stdin().lock()),
        };
        let mut imported = Imported::default();
        let ended = self.import_lines(&mut *input, &shown, &args, &mut imported).await;
        let reported = self.report_import(&imported, &args);
        ended?;
        reported?;
        Ok(if imported.wrong == 0 { Exit::Done } else { Exit::Failures })
    }

    async fn import_lines(
        &mut self,
        input: &mut dyn BufRead,
        shown: &str,
        args: &ImportArgs,
        imported: &mut Imported,
    ) -> Result<(), CliError> {
        if !args.dry_run {
            self.transport.prepare().await?;
        }
        let mut progress = Progress::new("importing", None);
        let mut batch = Vec::with_capacity(PAGE);
        let (mut number, mut line) = (0u64, Vec::new());
        loop {
            line.clear();
            let read = input.read_until(b'\n', &mut line).map_err(|error| CliError::file("read", shown, &error))?;
            number += 1;
            match parse_line(&line) {
                Some(Ok(message)) => batch.push(message),
                Some(Err(error)) => {
                    imported.wrong += 1;
                    self.note(&format!("{shown}:{number}: no dead letter: {error}"));
                }
                None => {}
            }
            if batch.len() >= PAGE || read == 0 {
                self.import_batch(&mut batch, args, imported).await?;
                progress.update(imported.imported);
            }
            if read == 0 {
                progress.finish();
                return Ok(());
            }
        }
    }

    async fn import_batch(
        &self,
        batch: &mut Vec<Message>,
        args: &ImportArgs,
        imported: &mut Imported,
    ) -> Result<(), CliError> {
        let batch = std::mem::take(batch);
        let letters = batch.len() as u64;
        match (args.dry_run, args.replay) {
            _ if batch.is_empty() => {}
            (true, _) => {}
            (false, false) => self.letters().append(&batch).await?,
            (false, true) => {
                let read = |message| replacement(&Letter::read(LetterId(String::new()), message));
                self.transport.publish(&batch.into_iter().map(read).collect::<Vec<_>>()).await?;
            }
        }
        imported.imported += letters;
        Ok(())
    }

    fn report_import(&mut self, imported: &Imported, args: &ImportArgs) -> Result<(), CliError> {
        let letters = count(imported.imported, "letter", "letters");
        let source = &self.source;
        if self.is_json() {
            let report = serde_json::json!({
                "source": source, "dry_run": args.dry_run, "replay": args.replay,
                "imported": imported.imported, "wrong": imported.wrong,
            });
            return write_json(self.out, &report);
        }
        let mut said = match (args.dry_run, args.replay) {
            (true, _) => format!("would import {letters}; nothing was done"),
            (false, false) => format!("appended {letters} to the dead letters of {source}"),
            (false, true) => format!("sent {letters} to {source}"),
        };
        if imported.wrong > 0 {
            said = format!(
                "{said}; {} wrong",
                thousands(imported.wrong) + if imported.wrong == 1 { " line was" } else { " lines were" }
            );
        }
        self.say(&said)
    }
}

fn write_line(out: &mut (dyn Write + Send), letter: &Letter) -> io::Result<()> {
    serde_json::to_writer(&mut *out, &Archived::of(letter))?;
    writeln!(out)
}

/// The message of a line, `None` where it is empty.
fn parse_line(line: &[u8]) -> Option<Result<Message, String>> {
    let line = line.trim_ascii();
    (!line.is_empty()).then(|| read_line(std::str::from_utf8(line).map_err(|error| error.to_string())?))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::testing::{check, json, run};
    use crate::cli::Exit;
    use crate::dead_letter::testing::{Broker, message, record};
    use quash_dispatch::headers;
    use quash_dispatch::record::Reason;

    fn letters(count: usize) -> Broker {
        Broker::with((0..count).map(|place| message(&record(Reason::ALL[place % 6]), &format!("{{\"n\": {place}}}"))))
    }

    #[tokio::test]
    async fn an_export_can_be_imported_again() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("letters.ndjson");
        let (from, to) = (letters(300), Broker::default());
        let (ended, out, err) = run(&from, &format!("export --file {}", file.display()), None).await;
        assert_eq!((ended.unwrap(), out.as_str()), (Exit::Done, ""));
        assert_eq!((err.as_str(), from.ids().len()), ("exported 300 dead letters of events\n", 300));

        let expect = "appended 300 letters to the dead letters of events\n";
        check(&to, &format!("import --file {}", file.display()), Exit::Done, expect).await;
        assert_eq!(to.letters(), from.letters());
    }

    #[tokio::test]
    async fn what_is_discarded_is_what_was_exported() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("letters.ndjson");
        let broker = letters(300);
        let export = format!("export --discard --filter reason:decode --file {}", file.display());
        let (ended, _, err) = run(&broker, &export, None).await;
        assert_eq!(
            (ended.unwrap(), err.as_str()),
            (Exit::Done, "exported 50 dead letters of events, and discarded 50\n")
        );
        assert_eq!((broker.ids().len(), fs::read_to_string(&file).unwrap().lines().count()), (250, 50));
        let (ended, ..) = run(&broker, "export --discard --file -", None).await;
        assert_eq!((ended.unwrap_err().code(), broker.ids().len()), (2, 250));
        let nowhere = "export --discard --file /nowhere/x";
        assert_eq!((run(&broker, nowhere, None).await.0.unwrap_err().code(), broker.ids().len()), (74, 250));
    }

    #[tokio::test]
    async fn an_import_can_go_straight_to_the_source() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("letters.ndjson");
        let (_, out, _) = run(&letters(2), "export", None).await;
        fs::write(&file, &out).unwrap();
        assert_eq!(out.lines().count(), 2);

        let to = Broker::default();
        check(&to, &format!("import --replay --file {}", file.display()), Exit::Done, "sent 2 letters to events\n")
            .await;
        let sent = to.published().concat();
        assert_eq!((to.ids().len(), sent.len(), &sent[1].payload[..]), (0, 2, &b"{\"n\": 1}"[..]));
        assert_eq!((sent[0].headers.get(headers::REPLAYS), sent[0].headers.get(headers::RECORD)), (Some("1"), None));
    }

    #[tokio::test]
    async fn lines_that_are_no_letters_are_named_and_the_others_imported() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("letters.ndjson");
        fs::write(&file, b"\n{\"payload\":\"a\"}\nno\n\xff\n  \n{\"payload\":\"b\"}").unwrap();
        let to = Broker::default();
        for (option, expect) in [
            (" --dry-run", "would import 2 letters; nothing was done; 2 lines were wrong\n"),
            ("", "appended 2 letters to the dead letters of events; 2 lines were wrong\n"),
        ] {
            let (ended, out, err) = run(&to, &format!("import{option} --file {}", file.display()), None).await;
            assert_eq!((ended.unwrap(), out.as_str()), (Exit::Failures, expect));
            let places: Vec<&str> =
                err.lines().map(|line| line.rsplit('/').next().unwrap().split(": ").next().unwrap()).collect();
            assert_eq!(places, ["letters.ndjson:3", "letters.ndjson:4"], "{err}");
        }
        assert_eq!(to.ids().len(), 2);
    }

    #[tokio::test]
    async fn a_file_that_is_not_there_is_named() {
        let (ended, ..) = run(&letters(1), "import --file /nowhere/x", None).await;
        let error = ended.unwrap_err();
        assert_eq!(error.code(), 74);
        assert!(error.to_string().starts_with("cannot read /nowhere/x: "), "{error}");
    }

    #[tokio::test]
    async fn programs_are_told_how_much_was_imported() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("letters.ndjson");
        fs::write(&file, "{\"payload\":\"a\"}").unwrap();
        let report = json(&Broker::default(), &format!("import --file {}", file.display())).await;
        assert_eq!((&report["imported"], &report["wrong"]), (&1.into(), &0.into()));
    }
}
