//! From a URL's path to an open file that lies below the folder, whatever the
//! path says.

use percent_encoding::percent_decode_str;
use rustix::fs::{Mode, OFlags, ResolveFlags, openat2};
use std::fs::File;
use std::path::Path;

/// Why there is no file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum NoFile {
    /// The path is no path: bad escapes, NUL, a way upwards.
    BadPath,
    /// Nothing there, or nothing that is served.
    NotFound,
    /// A folder asked for without its slash.
    IsFolder,
}

/// The decoded path relative to the root. Dot segments are refused rather than
/// resolved: a client removes them (RFC 3986 §6.2.2.3).
pub(crate) fn clean(path: &str) -> Result<String, NoFile> {
    let decoded = percent_decode_str(path).decode_utf8().map_err(|_| NoFile::BadPath)?;
    let relative = decoded.strip_prefix('/').ok_or(NoFile::BadPath)?;
    let bad = |s: &str| s == ".." || s == "." || s.contains('\0') || s.contains('\\');
    if relative.split('/').any(bad) {
        return Err(NoFile::BadPath);
    }
    if relative.split('/').any(|s| s.starts_with('.')) {
        return Err(NoFile::NotFound); // hidden files are not part of a site
    }
    Ok(relative.to_owned())
}

/// Opens a file below `root`; no link leads out of it.
pub(crate) fn open(root: &Path, relative: &str) -> Result<File, NoFile> {
    let dir = File::open(root).map_err(|_| NoFile::NotFound)?;
    let name = if relative.is_empty() { "." } else { relative };
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let fd = openat2(&dir, name, flags, Mode::empty(), resolve).map_err(|_| NoFile::NotFound)?;
    let file = File::from(fd);
    let meta = file.metadata().map_err(|_| NoFile::NotFound)?;
    if meta.is_dir() {
        return Err(NoFile::IsFolder);
    }
    if !meta.is_file() || (relative.ends_with('/') && !relative.is_empty()) {
        return Err(NoFile::NotFound);
    }
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_that_climb_are_refused() {
        for p in ["/../etc/passwd", "/a/%2e%2e/b", "/%2e%2e%2fetc", "/..%2f", "/a\\..\\b", "/%00", "/./a", "etc", "/%ff%fe"] {
            assert_eq!(clean(p), Err(NoFile::BadPath), "{p}");
        }
        assert_eq!(clean("/.git/config"), Err(NoFile::NotFound));
        assert_eq!(clean("/a%20b/c.html").as_deref(), Ok("a b/c.html"));
    }

    #[test]
    fn links_do_not_lead_out() {
        let dir = std::env::temp_dir().join(format!("httpd-files-{}", std::process::id()));
        std::fs::create_dir_all(dir.join("sub")).unwrap();
        std::fs::write(dir.join("sub/a.txt"), "a").unwrap();
        let _ = std::os::unix::fs::symlink("/etc/passwd", dir.join("out"));
        let _ = std::os::unix::fs::symlink("sub/a.txt", dir.join("in"));
        assert!(open(&dir, "in").is_ok());
        assert_eq!(open(&dir, "out").err(), Some(NoFile::NotFound));
        assert_eq!(open(&dir, "sub").err(), Some(NoFile::IsFolder));
        assert_eq!(open(&dir, "sub/a.txt/").err(), Some(NoFile::NotFound));
        std::fs::remove_dir_all(&dir).unwrap();
    }
}
