//! The suite that every transport must pass: one promise a file.
