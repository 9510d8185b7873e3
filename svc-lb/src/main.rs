//! The agent of svc-lb.

use std::process::ExitCode;

fn main() -> ExitCode {
    svc_lb::cli::main()
}
