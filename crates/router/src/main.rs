//! The `router` role.

#![forbid(unsafe_code)]

use clap::Parser;
use std::process::ExitCode;

#[derive(Parser)]
#[command(about = "An IPv4 router, core or home", version)]
struct Cli {
    #[command(flatten)]
    args: node::role::Args,
}

fn main() -> ExitCode {
    node::role::role(&Cli::parse().args, router::build)
}
