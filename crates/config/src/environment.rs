//! Looks up environment variables, so that tests can bring their own.

use std::io::{self, Read};

/// The longest file that a `VAR_FILE` may name: secrets are short, and a device file has no end.
const FILE_BYTES_MAX: u64 = 64 * 1024;

/// Where `${VAR}` is looked up.
pub trait Environment {
    /// The value of a variable, `None` when it is not set.
    fn get(&self, name: &str) -> Option<String>;

    /// The content of a file that a variable names.
    ///
    /// # Errors
    /// When it cannot be read, is no text, or is longer than 64 KiB.
    fn read(&self, file: &str) -> io::Result<String> {
        let mut content = String::new();
        std::fs::File::open(file)?.take(FILE_BYTES_MAX + 1).read_to_string(&mut content)?;
        if content.len() as u64 > FILE_BYTES_MAX {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        Ok(content)
    }
}

/// The environment of this process.
pub struct ProcessEnvironment;

impl Environment for ProcessEnvironment {
    fn get(&self, name: &str) -> Option<String> {
        std::env::var(name).ok()
    }
}
