//! A child process with a log, which does not outlive its owner.

use crate::failure::{During, Result};
use crate::wait;
use std::fs::{self, File, OpenOptions};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::process::{Child, Command};

/// How long a program may take to say that it is ready. Loading takes a second;
/// a machine that compiles at the same time takes much longer.
const READY_LIMIT: Duration = Duration::from_secs(60);

/// Lines of a log that are shown with a failure.
const TAIL_LINES: usize = 40;

/// Dropping it kills the program.
pub struct Process {
    name: String,
    child: Child,
    output: PathBuf,
}

impl Process {
    /// Starts a program whose two outputs go to `NAME.log` in the folder `logs`;
    /// a second start under one name appends.
    ///
    /// # Errors
    /// When the program or its log cannot be opened.
    pub fn start(name: &str, mut command: Command, logs: &Path) -> Result<Self> {
        let output = logs.join(format!("{name}.log"));
        let log = append(&output)?;
        let again = log.try_clone().during("open a log twice")?;
        let child = command
            .stdin(std::process::Stdio::null())
            .stdout(log)
            .stderr(again)
            // A Ctrl-C in the terminal must reach the owner only, who then ends
            // its children in order.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .during(&format!("start {name}"))?;
        Ok(Self {
            name: name.to_owned(),
            child,
            output,
        })
    }

    /// Starts a program and waits for a line that begins with `ready`; returns
    /// what follows in that line.
    ///
    /// # Errors
    /// When it ends or says nothing, with the end of its log.
    pub async fn start_until(
        name: &str,
        command: Command,
        logs: &Path,
        ready: &str,
    ) -> Result<(Self, String)> {
        let log = logs.join(format!("{name}.log"));
        // What an earlier start wrote is not this one's readiness.
        let before = fs::metadata(&log).map_or(0, |file| file.len());
        let mut process = Self::start(name, command, logs)?;
        let address = wait::until(&format!("{name} to be ready"), READY_LIMIT, async || {
            let text = process.log_from(before);
            let line = text.lines().find_map(|line| line.strip_prefix(ready));
            // A line is complete once another character follows it.
            if let Some(rest) = line.filter(|_| text.ends_with('\n')) {
                return Ok(Some(rest.trim().to_owned()));
            }
            process.check_running()?;
            Ok(None)
        })
        .await
        .map_err(|error| format!("{error}\n{}", process.log_tail()))?;
        Ok((process, address))
    }

    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The process's number, while it runs.
    #[must_use]
    pub fn id(&self) -> Option<u32> {
        self.child.id()
    }

    /// # Errors
    /// When the program has ended, with the end of its log.
    pub fn check_running(&mut self) -> Result<()> {
        match self.child.try_wait() {
            Ok(None) => Ok(()),
            Ok(Some(status)) => {
                Err(format!("{} ended with {status}\n{}", self.name, self.log_tail()).into())
            }
            Err(error) => Err(format!("{}: {error}", self.name).into()),
        }
    }

    /// SIGKILL, and waits until the program is gone.
    ///
    /// # Errors
    /// When the system refuses.
    pub async fn kill(&mut self) -> Result<()> {
        self.child
            .kill()
            .await
            .during(&format!("kill {}", self.name))
    }

    /// SIGSTOP: the program stands still with its connections open, as one does whose
    /// machine hangs.
    ///
    /// # Errors
    /// When it does not run.
    pub async fn freeze(&self) -> Result<()> {
        self.signal("STOP").await
    }

    /// SIGCONT: it goes on where it was.
    ///
    /// # Errors
    /// When it does not run.
    pub async fn thaw(&self) -> Result<()> {
        self.signal("CONT").await
    }

    /// SIGTERM: it is asked to end.
    ///
    /// # Errors
    /// When it does not run.
    pub async fn terminate(&self) -> Result<()> {
        self.signal("TERM").await
    }

    /// SIGHUP: it is asked to read its files again.
    ///
    /// # Errors
    /// When it does not run.
    pub async fn hang_up(&self) -> Result<()> {
        self.signal("HUP").await
    }

    /// Waits until it has ended; its exit code, if no signal ended it.
    ///
    /// # Errors
    /// When that cannot be known, or takes too long.
    pub async fn ended(&mut self) -> Result<Option<i32>> {
        let ended = tokio::time::timeout(READY_LIMIT, self.child.wait()).await;
        let status = ended.during(&format!("wait for the end of {}", self.name))?;
        Ok(status.during(&format!("wait for {}", self.name))?.code())
    }

    async fn signal(&self, name: &str) -> Result<()> {
        let id = self
            .id()
            .ok_or_else(|| format!("{} has ended", self.name))?;
        let sent = Command::new("sh")
            .args(["-c", &format!("kill -{name} {id}")])
            .status()
            .await
            .during("run sh")?;
        if sent.success() {
            Ok(())
        } else {
            Err(format!("SIG{name} did not reach {}", self.name).into())
        }
    }

    /// Everything that the program wrote since `offset` bytes of its log.
    fn log_from(&self, offset: u64) -> String {
        let bytes = fs::read(&self.output).unwrap_or_default();
        let start = usize::try_from(offset).unwrap_or(usize::MAX);
        String::from_utf8_lossy(bytes.get(start..).unwrap_or_default()).into_owned()
    }

    /// The last lines of the log, under a heading.
    #[must_use]
    pub fn log_tail(&self) -> String {
        let text = self.log_from(0);
        let lines: Vec<&str> = text.lines().collect();
        let tail = lines
            .get(lines.len().saturating_sub(TAIL_LINES)..)
            .unwrap_or_default();
        format!(
            "--- end of {} ---\n{}",
            self.output.display(),
            tail.join("\n")
        )
    }
}

fn append(path: &Path) -> Result<File> {
    OpenOptions::new()
        .create(true)
        .append(true)
        .open(path)
        .during(&format!("open {}", path.display()))
}
