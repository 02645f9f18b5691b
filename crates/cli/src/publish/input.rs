//! Reads the input line by line, so that waiting for a line can be given up without losing any of it.

use std::path::Path;

use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncRead, BufReader};
use tokio::net::unix::pipe;

use crate::CliError;

/// Bytes read at once.
const BUFFER: usize = 256 * 1024;

/// Bytes of a line that are held at most. What is longer than a worker reads becomes a dead letter with its reason, so it is
/// sent as far as brokers take it: RabbitMQ up to 128 MiB, NATS up to 64 MiB, both less by default.
const LINE_MAX: usize = 128 * 1024 * 1024;

/// A line of the input, without its end.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Line {
    /// Its place, from 1.
    pub(super) number: u64,
    /// Its bytes, cut one past the most that is read of a line.
    pub(super) bytes: Vec<u8>,
    /// How many bytes were cut off.
    pub(super) cut: usize,
}

/// The lines of an input.
pub(super) struct Lines {
    reader: Box<dyn AsyncBufRead + Unpin>,
    max_bytes: usize,
    whole: bool,
    number: u64,
    partial: Vec<u8>,
    cut: usize,
}

/// Opens a file, or standard input for `-`.
pub(super) async fn open(path: &Path, whole: bool) -> Result<Lines, CliError> {
    if path == Path::new("-") {
        return Ok(Lines::new(standard_input(), LINE_MAX, whole));
    }
    let file = tokio::fs::File::open(path).await;
    let file = file.map_err(|error| CliError::Io(format!("cannot read {}: {error}", path.display())))?;
    Ok(Lines::new(file, LINE_MAX, whole))
}

/// A pipe or terminal is opened once more, without blocking: a thread that is stuck in reading it would keep the process
/// from ending. Files have no such end, and reading them in a thread is all there is.
fn standard_input() -> Box<dyn AsyncRead + Unpin> {
    match pipe::OpenOptions::new().unchecked(true).open_receiver("/dev/stdin") {
        Ok(pipe) => Box::new(pipe),
        Err(_) => Box::new(tokio::io::stdin()),
    }
}

impl Lines {
    /// The lines of a reader; all of it is one line when it is to be taken as a whole.
    pub(super) fn new(reader: impl AsyncRead + Unpin + 'static, max_bytes: usize, whole: bool) -> Self {
        let reader = Box::new(BufReader::with_capacity(BUFFER, reader));
        Self { reader, max_bytes, whole, number: 0, partial: Vec::new(), cut: 0 }
    }

    /// The next line, `None` at the end. May be dropped while waiting: nothing that was read is lost by that.
    pub(super) async fn next(&mut self) -> std::io::Result<Option<Line>> {
        loop {
            let available = self.reader.fill_buf().await?;
            if available.is_empty() {
                let empty = self.partial.is_empty() && self.cut == 0;
                return Ok((!empty).then(|| self.line()));
            }
            let end = if self.whole { None } else { available.iter().position(|byte| *byte == b'\n') };
            let part = &available[..end.unwrap_or(available.len())];
            // One byte past the limit tells that it was exceeded.
            let kept = part.len().min((self.max_bytes + 1).saturating_sub(self.partial.len()));
            self.partial.extend_from_slice(&part[..kept]);
            self.cut += part.len() - kept;
            let consumed = part.len() + usize::from(end.is_some());
            self.reader.consume(consumed);
            if end.is_some() {
                return Ok(Some(self.line()));
            }
        }
    }

    fn line(&mut self) -> Line {
        self.number += 1;
        let mut bytes = std::mem::take(&mut self.partial);
        if bytes.last() == Some(&b'\r') {
            bytes.pop();
        }
        Line { number: self.number, bytes, cut: std::mem::take(&mut self.cut) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn read(input: &'static [u8], max_bytes: usize, whole: bool) -> Vec<(u64, Vec<u8>, usize)> {
        let mut lines = Lines::new(input, max_bytes, whole);
        let mut read = Vec::new();
        while let Some(line) = lines.next().await.expect("reading memory") {
            read.push((line.number, line.bytes, line.cut));
        }
        read
    }

    #[tokio::test]
    async fn lines_keep_their_numbers_and_lose_their_ends() {
        let lines = read(b"a\r\n\nb", 10, false).await;
        assert_eq!(lines, [(1, b"a".to_vec(), 0), (2, Vec::new(), 0), (3, b"b".to_vec(), 0)]);
        assert_eq!(read(b"a\nb\n", 10, true).await, [(1, b"a\nb\n".to_vec(), 0)]);
        assert_eq!(read(b"", 10, true).await, []);
    }

    #[tokio::test]
    async fn a_line_past_the_limit_is_cut_and_not_collected() {
        assert_eq!(read(b"0123456789\nok\n", 4, false).await, [(1, b"01234".to_vec(), 5), (2, b"ok".to_vec(), 0)]);
    }

    #[tokio::test]
    async fn giving_up_waiting_loses_nothing() {
        let (mut write, reader) = tokio::io::duplex(64);
        let mut lines = Lines::new(reader, 100, false);
        tokio::io::AsyncWriteExt::write_all(&mut write, b"first ha").await.expect("writing memory");
        tokio::select! {
            biased;
            line = lines.next() => panic!("no line yet: {line:?}"),
            () = tokio::task::yield_now() => {}
        }
        tokio::io::AsyncWriteExt::write_all(&mut write, b"lf\n").await.expect("writing memory");
        let line = lines.next().await.expect("reading memory").expect("a line");
        assert_eq!(line.bytes, b"first half");
    }
}
