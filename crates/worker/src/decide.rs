//! Decides what becomes of a delivery: one exhaustive match over values, no I/O, no clock.
