//! The `cable` role.

#![forbid(unsafe_code)]

use clap::Parser;
use std::process::ExitCode;

#[derive(Parser)]
#[command(about = "The lab's impaired links", version)]
struct Cli {
    #[command(flatten)]
    args: node::role::Args,
}

fn main() -> ExitCode {
    node::role::role(&Cli::parse().args, cable::build)
}
