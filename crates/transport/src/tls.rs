//! Names the certificates of encrypted connections, as every transport configures them.

use std::path::{Path, PathBuf};

use quash_config::{ConfigPath, Problem};

/// Certificates, as PEM files.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct Tls {
    /// Who may vouch for the server, instead of those that the system trusts.
    pub ca_file: Option<PathBuf>,
    /// The client's certificate.
    pub cert_file: Option<PathBuf>,
    /// The client's key.
    pub key_file: Option<PathBuf>,
}

impl Tls {
    /// The files of the client's certificate and of its key.
    ///
    /// # Errors
    /// When there is one of them alone.
    pub(super) fn client(&self) -> Result<Option<(&Path, &Path)>, Problem> {
        match (&self.cert_file, &self.key_file) {
            (Some(cert), Some(key)) => Ok(Some((cert, key))),
            (None, None) => Ok(None),
            _ => Err(wrong("tls", "`cert_file` and `key_file` belong together")),
        }
    }
}

/// Reads one of the files, which stands under this key of `tls`.
///
/// # Errors
/// When it cannot be read.
#[cfg(any(feature = "amqp", feature = "redis_streams"))]
pub(super) fn read(key: &str, path: &Path) -> Result<Vec<u8>, Problem> {
    std::fs::read(path).map_err(|error| {
        Problem::error(ConfigPath::root().key("tls").key(key), format!("cannot read {}: {error}", path.display()))
    })
}

/// What is wrong with the value of a key of a transport.
pub(super) fn wrong(key: &str, message: impl Into<String>) -> Problem {
    Problem::error(ConfigPath::root().key(key), message)
}
