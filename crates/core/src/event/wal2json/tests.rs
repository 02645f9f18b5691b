//! Promises of the wal2json format.
