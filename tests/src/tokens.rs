//! Tokens for a judge that asks for them, as `serinus token new` makes them.

use crate::artefacts;
use crate::failure::{During, Result};
use std::path::{Path, PathBuf};
use std::process::Command;

/// One of each role, in a file.
pub struct Tokens {
    file: PathBuf,
    pub viewer: String,
    pub operator: String,
    pub proxy: String,
}

impl Tokens {
    /// # Errors
    /// When the command fails.
    pub fn new(folder: &Path) -> Result<Self> {
        let file = folder.join("tokens");
        let token = |role: &str, name: &str| add(&file, role, name);
        Ok(Self {
            viewer: token("viewer", "bob")?,
            operator: token("operator", "alice")?,
            proxy: token("proxy", "envoy-1")?,
            file,
        })
    }

    #[must_use]
    pub fn file(&self) -> &Path {
        &self.file
    }

    #[must_use]
    pub fn path(&self) -> String {
        self.file.display().to_string()
    }

    /// Takes those of this name out of the file.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn remove(&self, name: &str) -> Result<()> {
        let text = std::fs::read_to_string(&self.file)?;
        let lines = text
            .lines()
            .filter(|line| !line.contains(&format!(" {name} ")));
        let kept: String = lines.map(|line| format!("{line}\n")).collect();
        Ok(std::fs::write(&self.file, kept)?)
    }
}

/// Another one.
///
/// # Errors
/// When the command fails.
pub fn add(file: &Path, role: &str, name: &str) -> Result<String> {
    let output = Command::new(artefacts::program("serinus")?)
        .args(["token", "new", "--role", role, "--name", name, "--to"])
        .arg(file)
        .output()
        .during("run serinus token new")?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned().into());
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
