//! Reads files within bounds: of their length, and of time where they are pipes or devices.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use super::Span;

/// How long a pipe or a device may take: as long as a program that decrypts what it writes needs.
pub(super) const WAIT_MAX: Duration = Duration::from_secs(5);

/// What stands in a file, at most so many bytes of it and one more. A pipe or a device may never come to its end, or not
/// even be opened.
pub(super) fn bounded(path: &Path, bytes_max: usize, wait_max: Duration) -> io::Result<Vec<u8>> {
    let content = move |path: PathBuf| {
        let mut content = Vec::new();
        File::open(path)?.take(bytes_max as u64 + 1).read_to_end(&mut content).map(|_| content)
    };
    let path = path.to_owned();
    if path.is_file() {
        return content(path);
    }
    // The thread is left behind when it takes too long.
    let (sender, receiver) = mpsc::channel();
    thread::Builder::new().spawn(move || sender.send(content(path)))?;
    receiver.recv_timeout(wait_max).unwrap_or_else(|_| {
        let words = format!("this is no file, and what comes from it has not ended within {}", Span(wait_max));
        Err(io::Error::new(io::ErrorKind::TimedOut, words))
    })
}
