//! Stands before a target: concurrency, rate, circuit breaker, and the replay after a restart.
