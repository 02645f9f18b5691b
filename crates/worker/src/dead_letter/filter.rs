//! Reads the filter language of dead letters: `reason:target_error cache:product age:<1h`.
