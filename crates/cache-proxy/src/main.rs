//! The `cache-proxy` role.

#![forbid(unsafe_code)]

use clap::Parser;
use std::process::ExitCode;

#[derive(Parser)]
#[command(about = "A transparent HTTP cache", version)]
struct Cli {
    #[command(flatten)]
    args: node::role::Args,
}

fn main() -> ExitCode {
    node::role::role(&Cli::parse().args, cache_proxy::build)
}
