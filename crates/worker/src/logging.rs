//! Sets up logs: human or JSON, on stderr.
