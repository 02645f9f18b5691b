//! Writes and reads the state that a retried delivery carries in its headers.
