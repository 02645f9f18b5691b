//! Runs the suite of all transports, each promise on queues of its own.

use std::sync::Arc;

use async_trait::async_trait;
use quash_transport::Transport;
use quash_transport::conformance::Harness;

use super::node::Fixture;

#[async_trait]
impl Harness for Fixture {
    fn transport(&self) -> Arc<dyn Transport> {
        Fixture::transport(self)
    }

    async fn restart(&self) -> bool {
        Fixture::restart(self).await
    }
}

quash_transport::transport_conformance!(tokio::test, Fixture::shared(), Fixture::own());
