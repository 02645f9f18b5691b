//! Stops receiving, finishes what is in flight within a limit, and hands the rest back.
