//! Decodes json.
