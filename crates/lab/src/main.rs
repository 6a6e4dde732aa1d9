//! The lab: brings a lab file up in namespaces of its own, and looks into it.

#![forbid(unsafe_code)]

mod aal5;
mod annotate;
mod capture;
mod check;
mod cli;
mod enter;
mod file;
mod holder;
mod journey;
mod link;
mod machine;
mod ordered;
mod pause;
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

/// Whoever read our output has had enough: no reason to complain.
fn end_with_the_reader() {
    let complain = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |p| {
        let text = p.payload_as_str().unwrap_or_default();
        if text.starts_with("failed printing to stdout") && text.contains("Broken pipe") {
            std::process::exit(0);
        }
        complain(p);
    }));
}

fn main() -> ExitCode {
    end_with_the_reader();
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
