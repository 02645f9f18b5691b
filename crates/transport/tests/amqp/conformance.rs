//! Runs the suite of all transports, each promise on queues of its own.

use std::sync::Arc;

use async_trait::async_trait;
use quash_transport::Transport;
use quash_transport::conformance::Harness;

use super::node::Place;

#[async_trait]
impl Harness for Place {
    fn transport(&self) -> Arc<dyn Transport> {
        Place::transport(self)
    }

    async fn restart(&self) -> bool {
        Place::restart(self).await
    }
}

quash_transport::transport_conformance!(tokio::test, Place::shared(), Place::own());
