//! Sends dead letters back to where they came from, a fixed set at a given rate.
