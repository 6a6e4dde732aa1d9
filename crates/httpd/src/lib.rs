//! A web server on our own TCP: serves a folder, takes uploads where it is
//! allowed to.

#![forbid(unsafe_code)]

mod body;
mod files;
mod server;
mod upload;

use netstack::Host;
use node::role::{Role, Setup};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::rc::Rc;

/// What a lab file may say of a web server.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Settings {
    /// The folder to serve, as seen from the lab file.
    pub root: PathBuf,
    /// The port.
    #[serde(default = "http")]
    pub port: u16,
    /// `Cache-Control: max-age`, in seconds, by path prefix; the longest counts.
    #[serde(default)]
    pub max_age: BTreeMap<String, u32>,
    /// Path prefix under which POST and PUT may store files, e.g. `/upload/`.
    #[serde(default)]
    pub upload: Option<String>,
    /// Bytes of one upload at most.
    #[serde(default = "upload_most")]
    pub upload_most: u64,
    /// Bytes of all uploads at most.
    #[serde(default = "uploads_most")]
    pub uploads_most: u64,
    /// Static routes.
    #[serde(default)]
    pub routes: Vec<flow::fib::StaticRoute>,
}

fn http() -> u16 {
    80
}
fn upload_most() -> u64 {
    16 << 20
}
fn uploads_most() -> u64 {
    256 << 20
}

/// Builds the role.
///
/// # Errors
/// If the folder is not there, or a route leads nowhere.
pub fn build(s: Setup<Settings>) -> anyhow::Result<Role<Host>> {
    let root = s.config.files.join(&s.settings.root);
    anyhow::ensure!(root.is_dir(), "root: there is no folder `{}` beside the lab file", s.settings.root.display());
    if let Some(u) = &s.settings.upload {
        anyhow::ensure!(u.starts_with('/') && u.ends_with('/'), "upload: `{u}` must begin and end with a slash");
    }
    let mut rng = s.rng;
    let seed = rand::RngExt::random(&mut rng);
    let (host, net) = Host::new(&s.config, &s.settings.routes, seed, netstack::Limits::default(), s.clock, s.wake)?;
    let uploads = s.config.state.join("upload");
    let allow = node::Allow { read: vec![root.clone()], write: vec![s.config.state.clone()] };
    let site = Rc::new(server::Site { root, uploads, settings: s.settings, stored: std::cell::Cell::new(0) });
    let tasks: Vec<node::Task> = vec![Box::pin(server::serve(net, site))];
    Ok(Role { element: host, tasks, allow, asker: None })
}
