//! What the lab tells a role about its node: `node.json`.

use crate::Cidr;
use serde::{Deserialize, Serialize};
use std::net::Ipv4Addr;
use std::path::PathBuf;
use wire::Mac;

pub use crate::settings::{duration, of_node as settings_of, rate};

/// One port: a TAP of this name in the node's namespace.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PortConfig {
    /// The port's and the TAP's name.
    pub name: String,
    /// Its MAC address.
    pub mac: Mac,
    /// Its link's MTU (bytes of an IP packet).
    pub mtu: u16,
    /// Its address, where the lab file gives one.
    #[serde(default)]
    pub address: Option<Cidr>,
    /// What is at the other end, as `node.port`.
    #[serde(default)]
    pub peer: String,
}

/// A name and its address, for every addressed port of the lab.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq)]
pub struct HostName {
    /// Node name.
    pub node: String,
    /// Port name.
    pub port: String,
    /// Address.
    pub addr: Ipv4Addr,
}

/// A node as its role sees it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct NodeConfig {
    /// The node's name.
    pub node: String,
    /// The domain of node names.
    pub domain: String,
    /// The lab file.
    pub lab: PathBuf,
    /// Where to listen for `show` and commands.
    pub control: PathBuf,
    /// A folder of the node's own to write in.
    pub state: PathBuf,
    /// The folder against which paths of the lab file are meant.
    pub files: PathBuf,
    /// Its ports, in order.
    pub ports: Vec<PortConfig>,
    /// All addressed ports of the lab.
    #[serde(default)]
    pub hosts: Vec<HostName>,
}

impl NodeConfig {
    /// Where collectors of the trace connect.
    pub fn trace(&self) -> PathBuf {
        self.control.with_file_name("trace.sock")
    }

    /// Where the lab notes how its clock goes.
    pub fn clock(&self) -> PathBuf {
        self.control.parent().and_then(|p| p.parent()).and_then(|p| p.parent()).unwrap_or("".as_ref()).join("clock.json")
    }

    /// The port called `name`, with its number.
    pub fn port(&self, name: &str) -> Option<(crate::PortId, &PortConfig)> {
        let i = self.ports.iter().position(|p| p.name == name)?;
        Some((crate::PortId(u8::try_from(i).ok()?), &self.ports[i]))
    }

    /// As [`NodeConfig::port`], with an error that lists the right names.
    ///
    /// # Errors
    /// If there is no such port.
    pub fn need_port(&self, name: &str) -> anyhow::Result<(crate::PortId, &PortConfig)> {
        self.port(name).ok_or_else(|| {
            let names: Vec<_> = self.ports.iter().map(|p| p.name.as_str()).collect();
            let near = crate::nearest(name, names.iter().copied());
            let hint = near.map(|n| format!("; did you mean `{n}`?")).unwrap_or_default();
            anyhow::anyhow!("node `{}` has no port `{name}` (it has: {}){hint}", self.node, names.join(", "))
        })
    }
}
