//! The command line.

use crate::{capture, check, enter, holder, journey, link, pause, plan, show, signal, state, up};
use anyhow::Result;
use clap::{Parser, Subcommand};
use std::path::PathBuf;
use std::process::ExitCode;

/// How a web page really gets here: a lab of real processes in network namespaces
#[derive(Parser)]
#[command(name = "lab", version, disable_help_subcommand = true)]
pub(crate) struct Cli {
    /// The running lab that is meant (default: the only one that is up)
    #[arg(short, long = "lab", global = true, value_name = "NAME")]
    lab: Option<String>,
    /// Where the labs of this project are
    #[arg(long, global = true, default_value = "netns-scripts/labs", hide = true)]
    files: PathBuf,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Bring a lab up: check, wire, start, wait until every role is ready
    Up {
        /// A name under netns-scripts/labs, or a path
        #[arg(default_value = "web-path")]
        file: String,
        /// Call the running lab by this name
        #[arg(long)]
        name: Option<String>,
        /// Take a running lab of that name down first
        #[arg(long)]
        replace: bool,
        /// Stay until standard input ends or Ctrl-C comes, then take it down
        #[arg(long)]
        foreground: bool,
    },
    /// Take a lab down
    Down,
    /// Restart the role of a node
    Restart {
        /// The node
        node: String,
    },
    /// What runs, and how it is
    Status {
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// What a node's role has logged
    Logs {
        /// The node
        node: String,
        /// Go on as it is written
        #[arg(short, long)]
        follow: bool,
    },
    /// curl on the first host of the lab (pc)
    Curl {
        /// curl's arguments
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, required = true)]
        args: Vec<String>,
    },
    /// Any command in a node's namespaces
    Exec {
        /// The node
        node: String,
        /// The command and its arguments
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, required = true)]
        command: Vec<String>,
    },
    /// Capture at every port, or at those named, as pcapng
    Capture(capture::Args),
    /// Fetch a page, and tell the way of its packets: where each went, what changed, and why
    Journey(journey::Args),
    /// The journey's page, live, on localhost: map, packets, tables, ladders
    Web {
        /// The port; 0 takes a free one
        #[arg(long, default_value_t = 0)]
        port: u16,
    },
    /// Stop the lab's clock: packets wait where they are
    Pause,
    /// Let the oldest packet that waits pass one element
    Step {
        /// How many times
        #[arg(default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
        n: u32,
    },
    /// Let the lab's clock run on
    Resume,
    /// Tables and counters of a node's role
    Show {
        /// The node
        node: String,
        /// The view; without one: the first, and the counters
        what: Option<String>,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// An act of a node's role, e.g. `command switch flush`
    #[command(name = "command")]
    Act {
        /// The node
        node: String,
        /// Its words
        #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
        words: Vec<String>,
    },
    /// What a link does from this port on: set delay 20ms loss 1% …, show, off, on, down, up
    Link {
        /// NODE.PORT: the direction that begins there
        port: String,
        /// `set KEY VALUE…`, `show`, `off`, `on`, `down` or `up`
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        words: Vec<String>,
    },
    /// The levels of a frame that this port sent over its medium
    Signal {
        /// NODE.PORT
        port: String,
        /// The last frame, not the last one with data of TCP
        #[arg(long)]
        last: bool,
        /// Write the drawing as SVG to this file
        #[arg(long, value_name = "FILE")]
        svg: Option<PathBuf>,
        /// The levels themselves, as JSON
        #[arg(long)]
        json: bool,
    },
    /// What this machine lacks, and the command that mends it
    Check,
    /// The ip and tc batches of a lab, without running them
    Plan {
        /// A name under netns-scripts/labs, or a path
        #[arg(default_value = "web-path")]
        file: String,
    },
    /// (internal) Hold a lab
    #[command(hide = true)]
    Hold(holder::Args),
    /// (internal) Set a node's names up and run a command
    #[command(hide = true)]
    Enter {
        /// The node
        node: String,
        /// The command
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, required = true)]
        command: Vec<String>,
    },
    /// (internal) Capture at kernel hosts, for a collector
    #[command(hide = true)]
    Watch,
    /// (internal) … from inside a lab
    #[command(hide = true)]
    WatchInside {
        /// `node=number=interface`
        ports: Vec<String>,
    },
    /// (internal) Capture from inside a lab
    #[command(hide = true)]
    CaptureInside(capture::Inside),
}

/// Runs a command.
pub(crate) fn run(cli: Cli) -> Result<ExitCode> {
    let name = cli.lab.as_deref();
    match cli.command {
        Command::Up { file, name, replace, foreground } => {
            let name = name.or(cli.lab);
            let done = up::up(&cli.files, &file, name.as_deref(), replace)?;
            if foreground { up::stay(&done) } else { Ok(ExitCode::SUCCESS) }
        }
        Command::Down => state::down(name),
        Command::Restart { node } => state::restart(&state::pick(name)?, &node),
        Command::Status { json } => state::status(name, json),
        Command::Logs { node, follow } => state::logs(&state::pick(name)?, &node, follow),
        Command::Curl { args } => enter::curl(&state::pick(name)?, &args),
        Command::Exec { node, command } => enter::exec(&state::pick(name)?, &node, &command),
        Command::Capture(args) => capture::capture(&state::pick(name)?, &args),
        Command::Journey(args) => journey::journey(&state::pick(name)?, &args),
        Command::Web { port } => journey::live::web(&state::pick(name)?, port),
        Command::Pause => pause::pause(&state::pick(name)?),
        Command::Step { n } => pause::step(&state::pick(name)?, n),
        Command::Resume => pause::resume(&state::pick(name)?),
        Command::Watch => {
            let r = state::pick(name)?;
            let f = crate::file::parse(&r.text()?).map_err(|e| anyhow::anyhow!("{e}"))?;
            journey::hosts::watch(&r, &journey::topo::topology(&r.name, &f))
        }
        Command::WatchInside { ports } => journey::hosts::inside(&ports),
        Command::Show { node, what, json } => show::show(&state::pick(name)?, &node, what.as_deref(), json),
        Command::Act { node, words } => show::command(&state::pick(name)?, &node, words),
        Command::Link { port, words } => link::link(&state::pick(name)?, &port, words),
        Command::Signal { port, last, svg, json } => signal::signal(&state::pick(name)?, &port, last, svg.as_deref(), json),
        Command::Check => check::check(),
        Command::Plan { file } => plan::print(&cli.files, &file),
        Command::Hold(args) => holder::hold(args),
        Command::Enter { node, command } => enter::inside(&node, &command),
        Command::CaptureInside(args) => capture::inside(&args),
    }
}
