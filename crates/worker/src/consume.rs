//! Takes batches from one source, several in flight, and pauses while no target can be reached.
