//! The `httpd` role.

#![forbid(unsafe_code)]

use clap::Parser;
use std::process::ExitCode;

#[derive(Parser)]
#[command(about = "A web server", version)]
struct Cli {
    #[command(flatten)]
    args: node::role::Args,
}

fn main() -> ExitCode {
    node::role::role(&Cli::parse().args, httpd::build)
}
