//! The lab: brings a lab file up in namespaces of its own, and looks into it.

#![forbid(unsafe_code)]

mod aal5;
mod capture;
mod check;
mod cli;
mod enter;
mod file;
mod holder;
mod link;
mod machine;
mod ordered;
mod pcapng;
mod picture;
mod plan;
mod rolecheck;
mod show;
mod signal;
mod splice;
mod state;
mod up;
mod validate;

use clap::{CommandFactory, Parser};
use std::process::ExitCode;

fn main() -> ExitCode {
    let cli = cli::Cli::try_parse().unwrap_or_else(|e| {
        if e.kind() == clap::error::ErrorKind::MissingSubcommand {
            // The help names the commands that are meant for people.
            let _ = cli::Cli::command().print_help();
            std::process::exit(2);
        }
        e.exit()
    });
    match cli::run(cli) {
        Ok(code) => code,
        Err(e) => {
            eprintln!("lab: {e:#}");
            // 125: the lab's own failures, apart from those of a command it runs.
            ExitCode::from(125)
        }
    }
}
