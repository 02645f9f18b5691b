//! Promises of the json format.
