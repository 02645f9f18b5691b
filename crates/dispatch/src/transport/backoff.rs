//! Computes retry delays and paces reconnects; the only file that uses `backoff`.
