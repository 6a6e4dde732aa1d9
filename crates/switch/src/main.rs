//! The `switch` role.

#![forbid(unsafe_code)]

use clap::Parser;
use std::process::ExitCode;

#[derive(Parser)]
#[command(about = "A learning switch", version)]
struct Cli {
    #[command(flatten)]
    args: node::role::Args,
}

fn main() -> ExitCode {
    node::role::role(&Cli::parse().args, switch::build)
}
