//! Runs the suite of all transports, each promise on a server of its own.

use std::sync::Arc;

use async_trait::async_trait;
use quash_transport::Transport;
use quash_transport::conformance::Harness;

use super::server::Server;

#[async_trait]
impl Harness for Server {
    fn transport(&self) -> Arc<dyn Transport> {
        Server::transport(self)
    }

    async fn restart(&self) -> bool {
        Server::restart(self).await;
        true
    }
}

quash_transport::transport_conformance!(tokio::test, Server::start());
