//! Reaches a server over TLS, with certificates on both sides.

use std::path::Path;
use std::process::Command;

use quash_core::action::Action;
use quash_e2e::process::free_port;
use quash_store::{Store, StoreError};
use serde_json::json;

use crate::fixture::store;
use crate::server::Server;

/// Runs openssl in a folder.
fn openssl(folder: &Path, arguments: &str) {
    let output = Command::new("openssl").args(arguments.split(' ')).current_dir(folder).output();
    let output = output.unwrap_or_else(|error| panic!("openssl must be installed for this test: {error}"));
    assert!(output.status.success(), "{arguments}: {}", String::from_utf8_lossy(&output.stderr));
}

fn make_certificates(folder: &Path) {
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
    std::fs::write(folder.join("server.ext"), "subjectAltName=IP:127.0.0.1,DNS:localhost\n").unwrap();
    std::fs::write(folder.join("client.ext"), "extendedKeyUsage=clientAuth\n").unwrap();
    openssl(folder, &format!("req -x509 {key} -keyout ca.key -out ca.pem -days 2 -subj /CN=authority"));
    for name in ["server", "client"] {
        openssl(folder, &format!("req {key} -keyout {name}.key -out {name}.csr -subj /CN={name}"));
        openssl(
            folder,
            &format!(
                "x509 -req -in {name}.csr -CA ca.pem -CAkey ca.key -CAcreateserial -out {name}.pem -days 2 -extfile {name}.ext"
            ),
        );
    }
}

async fn delete(store: &dyn Store) -> Result<(), StoreError> {
    store.apply(&[Action::Delete("a".into())]).await.map(|applied| assert_eq!(applied.outcomes, [Ok(0)]))
}

#[tokio::test]
async fn certificates_are_checked_on_both_sides() {
    let folder = tempfile::tempdir().unwrap();
    make_certificates(folder.path());
    let file = |name: &str| folder.path().join(name).display().to_string();
    let port = free_port();
    let lines = [
        "port 0".to_owned(),
        format!("tls-port {port}"),
        format!("tls-ca-cert-file {}", file("ca.pem")),
        format!("tls-cert-file {}", file("server.pem")),
        format!("tls-key-file {}", file("server.key")),
        "tls-auth-clients yes".to_owned(),
    ];
    let _server = Server::start_at(port, &lines.each_ref().map(String::as_str)).await;
    let url = format!("rediss://127.0.0.1:{port}");
    let both = json!({"ca_file": file("ca.pem"), "cert_file": file("client.pem"), "key_file": file("client.key")});
    delete(store(json!({"url": &url, "tls": both})).as_ref()).await.unwrap();

    let cases = [
        (json!({"ca_file": file("ca.pem")}), ""),
        (json!({"cert_file": file("client.pem"), "key_file": file("client.key")}), "certificate"),
        (json!({"ca_file": file("none.pem")}), "cannot read"),
    ];
    for (tls, expected) in cases {
        match delete(store(json!({"url": &url, "tls": tls})).as_ref()).await {
            Err(StoreError::Unreachable(why)) => assert!(why.contains(expected), "{why}"),
            other => panic!("{tls}: {other:?}"),
        }
    }
}
