//! The browser: with `--config` the resident of a node, else the command that
//! asks it.

#![forbid(unsafe_code)]

use clap::Parser;
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(Parser)]
#[command(about = "A browser on our own TCP/IP stack", version)]
struct Cli {
    /// Be the resident of a node (the lab does this)
    #[arg(long, value_name = "FILE", hide = true)]
    config: Option<PathBuf>,
    /// With --config: check the settings and stop
    #[arg(long, hide = true)]
    check: bool,
    #[command(flatten)]
    visit: client::command::Visit,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    match cli.config {
        Some(config) => node::role::role(&node::role::Args { config, check: cli.check }, client::build),
        None => client::command::run(&cli.visit),
    }
}
