//! What this machine has, and how a lab's namespaces are made on it.

use std::ffi::OsString;
use std::path::PathBuf;

/// Programs that a lab cannot do without, and their Debian packages.
pub(crate) const NEEDED: &[(&str, &str)] = &[
    ("ip", "iproute2"),
    ("tc", "iproute2"),
    ("ethtool", "ethtool"),
    ("unshare", "util-linux"),
    ("nsenter", "util-linux"),
    ("setpriv", "util-linux"),
    ("setsid", "util-linux"),
];

/// Programs that people will want in it.
pub(crate) const WANTED: &[(&str, &str)] = &[
    ("curl", "curl"),
    ("ping", "iputils-ping"),
    ("traceroute", "traceroute"),
    ("tcpdump", "tcpdump"),
    ("tshark", "tshark"),
    ("dig", "bind9-dnsutils"),
    ("chromium", "chromium"),
];

/// PATH with the folders where Debian keeps what a normal user's lacks.
pub(crate) fn path() -> OsString {
    let own = std::env::var_os("PATH").unwrap_or_default();
    let mut dirs: Vec<PathBuf> = std::env::split_paths(&own).collect();
    for d in ["/usr/local/sbin", "/usr/sbin", "/sbin", "/usr/bin", "/bin"] {
        if !dirs.iter().any(|x| x.as_os_str() == d) {
            dirs.push(d.into());
        }
    }
    std::env::join_paths(dirs).unwrap_or(own)
}

/// Where a program is.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    std::env::split_paths(&path()).map(|d| d.join(program)).find(|p| p.is_file())
}

/// Debian packages for what is missing of `list`.
pub(crate) fn missing(list: &[(&'static str, &'static str)]) -> Vec<(&'static str, &'static str)> {
    list.iter().filter(|(p, _)| find(p).is_none()).copied().collect()
}

/// Whether we are root: then no user namespace is made.
pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// The `unshare` arguments that make a lab's namespaces.
pub(crate) fn unshare_args() -> Vec<&'static str> {
    let mut v = Vec::new();
    if !is_root() {
        // Uid 0 is never mapped: tcpdump and Chromium refuse it.
        v.extend(["--user", "--map-current-user", "--keep-caps"]);
    }
    v.extend(["--net", "--mount", "--pid", "--fork", "--kill-child"]);
    v
}

/// The folder of this program: the roles are beside it.
pub(crate) fn bin_dir() -> anyhow::Result<PathBuf> {
    let exe = std::env::current_exe()?;
    Ok(exe.parent().map(PathBuf::from).unwrap_or_default())
}
