//! Where everything is that the lab starts.

use crate::failure::{During, Result};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The repository.
#[must_use]
pub fn root() -> PathBuf {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests.parent().unwrap_or(tests).to_owned()
}

/// The folder with the models' descriptions and `digits.csv`.
#[must_use]
pub fn models() -> PathBuf {
    root().join("tests/models")
}

/// # Errors
/// When the filter is not built.
pub fn wasm() -> Result<PathBuf> {
    built(
        &root().join("target/wasm/serinus_filter.wasm"),
        "filter/build-wasm",
    )
}

/// A program of this workspace: beside the one that runs now, as cargo puts them.
///
/// # Errors
/// When it is not built.
pub fn program(name: &str) -> Result<PathBuf> {
    let own = std::env::current_exe().during("find this program's folder")?;
    let folder = own.parent().unwrap_or(Path::new("."));
    // Tests run from `deps`, below the folder of the programs.
    let folder = match folder.file_name() {
        Some(name) if name == "deps" => folder.parent().unwrap_or(folder),
        _ => folder,
    };
    built(&folder.join(name), "make demo")
}

/// An Envoy, as `envoy/get-envoy` finds or installs it.
///
/// # Errors
/// When it says that there is none.
pub fn envoy() -> Result<PathBuf> {
    said_by("envoy/get-envoy")
}

/// Chromium and its WebDriver, as `tests/get-chromium` finds or installs them.
///
/// # Errors
/// When it says that there is none.
pub fn chromium() -> Result<(PathBuf, PathBuf)> {
    let said = said_by("tests/get-chromium")?;
    let said = said.to_string_lossy();
    let (browser, driver) = said
        .split_once('\n')
        .ok_or("tests/get-chromium did not print two paths")?;
    Ok((browser.into(), driver.into()))
}

/// Schemathesis, as `tests/get-schemathesis` installs it.
///
/// # Errors
/// When it says why not.
pub fn schemathesis() -> Result<PathBuf> {
    said_by("tests/get-schemathesis")
}

/// A Prometheus, as `tests/get-prometheus` finds or installs it.
///
/// # Errors
/// When it says that there is none.
pub fn prometheus() -> Result<PathBuf> {
    said_by("tests/get-prometheus")
}

/// The folder of programs with MLServer, as `tests/get-mlserver` finds or installs it.
///
/// # Errors
/// When it says that there is none.
pub fn mlserver() -> Result<PathBuf> {
    said_by("tests/get-mlserver")
}

/// The library that gives one program another clock, as `tests/get-faketime` finds or
/// installs it.
///
/// # Errors
/// When it says that there is none.
pub fn faketime() -> Result<PathBuf> {
    said_by("tests/get-faketime")
}

/// The path that one of the repository's scripts prints.
fn said_by(script: &str) -> Result<PathBuf> {
    let output = Command::new(root().join(script))
        .stderr(Stdio::inherit())
        .output()
        .during(&format!("run {script}"))?;
    let path = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    if output.status.success() && !path.is_empty() {
        Ok(path.into())
    } else {
        Err(format!("{script} found nothing; what it said stands above").into())
    }
}

fn built(path: &Path, by: &str) -> Result<PathBuf> {
    if path.exists() {
        Ok(path.to_owned())
    } else {
        Err(format!("{} is missing; `{by}` builds it", path.display()).into())
    }
}
