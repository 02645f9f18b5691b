//! The `quash` binary: sets the process up and hands over to the commands.

use std::io::Write;
use std::process::ExitCode;

fn main() -> ExitCode {
    // It fails only when a provider is installed already, and nobody was here before.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "error: cannot start the runtime: {error}");
            return ExitCode::from(74);
        }
    };
    let ended = runtime.block_on(quash_cli::main());
    // Waits for nobody: a read of standard input may never return.
    runtime.shutdown_background();
    ended
}
