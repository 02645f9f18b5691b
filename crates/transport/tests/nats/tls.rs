//! Promises that the way to the server can be encrypted, with certificates on both sides.

use quash_e2e::Certificates;
use quash_transport::nats::Config;
use quash_transport::tls::Tls;
use quash_transport::{TransportError, Verdict};

use super::server::{Server, all, consume, message, receive_many};

#[tokio::test]
async fn an_encrypted_server_is_reached_with_certificates_and_not_without() {
    let certificates = Certificates::make();
    let [ca, cert, key] = ["ca.crt", "server.crt", "server.key"].map(|name| certificates.path(name));
    let server =
        Server::with(&format!("tls {{ ca_file: {ca:?}, cert_file: {cert:?}, key_file: {key:?}, verify: true }}\n"))
            .await;
    let tls = Tls {
        ca_file: Some(ca),
        cert_file: Some(certificates.path("client.crt")),
        key_file: Some(certificates.path("client.key")),
    };
    let config = Config { tls, ..server.config() };
    let transport = config.build().unwrap();
    transport.prepare().await.unwrap();
    transport.publish(&[message("encrypted")]).await.unwrap();
    let mut consumer = consume(&*transport, "a", 1).await;
    let batch = receive_many(&mut consumer, 1).await;
    assert_eq!(batch[0].message.payload, "encrypted");
    consumer.settler.settle(&all(&batch, &Verdict::Ack)).await.unwrap();
    let stranger = Config { tls: Tls { ca_file: config.tls.ca_file.clone(), ..Tls::default() }, ..config.clone() };
    let trusting = Config { tls: Tls::default(), ..config };
    for refused in [stranger, trusting] {
        let result = refused.build().unwrap().prepare().await;
        assert!(matches!(result, Err(TransportError::Unreachable(_) | TransportError::Refused(_))), "{result:?}");
    }
}
