//! Wires configuration into running consumers and lanes, reloads it, and stops them.
