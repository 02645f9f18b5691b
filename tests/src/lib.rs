//! Starts the built binary, real servers and faults for the tests that need them.
//!
//! Every server runs on a free port in a temporary folder of its own, so a test may kill it. It dies when it is dropped;
//! when the test is failing then, its folder is kept and the end of its log printed.

// Waiting without sleeping.
mod eventually;

// What a process needs: a folder, a port, a log, signals.
mod home;
pub mod process;

// The servers.
mod broker;
mod nats_server;
mod postgres;
mod rabbitmq;
mod redis_server;

// Quash itself, from outside: its binary, its queue, its HTTP endpoint.
mod http;
mod quash;
mod queue;

// Who judges at the end.
mod oracle;

// What no driver would send, and what no good publisher would.
pub mod poison;
pub mod raw;

// What stands between: faults, and certificates.
mod certificates;
mod proxy;

// What lay in brokers before.
pub mod recorded;

pub use broker::{Broker, Kind};
pub use certificates::Certificates;
pub use eventually::{becomes, eventually};
pub use home::Home;
pub use http::{Answer, ask, get};
pub use nats_server::NatsServer;
pub use oracle::{Judgement, Oracle};
pub use postgres::{Postgres, Session};
pub use proxy::{ChaosProxy, Mode};
pub use quash::{Quash, Ran, Worker, binary};
pub use queue::Queue;
pub use rabbitmq::RabbitMq;
pub use redis_server::RedisServer;
