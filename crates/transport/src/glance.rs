//! Says what there is of dead letters, as far as gauges need to know.

use super::Message;

/// What there is of dead letters.
///
/// ```
/// # use quash_transport::{Glance, Message};
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let transport = quash_transport::memory::Config::default().build().map_err(|e| e.message)?;
/// transport.dead_letters().append(&[Message::default()]).await?;
/// let glance = transport.dead_letters().glance().await?;
/// assert_eq!(glance, Glance { count: 1, oldest: Some(Message::default()) });
/// # Ok(()) }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Glance {
    /// How many.
    pub count: u64,
    /// The oldest of them, where that is known.
    pub oldest: Option<Message>,
}
