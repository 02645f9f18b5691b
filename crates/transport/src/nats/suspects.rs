//! Moves deliveries that were handed out too often to a place where each is received alone.

use std::sync::Arc;

use tokio::sync::mpsc;

use super::consume::Consuming;
use super::fetch::stopped;
use super::settle::Plan;
use crate::backoff::Pace;
use crate::{Delivery, TransportError};

/// Moves what comes, until the consumer ends; what was not moved then goes back with the rest.
pub(super) async fn move_aside(consuming: Arc<Consuming>, mut suspected: mpsc::UnboundedReceiver<Delivery>) {
    let mut stop = consuming.stop.subscribe();
    loop {
        let suspect = tokio::select! {
            Some(suspect) = suspected.recv() => suspect,
            () = stopped(&mut stop) => return,
        };
        let mut pace = Pace::of_reconnects();
        while let Err(error) = move_one(&consuming, &suspect).await {
            tracing::debug!(broker_id = %suspect.broker_id, %error, "cannot move a suspect aside");
            tokio::select! {
                () = pace.failed() => {}
                () = stopped(&mut stop) => return,
            }
        }
    }
}

/// Moves one, if it is still held. One that is too large to be moved is received alone from where it is.
async fn move_one(consuming: &Consuming, suspect: &Delivery) -> Result<(), TransportError> {
    let max = consuming.shared.link.payload_max().await?;
    match Plan::aside(consuming, suspect.tag, suspect.deliveries.saturating_sub(1), max) {
        Some(plan) => plan.carry_out(consuming).await,
        None => {
            consuming.buffer.add_alone([suspect.clone()]);
            Ok(())
        }
    }
}
