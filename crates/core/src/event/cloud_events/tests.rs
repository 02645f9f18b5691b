//! Promises of the cloud_events format.
