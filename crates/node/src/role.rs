//! A role's `main`: arguments, configuration, logging, sandbox, loop.

use crate::config::NodeConfig;
use crate::control::Server;
use crate::hold::Hold;
use crate::run::{self, Notify, Shared};
use crate::{Allow, Asker, Clock, Core, Driver, Element, LabError, Task, Wake, sandbox, settings, trace};
use anyhow::{Context, Result};
use port::time::ClockState;
use rand::SeedableRng;
use rand::rngs::StdRng;
use serde::de::DeserializeOwned;
use std::cell::RefCell;
use std::path::PathBuf;
use std::process::ExitCode;
use std::rc::Rc;

/// Frames a role may have out at once: queues and reassembly included.
const FRAMES: usize = 16_384;

/// Arguments that every role takes.
#[derive(clap::Args, Clone, Debug)]
pub struct Args {
    /// The node's configuration, as the lab wrote it (node.json)
    #[arg(long, value_name = "FILE")]
    pub config: PathBuf,
    /// Read the settings, say what is wrong with them, and stop
    #[arg(long)]
    pub check: bool,
}

/// What a role builds itself from.
pub struct Setup<S> {
    /// The node.
    pub config: NodeConfig,
    /// The role's own settings from the lab file.
    pub settings: S,
    /// The clock for tasks.
    pub clock: Clock,
    /// Wakes the loop for the element.
    pub wake: Wake,
    /// Randomness seeded by the OS.
    pub rng: StdRng,
}

/// A role ready to run.
pub struct Role<E> {
    /// The device.
    pub element: E,
    /// Tasks of a host role.
    pub tasks: Vec<Task>,
    /// Files that it needs once it runs.
    pub allow: Allow,
    /// Answers to the role's own questions.
    pub asker: Option<Asker>,
}

impl<E> Role<E> {
    /// A forwarder: no tasks, no files.
    pub fn forwarder(element: E) -> Role<E> {
        Role { element, tasks: Vec::new(), allow: Allow::default(), asker: None }
    }
}

/// Runs a role. `build` makes it from its settings and touches nothing outside.
pub fn role<S, E, B>(args: &Args, build: B) -> ExitCode
where
    S: DeserializeOwned,
    E: Element,
    B: FnOnce(Setup<S>) -> Result<Role<E>>,
{
    let filter = tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| "info".into());
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()))
        .with_target(false)
        .init();
    match start(args, build) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            if let Some(l) = e.downcast_ref::<LabError>() {
                println!("{}", serde_json::json!({ "line": l.line, "column": l.column, "message": l.message }));
            } else if args.check {
                println!("{}", serde_json::json!({ "line": 0, "column": 0, "message": format!("{e:#}") }));
            } else {
                tracing::error!("{e:#}");
            }
            ExitCode::FAILURE
        }
    }
}

fn start<S, E, B>(args: &Args, build: B) -> Result<()>
where
    S: DeserializeOwned,
    E: Element,
    B: FnOnce(Setup<S>) -> Result<Role<E>>,
{
    let text = std::fs::read(&args.config).with_context(|| format!("reading {}", args.config.display()))?;
    let config: NodeConfig = serde_json::from_slice(&text).context("node.json")?;
    let lab = std::fs::read_to_string(&config.lab).with_context(|| format!("reading {}", config.lab.display()))?;
    let settings: S = settings::of_node(&lab, &config.node)?;
    // A role that starts while the lab is paused, or after it, goes by the lab's clock.
    if let Some(c) = std::fs::read(config.clock()).ok().and_then(|t| serde_json::from_slice::<ClockState>(&t).ok()) {
        c.set();
    }
    let (clock, wake) = (Clock::running(), Wake::default());
    clock.advance(port::Time::monotonic());
    let mut rng: StdRng = rand::make_rng();
    let setup = Setup { config: config.clone(), settings, clock: clock.clone(), wake: wake.clone(), rng: StdRng::from_rng(&mut rng) };
    let role = build(setup)?;
    if args.check {
        return Ok(());
    }
    let taps = run::attach(&config)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    let local = tokio::task::LocalSet::new();
    local.block_on(&runtime, async move {
        let _ = std::fs::remove_file(&config.control);
        let listener =
            tokio::net::UnixListener::bind(&config.control).with_context(|| format!("control socket {}", config.control.display()))?;
        let tracing = trace::listen::bind(&config.trace()).with_context(|| format!("trace socket {}", config.trace().display()))?;
        let notify = Notify::from_env(&config.node);
        let enforced = sandbox::enter(&role.allow).context("giving up privileges")?;
        tracing::info!("{} runs with {} ports ({enforced})", config.node, taps.len());
        let mut core = Core::new(FRAMES, rng);
        core.node.clone_from(&config.node);
        let driver = Rc::new(RefCell::new(Driver::new(role.element, core)));
        let hold = Rc::new(Hold::default());
        let shared = || Shared { driver: Rc::clone(&driver), clock: clock.clone(), wake: wake.clone(), hold: Rc::clone(&hold) };
        let server = Rc::new(Server { shared: shared(), asker: role.asker });
        tokio::task::spawn_local(server.serve(listener));
        tokio::task::spawn_local(trace::listen::serve(Rc::clone(&driver), tracing, wake.clone()));
        let has_tasks = !role.tasks.is_empty();
        for t in role.tasks {
            tokio::task::spawn_local(t);
        }
        let names = config.ports.iter().map(|p| p.name.clone()).collect();
        run::drive(Shared { driver, clock, wake, hold }, taps, names, notify, has_tasks).await
    })
}
