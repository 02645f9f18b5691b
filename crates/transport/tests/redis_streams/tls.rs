//! Promises that the way to the server can be encrypted, with certificates on both sides.

use std::time::Duration;

use quash_config::Secret;
use quash_e2e::Certificates;
use quash_e2e::process::free_port;
use quash_transport::TransportError;
use quash_transport::redis_streams::Config;
use quash_transport::tls::Tls;

use super::server::{Server, ack, consume, message, receive_many};

#[tokio::test]
async fn an_encrypted_server_is_reached_with_certificates_and_not_without() {
    let certificates = Certificates::make();
    let [ca, cert, key] =
        ["ca.crt", "server.crt", "server.key"].map(|name| certificates.path(name).display().to_string());
    let server = Server::start().await;
    let port = free_port();
    for (setting, value) in
        [("tls-ca-cert-file", &ca), ("tls-cert-file", &cert), ("tls-key-file", &key), ("tls-port", &port.to_string())]
    {
        server.ask::<String>(&["CONFIG", "SET", setting, value]).await;
    }
    let tls = Tls {
        ca_file: Some(certificates.path("ca.crt")),
        cert_file: Some(certificates.path("client.crt")),
        key_file: Some(certificates.path("client.key")),
    };
    let config = Config { tls, ..Config::at(Secret::new(format!("rediss://127.0.0.1:{port}/0"))) };
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
