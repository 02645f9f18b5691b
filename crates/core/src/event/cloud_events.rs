//! Decodes cloud_events.
