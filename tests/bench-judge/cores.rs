//! The judge has the first core for itself; everything else has the others.

use serinus_tests::failure::{During, Result};
use std::path::PathBuf;
use std::process::Command;

/// Files that this process and the judge may each have open: 10,000 polls and as many
/// more for reports.
const FILES: u64 = 60_000;

pub struct Cores {
    /// The program that is measured.
    pub serinus: PathBuf,
    pub judge: String,
    pub others: String,
}

impl Cores {
    /// Leaves the first core to the judge, and makes room for connections.
    pub fn part(serinus: PathBuf) -> Result<Self> {
        let count = std::thread::available_parallelism()?.get();
        if count < 2 {
            return Err(
                "one core is for the judge and another for its load, and there is one".into(),
            );
        }
        let others = if count == 2 {
            "1".to_owned()
        } else {
            format!("1-{}", count - 1)
        };
        let own = std::process::id().to_string();
        run("taskset", &["-acp", &others, &own])?;
        // Root may have more than the limit that it was given; others as many as that.
        let more = run(
            "prlimit",
            &["--pid", &own, &format!("--nofile={FILES}:{FILES}")],
        );
        if more.is_err() {
            run("prlimit", &["--pid", &own, "--nofile=20000"])?;
        }
        Ok(Self {
            serinus,
            judge: "0".to_owned(),
            others,
        })
    }
}

fn run(program: &str, arguments: &[&str]) -> Result<()> {
    let output = Command::new(program)
        .args(arguments)
        .output()
        .during(&format!("run {program}"))?;
    if output.status.success() {
        Ok(())
    } else {
        Err(format!("{program}: {}", String::from_utf8_lossy(&output.stderr)).into())
    }
}
