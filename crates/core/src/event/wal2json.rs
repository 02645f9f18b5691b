//! Decodes wal2json.
