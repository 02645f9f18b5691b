//! Promises that the way to the broker can be encrypted, with certificates on both sides.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use quash_config::Secret;
use quash_e2e::process::free_port;
use quash_e2e::{RabbitMq, eventually};
use quash_transport::TransportError;
use quash_transport::amqp::Config;
use quash_transport::tls::Tls;
use tempfile::TempDir;

use super::node::{ack, consume, message, receive_many};

struct Certificates(TempDir);

impl Certificates {
    /// An authority, and what it has signed for the server and the client.
    fn make() -> Self {
        let certificates = Self(TempDir::new().unwrap());
        certificates.openssl("req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.crt -subj /CN=ca");
        std::fs::write(certificates.path("names"), "subjectAltName=IP:127.0.0.1\nbasicConstraints=CA:FALSE\n").unwrap();
        for name in ["server", "client"] {
            certificates
                .openssl(&format!("req -newkey rsa:2048 -nodes -keyout {name}.key -out {name}.csr -subj /CN={name}"));
            certificates.openssl(&format!(
                "x509 -req -in {name}.csr -CA ca.crt -CAkey ca.key -CAcreateserial -out {name}.crt -extfile names"
            ));
        }
        certificates
    }

    fn openssl(&self, arguments: &str) {
        let output = Command::new("openssl").args(arguments.split(' ')).current_dir(self.0.path()).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        Path::to_str(&self.path(name)).unwrap().to_owned()
    }
}

#[tokio::test]
async fn an_encrypted_broker_is_reached_with_certificates_and_not_without() {
    let certificates = Certificates::make();
    let port = free_port();
    let settings = format!(
        "listeners.ssl.1 = 127.0.0.1:{port}\nssl_options.cacertfile = {}\nssl_options.certfile = {}\n\
         ssl_options.keyfile = {}\nssl_options.verify = verify_peer\nssl_options.fail_if_no_peer_cert = true\n",
        certificates.text("ca.crt"),
        certificates.text("server.crt"),
        certificates.text("server.key"),
    );
    let _broker = RabbitMq::with(&settings).await;
    // It opens this port after the one that is waited for.
    let listens = async || tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_ok();
    eventually(Duration::from_secs(20), "the encrypted port is open", listens).await;
    let tls = Tls {
        ca_file: Some(certificates.path("ca.crt")),
        cert_file: Some(certificates.path("client.crt")),
        key_file: Some(certificates.path("client.key")),
    };
    let config = Config { tls, ..Config::at(Secret::new(format!("amqps://127.0.0.1:{port}"))) };
    let transport = config.build().unwrap();
    transport.prepare().await.unwrap();
    transport.publish(&[message("encrypted")]).await.unwrap();
    let mut consumer = consume(&*transport, "a", 1).await;
    let batch = receive_many(&mut consumer, 1).await;
    assert_eq!(batch[0].message.payload, "encrypted");
    ack(&consumer, &batch).await;
    let stranger = Config { tls: Tls { ca_file: config.tls.ca_file.clone(), ..Tls::default() }, ..config.clone() };
    let trusting = Config { tls: Tls::default(), ..config };
    for refused in [stranger, trusting] {
        let result = tokio::time::timeout(Duration::from_secs(10), refused.build().unwrap().prepare()).await.unwrap();
        assert!(matches!(result, Err(TransportError::Unreachable(_))), "{result:?}");
    }
}
