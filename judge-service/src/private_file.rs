//! Files with secrets are not for everybody on the machine: keys, hashes of tokens, the
//! secrets of webhooks.

use std::fmt;
use std::fs::Metadata;
use std::path::Path;

/// A file that others than its owner and its group may read or write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TooOpen {
    file: String,
    mode: u32,
}

/// # Errors
/// A file that every user of the machine may read or write. One that is not there is
/// said by whoever reads it.
pub fn check(path: &Path) -> Result<(), TooOpen> {
    match std::fs::metadata(path) {
        Ok(about) => check_mode(path, &about),
        Err(_) => Ok(()),
    }
}

/// # Errors
/// As [`check`].
pub fn check_mode(path: &Path, about: &Metadata) -> Result<(), TooOpen> {
    use std::os::unix::fs::PermissionsExt;
    let mode = about.permissions().mode() & 0o777;
    // The group may read it: Kubernetes gives what is mounted to one.
    if mode & 0o007 == 0 {
        return Ok(());
    }
    let file = path.display().to_string();
    Err(TooOpen { file, mode })
}

impl fmt::Display for TooOpen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, mode } = self;
        write!(
            f,
            "{file} may be read or written by every user of this machine (its mode is {mode:03o}); run `chmod 600 {file}` (or 640 for a group)"
        )
    }
}

impl std::error::Error for TooOpen {}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn what_everybody_may_read_or_write_is_not_private() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        check(&path).unwrap();
        std::fs::write(&path, "s3cret").unwrap();
        for (mode, is_private) in [
            (0o600, true),
            (0o640, true),
            (0o440, true),
            (0o644, false),
            (0o602, false),
            (0o601, false),
        ] {
            std::fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            assert_eq!(check(&path).is_ok(), is_private, "{mode:o}");
        }
        std::fs::set_permissions(&path, Permissions::from_mode(0o604)).unwrap();
        let said = check(&path).unwrap_err().to_string();
        assert!(
            said.contains("run `chmod 600 ") && said.contains("is 604"),
            "{said}"
        );
    }
}
