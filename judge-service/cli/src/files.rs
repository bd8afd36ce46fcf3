//! Files that options name, with errors that say which.

use crate::failure::Failure;
use serinus_core::json::FieldError;
use serinus_judge::private_file;
use serinus_judge::xds::Plugin;
use std::io::Read;
use std::path::Path;

/// A file, or standard input for `-`.
pub fn read_or_stdin(path: &Path) -> Result<Vec<u8>, Failure> {
    let read = if path.as_os_str() == "-" {
        let mut bytes = Vec::new();
        std::io::stdin().read_to_end(&mut bytes).map(|_| bytes)
    } else {
        std::fs::read(path)
    };
    read.map_err(|error| Failure::of_input(path, &error))
}

pub fn read(option: &str, path: &Path) -> Result<Vec<u8>, Failure> {
    std::fs::read(path).map_err(|error| {
        Failure::of_input(path, &error).map(|problem| format!("{option}: {problem}"))
    })
}

/// A secret that nobody else of the machine can read.
///
/// # Errors
/// A file that is not there, that others can read, or that is empty.
pub fn secret_in(option: &str, path: &Path) -> Result<String, Failure> {
    private_file::check(path).map_err(|problem| Failure::Failed(format!("{option}: {problem}")))?;
    let secret = read(option, path)?;
    let secret = String::from_utf8_lossy(&secret).trim().to_owned();
    if secret.is_empty() {
        let path = path.display();
        return Err(Failure::Failed(format!("{option}: {path} is empty")));
    }
    Ok(secret)
}

pub fn within(option: &str, path: &Path, error: &FieldError) -> Failure {
    Failure::Failed(format!("{option}: {}: {error}", path.display()))
}

/// What proxies have where, for ECDS.
pub fn plugin(option: &str, path: &Path) -> Result<Plugin, Failure> {
    Plugin::read(&read(option, path)?).map_err(|error| within(option, path, &error))
}
