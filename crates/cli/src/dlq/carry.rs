//! `quash dlq export` and `import`: letters as lines of JSON, out of a broker and into one.

use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::ops::ControlFlow;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use quash_transport::{LetterId, Message};
use serde::Serialize;

use super::{Chosen, Desk, stopped_by_ctrl_c};
use crate::output::{count, escape_json, thousands, write_json};
use crate::progress::Progress;
use crate::{CliError, Exit};
use quash_worker::dead_letter::Letter;
use quash_worker::dead_letter::archive::{Archived, read_line};
use quash_worker::dead_letter::replay::replacement;
use quash_worker::dead_letter::select::{PAGE, Selection, select};

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
    /// Remove the exported letters, once they are in the file and the file is on the disk; it must be a new one
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
                    "only what is in a file can be discarded: name one with --file".to_owned(),
                ));
            }
            None => self.export_to(None, &args).await?,
            Some(path) => {
                let mut file = BufWriter::new(create(path, args.discard)?);
                let selection = self.export_to(Some(&mut file), &args).await?;
                let file = file.into_inner().map_err(io::IntoInnerError::into_error);
                let kept = file.and_then(|file| keep(&file, path, args.discard));
                kept.map_err(|error| CliError::file("write", path.display(), &error))?;
                selection
            }
        };
        self.note_missing(&selection.missing);
        let exported = count(selection.chosen.len() as u64, "dead letter", "dead letters");
        self.note(&format!("exported {exported} of {}", self.source));
        if args.discard {
            return self.remove(selection, false, stopped_by_ctrl_c()).await;
        }
        Ok(if selection.missing.is_empty() { Exit::Done } else { Exit::Failures })
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

/// Opens the file of an export for its owner alone: letters hold what the applications' events hold. When letters are to go, it
/// must be a new one: a second run must not write over the only copy of what the first one removed.
fn create(path: &Path, new: bool) -> Result<File, CliError> {
    let mut options = File::options();
    options.write(true).mode(0o600);
    let options = if new { options.create_new(true) } else { options.create(true).truncate(true) };
    options.open(path).map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => CliError::Refused(format!(
            "{} is there already: what is discarded goes to a new file, so that none is overwritten",
            path.display()
        )),
        _ => CliError::file("write", path.display(), &error),
    })
}

/// Returns when the file is on the disk, and its name too where nothing else will hold the letters.
fn keep(file: &File, path: &Path, with_its_name: bool) -> io::Result<()> {
    file.sync_all()?;
    if !with_its_name {
        return Ok(());
    }
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(dir)?.sync_all()
}

fn write_line(out: &mut (dyn Write + Send), letter: &Letter) -> io::Result<()> {
    writeln!(out, "{}", escape_json(&serde_json::to_string(&Archived::of(letter))?))
}

/// The message of a line, `None` where it is empty.
fn parse_line(line: &[u8]) -> Option<Result<Message, String>> {
    let line = line.trim_ascii();
    (!line.is_empty()).then(|| read_line(std::str::from_utf8(line).map_err(|error| error.to_string())?))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::super::testing::{check, json, run};
    use crate::Exit;
    use quash_delivery::headers;
    use quash_delivery::record::Reason;
    use quash_worker::dead_letter::testing::{Broker, message, record};

    fn letters(count: usize) -> Broker {
        Broker::with((0..count).map(|index| message(&record(Reason::ALL[index % 6]), &format!("{{\"n\": {index}}}"))))
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
    async fn a_letter_leaves_only_once_it_is_in_a_new_file() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("letters.ndjson");
        let command = format!("export --discard --filter reason:decode --file {}", file.display());
        let broker = letters(12);
        let (ended, out, err) = run(&broker, &command, None).await;
        assert_eq!((ended.unwrap(), out.as_str()), (Exit::Done, "discarded 2 dead letters of events\n"));
        assert_eq!((err.as_str(), broker.ids().len()), ("exported 2 dead letters of events\n", 10));
        let exported = fs::read_to_string(&file).unwrap();
        assert_eq!(exported.lines().count(), 2);
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);

        let (ended, ..) = run(&broker, &command.replace("decode", "limit"), None).await;
        assert_eq!((ended.unwrap_err().code(), broker.ids().len()), (77, 10));
        assert_eq!(fs::read_to_string(&file).unwrap(), exported, "the only copy of what is gone");
        let (ended, ..) = run(&broker, "export --discard --file -", None).await;
        assert_eq!((ended.unwrap_err().code(), broker.ids().len()), (2, 10));
    }

    #[tokio::test]
    async fn nothing_leaves_when_the_export_broke() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("nowhere").join("letters.ndjson");
        for file in [file.as_path(), std::path::Path::new("/dev/full")] {
            let broker = letters(3);
            let (ended, ..) = run(&broker, &format!("export --discard --file {}", file.display()), None).await;
            assert!([74, 77].contains(&ended.unwrap_err().code()), "{}", file.display());
            assert_eq!(broker.ids().len(), 3);
        }
    }

    #[tokio::test]
    async fn an_export_shows_nothing_that_a_terminal_obeys_and_keeps_it() {
        let payload = "{\"a\":\"\u{9b}31m\u{202e}\"}";
        let broker = Broker::with([message(&record(Reason::Decode), payload)]);
        let (_, out, _) = run(&broker, "export", None).await;
        assert!(!out.contains(['\u{9b}', '\u{202e}']), "{out}");
        assert_eq!(super::read_line(out.trim()).unwrap().payload, payload);
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
            let indices: Vec<&str> =
                err.lines().map(|line| line.rsplit('/').next().unwrap().split(": ").next().unwrap()).collect();
            assert_eq!(indices, ["letters.ndjson:3", "letters.ndjson:4"], "{err}");
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
