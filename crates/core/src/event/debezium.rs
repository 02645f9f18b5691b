//! Decodes debezium.
