//! Reaches one source: its broker, what is known of its letters, and the worker that consumes it, if one runs here.

use std::sync::Arc;

use quash_core::event::Format;
use quash_dispatch::config::{Config, address};
use quash_transport::Transport;
use quash_worker::source::Source as Consumed;

use crate::shelf::Shelf;

/// A source, as the endpoint reaches it.
pub(crate) struct Source {
    pub(crate) name: String,
    pub(crate) kind: &'static str,
    /// Where it is, with nothing secret in it.
    pub(crate) address: Option<String>,
    pub(crate) format: Format,
    pub(crate) transport: Arc<dyn Transport>,
    pub(crate) shelf: Arc<Shelf>,
    /// The worker's side of it, if one runs here.
    pub(crate) consumed: Option<Arc<Consumed>>,
}

impl Source {
    /// The source that is configured by this name.
    pub(crate) fn of(
        config: &Config,
        name: &str,
        transport: Arc<dyn Transport>,
        consumed: Option<Arc<Consumed>>,
    ) -> Self {
        let configured = &config.sources[name];
        Self {
            name: name.to_owned(),
            kind: configured.kind.kind(),
            address: address(configured),
            format: configured.options.format,
            shelf: Arc::new(Shelf::new(Arc::clone(&transport))),
            transport,
            consumed,
        }
    }
}
