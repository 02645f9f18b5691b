//! Looks up environment variables, so that tests can bring their own.

use std::io;

use super::read::{WAIT_MAX, bounded};

/// The longest file that a `VAR_FILE` may name: secrets are short, and a device file has no end.
const FILE_BYTES_MAX: usize = 64 * 1024;

/// Where `${VAR}` is looked up.
pub trait Environment {
    /// The value of a variable, `None` when it is not set.
    fn get(&self, name: &str) -> Option<String>;

    /// The content of a file that a variable names.
    ///
    /// # Errors
    /// When it cannot be read, is no text, is longer than 64 KiB, or is a pipe that does not end within five seconds.
    fn read(&self, file: &str) -> io::Result<String> {
        let content = bounded(file.as_ref(), FILE_BYTES_MAX, WAIT_MAX)?;
        if content.len() > FILE_BYTES_MAX {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        String::from_utf8(content).map_err(|_| io::ErrorKind::InvalidData.into())
    }
}

/// The environment of this process.
pub struct ProcessEnvironment;

impl Environment for ProcessEnvironment {
    fn get(&self, name: &str) -> Option<String> {
        std::env::var(name).ok()
    }
}
