//! Makes certificates for servers and clients, signed by an authority that nobody else knows.

use std::path::PathBuf;
use std::process::Command;

use tempfile::TempDir;

/// The files `ca.crt`, `server.crt`, `server.key`, `client.crt` and `client.key`, gone when this is dropped.
pub struct Certificates(TempDir);

impl Certificates {
    /// Makes an authority, and what it has signed for a server at 127.0.0.1 and for a client.
    ///
    /// # Panics
    /// When `openssl` is not installed.
    #[must_use]
    pub fn make() -> Self {
        let certificates = Self(TempDir::new().expect("a folder"));
        let authority = "req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.crt -subj /CN=ca";
        certificates.openssl(authority);
        let names = "subjectAltName=IP:127.0.0.1\nbasicConstraints=CA:FALSE\n";
        std::fs::write(certificates.path("names"), names).expect("a file");
        for name in ["server", "client"] {
            let request = format!("req -newkey rsa:2048 -nodes -keyout {name}.key -out {name}.csr -subj /CN={name}");
            certificates.openssl(&request);
            let signature = format!(
                "x509 -req -in {name}.csr -CA ca.crt -CAkey ca.key -CAcreateserial -out {name}.crt -extfile names"
            );
            certificates.openssl(&signature);
        }
        certificates
    }

    /// The path of one of the files.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn openssl(&self, arguments: &str) {
        let mut openssl = Command::new("openssl");
        let output =
            openssl.args(arguments.split(' ')).current_dir(self.0.path()).output().expect("openssl is installed");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}
