//! Promises of the debezium format.
