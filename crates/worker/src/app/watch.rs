//! Notices when configuration should be read again: on `SIGHUP`, and when files change.

use std::collections::BTreeMap;
use std::fs::{Metadata, read_dir};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{Interval, MissedTickBehavior, interval};

/// How often files are looked at. Polling sees every kind of change, also the swapped links of a Kubernetes volume.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Tells when configuration should be read again.
pub struct Reloads {
    hangup: Signal,
    files: Option<(Files, Interval)>,
}

impl Reloads {
    /// Listens for `SIGHUP`, and watches these files and directories if any are given.
    ///
    /// # Errors
    /// When the system does not hand over the signal.
    pub fn listen(watched: Option<&[PathBuf]>) -> io::Result<Self> {
        let files = watched.map(|paths| {
            let mut looks = interval(LOOK_EVERY);
            looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            (Files::new(paths), looks)
        });
        Ok(Self { hangup: signal(SignalKind::hangup())?, files })
    }

    /// Waits for the next reason to read configuration again. May be dropped while waiting.
    pub async fn next(&mut self) {
        tokio::select! {
            _ = self.hangup.recv() => {}
            () = changed(self.files.as_mut()) => {}
        }
    }
}

async fn changed(files: Option<&mut (Files, Interval)>) {
    let Some((files, looks)) = files else { return std::future::pending().await };
    loop {
        looks.tick().await;
        if files.changed() {
            return;
        }
    }
}

/// Files and directories, and how they looked last.
pub struct Files {
    paths: Vec<PathBuf>,
    seen: BTreeMap<PathBuf, Look>,
}

/// What differs when a file was written. Its length is part of it because two writes may fall into one tick of the clock.
type Look = (Option<SystemTime>, u64);

impl Files {
    /// Looks at them for the first time.
    #[must_use]
    pub fn new(paths: &[PathBuf]) -> Self {
        Self { paths: paths.to_vec(), seen: look(paths) }
    }

    /// Whether anything looks different from the last time.
    pub fn changed(&mut self) -> bool {
        let now = look(&self.paths);
        let changed = now != self.seen;
        self.seen = now;
        changed
    }
}

fn look(paths: &[PathBuf]) -> BTreeMap<PathBuf, Look> {
    let files = paths.iter().flat_map(|path| members(path).unwrap_or_else(|| vec![path.clone()]));
    files.filter_map(|file| std::fs::metadata(&file).ok().map(|metadata| (file, seen(&metadata)))).collect()
}

fn seen(metadata: &Metadata) -> Look {
    (metadata.modified().ok(), metadata.len())
}

/// The configuration files of a directory; `None` when it is none.
fn members(directory: &Path) -> Option<Vec<PathBuf>> {
    let files = read_dir(directory).ok()?.filter_map(|entry| Some(entry.ok()?.path()));
    let is_yaml = |file: &PathBuf| file.extension().is_some_and(|extension| extension == "yaml" || extension == "yml");
    Some(files.filter(is_yaml).collect())
}

#[cfg(test)]
mod tests {
    use std::fs::{remove_file, write};

    use super::*;

    #[test]
    fn writing_adding_and_removing_files_is_noticed_once() {
        let home = tempfile::tempdir().unwrap();
        let file = home.path().join("quash.yaml");
        write(&file, "version: 1\n").unwrap();
        let mut files = Files::new(&[home.path().to_owned(), file.clone()]);
        assert!(!files.changed());
        write(&file, "version: 1 # longer\n").unwrap();
        assert!(files.changed() && !files.changed());
        write(home.path().join("notes.txt"), "x").unwrap();
        assert!(!files.changed());
        write(home.path().join("more.yml"), "x").unwrap();
        assert!(files.changed() && !files.changed());
        remove_file(&file).unwrap();
        assert!(files.changed() && !files.changed());
    }
}
