//! Files that options name, with errors that say which.

use crate::failure::Failure;
use serinus_core::json::FieldError;
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

pub fn within(option: &str, path: &Path, error: &FieldError) -> Failure {
    Failure::Failed(format!("{option}: {}: {error}", path.display()))
}

/// What proxies have where, for ECDS.
pub fn plugin(option: &str, path: &Path) -> Result<Plugin, Failure> {
    Plugin::read(&read(option, path)?).map_err(|error| within(option, path, &error))
}
