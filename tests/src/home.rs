//! Gives a server or a test a temporary folder, and keeps it when the test fails.

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

/// Lines of each log that a failing test prints.
const LOG_TAIL: usize = 30;

/// A temporary folder. It goes when it is dropped, unless the thread is panicking: then the ends of its logs are printed
/// and it stays.
pub struct Home {
    name: String,
    folder: Option<TempDir>,
}

impl Home {
    /// Makes a folder; the name appears in what a failing test prints.
    ///
    /// # Panics
    /// When the temporary folder cannot be written.
    #[must_use]
    pub fn new(name: &str) -> Self {
        let folder = tempfile::Builder::new().prefix(&format!("quash-{name}-")).tempdir().expect("a temporary folder");
        Self { name: name.to_owned(), folder: Some(folder) }
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.folder.as_ref().expect("the folder is there until drop").path()
    }

    /// Writes a file into it and returns its path.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn write(&self, file: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path().join(file);
        fs::write(&path, content).unwrap_or_else(|error| panic!("write {}: {error}", path.display()));
        path
    }

    fn logs(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.path()).into_iter().flatten().flatten().map(|entry| entry.path());
        let mut logs: Vec<_> = entries.filter(|path| path.extension().is_some_and(|end| end == "log")).collect();
        logs.sort();
        logs
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            return;
        }
        for log in self.logs() {
            eprintln!("--- {} {}\n{}", self.name, log.display(), tail(&log));
        }
        if let Some(folder) = self.folder.take() {
            eprintln!("--- {} kept in {}", self.name, folder.keep().display());
        }
    }
}

/// The last lines of a log, whatever bytes it holds.
fn tail(log: &Path) -> String {
    let text = String::from_utf8_lossy(&fs::read(log).unwrap_or_default()).into_owned();
    let lines: Vec<_> = text.lines().collect();
    lines[lines.len().saturating_sub(LOG_TAIL)..].join("\n")
}
