//! A role gives up everything it does not need, once its ports are open.

use anyhow::{Context, Result};
use landlock::{ABI, Access, AccessFs, AccessNet, Ruleset, RulesetAttr, RulesetCreatedAttr, RulesetStatus, path_beneath_rules};
use std::path::PathBuf;

/// What a role may still touch.
#[derive(Clone, Debug, Default)]
pub struct Allow {
    /// Files and folders to read.
    pub read: Vec<PathBuf>,
    /// Folders to write in.
    pub write: Vec<PathBuf>,
}

/// No new privileges, no capability, no file but those of `allow`, no kernel
/// TCP. Returns a word on how much of landlock the kernel enforces.
///
/// # Errors
/// If privileges cannot be given up.
pub(crate) fn enter(allow: &Allow) -> Result<&'static str> {
    rustix::thread::set_no_new_privs(true).context("no_new_privs")?;
    let none = rustix::thread::CapabilitySet::empty();
    rustix::thread::clear_ambient_capability_set().context("ambient capabilities")?;
    rustix::thread::set_capabilities(None, rustix::thread::CapabilitySets { effective: none, permitted: none, inheritable: none })
        .context("capabilities")?;
    let abi = ABI::V5;
    let status = Ruleset::default()
        .handle_access(AccessFs::from_all(abi))?
        .handle_access(AccessNet::from_all(abi))?
        .create()?
        .add_rules(path_beneath_rules(&allow.read, AccessFs::from_read(abi) & !AccessFs::Execute))?
        .add_rules(path_beneath_rules(&allow.write, AccessFs::from_all(abi) & !AccessFs::Execute))?
        .restrict_self()?;
    Ok(match status.ruleset {
        RulesetStatus::FullyEnforced => "landlock",
        RulesetStatus::PartiallyEnforced => "landlock (part)",
        RulesetStatus::NotEnforced => "no landlock in this kernel",
    })
}
