//! How a command fails, and the exit code that tells a script.

use std::fmt;
use std::path::Path;
use std::process::ExitCode;

/// What `--help` says of them.
pub const EXIT_CODES: &str = "\
Exit codes: 0 done; 1 refused or failed, and what was wrong is said on standard error; \
2 the command line makes no sense; 3 the judge was not reached; 4 there is no such \
rollout, arm or file; 5 the state does not allow it, or nothing of what runs can be \
changed that way; 6 what was watched ended otherwise: the new version was taken back; \
7 a record does not hold: it was changed, or the same evidence gives another verdict.";

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// Refused, or it did not work.
    Failed(String),
    Usage(String),
    NotReached(String),
    NotFound(String),
    Conflict(String),
    /// What was waited for will not come.
    Otherwise(String),
    /// A record was changed, or is judged otherwise now.
    Untrue(String),
    /// Nobody reads on: not worth a word.
    Closed,
}

// === impl Failure ===

impl Failure {
    pub fn exit_code(&self) -> ExitCode {
        ExitCode::from(match self {
            Self::Closed => 0,
            Self::Failed(_) => 1,
            Self::Usage(_) => 2,
            Self::NotReached(_) => 3,
            Self::NotFound(_) => 4,
            Self::Conflict(_) => 5,
            Self::Otherwise(_) => 6,
            Self::Untrue(_) => 7,
        })
    }

    /// The same failure, said otherwise.
    pub fn map(self, say: impl FnOnce(String) -> String) -> Self {
        match self {
            Self::Failed(text) => Self::Failed(say(text)),
            Self::Usage(text) => Self::Usage(say(text)),
            Self::NotReached(text) => Self::NotReached(say(text)),
            Self::NotFound(text) => Self::NotFound(say(text)),
            Self::Conflict(text) => Self::Conflict(say(text)),
            Self::Otherwise(text) => Self::Otherwise(say(text)),
            Self::Untrue(text) => Self::Untrue(say(text)),
            Self::Closed => Self::Closed,
        }
    }

    /// Several at once, each on a line of its own; the first says the exit code.
    pub fn all(failures: Vec<Self>) -> Result<(), Self> {
        let mut failures = failures.into_iter();
        let Some(first) = failures.next() else {
            return Ok(());
        };
        let rest: String = failures
            .map(|other| format!("\nserinus: {other}"))
            .collect();
        Err(first.map(|text| text + &rest))
    }

    /// Of writing to standard output.
    pub fn of_output(error: &std::io::Error) -> Self {
        if error.kind() == std::io::ErrorKind::BrokenPipe {
            Self::Closed
        } else {
            Self::Failed(format!("failed to write: {error}"))
        }
    }

    /// Of a file that is read.
    pub fn of_input(path: &Path, error: &std::io::Error) -> Self {
        let text = format!("failed to read {}: {error}", path.display());
        if error.kind() == std::io::ErrorKind::NotFound {
            Self::NotFound(text)
        } else {
            Self::Failed(text)
        }
    }
}

impl From<String> for Failure {
    fn from(text: String) -> Self {
        Self::Failed(text)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed(text)
            | Self::Usage(text)
            | Self::NotReached(text)
            | Self::NotFound(text)
            | Self::Conflict(text)
            | Self::Otherwise(text)
            | Self::Untrue(text) => f.write_str(text),
            Self::Closed => f.write_str("nobody reads the output"),
        }
    }
}
