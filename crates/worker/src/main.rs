//! The `quash` binary.

use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    quash_worker::cli::main().await
}
