//! The lab: brings a lab file up in namespaces of its own, and looks into it.

#![forbid(unsafe_code)]

mod capture;
mod check;
mod cli;
mod enter;
mod file;
mod holder;
mod machine;
mod ordered;
mod pcapng;
mod picture;
mod plan;
mod rolecheck;
mod show;
mod state;
mod up;
mod validate;

use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    match cli::run(cli::Cli::parse()) {
        Ok(code) => code,
        Err(e) => {
            eprintln!("lab: {e:#}");
            // 125: the lab's own failures, apart from those of a command it runs.
            ExitCode::from(125)
        }
    }
}
