//! A folder that looks like the repository after `make build`, and a shell in it.

use crate::blocks::{Block, Kind};
use serinus_tests::failure::{During, Result};
use serinus_tests::{artefacts, ports};
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;
use tempfile::TempDir;
use tokio::process::Command;

/// The ports that guides and configurations name: judges, Envoy and its administration,
/// model servers, a database.
const PORTS: [&str; 9] = [
    "8090", "8091", "8092", "10000", "9901", "8001", "8002", "8003", "5432",
];

/// A whole guide, on a machine that compiles at the same time.
const LIMIT: Duration = Duration::from_secs(300);

pub struct Desk {
    folder: TempDir,
    /// The ports that stand for [`PORTS`].
    ports: Vec<String>,
}

impl Desk {
    pub fn new() -> Result<Self> {
        let folder = tempfile::Builder::new()
            .prefix("serinus-guide-")
            .tempdir()?;
        // PostgreSQL runs as another user, and is to reach its folder in it.
        let readable = fs::Permissions::from_mode(0o755);
        fs::set_permissions(folder.path(), readable).during("let others into the folder")?;
        let ports = PORTS.iter().map(|_| Ok(ports::free()?.to_string()));
        let desk = Self {
            ports: ports.collect::<Result<_>>()?,
            folder,
        };
        let (root, here) = (artefacts::root(), desk.folder.path());
        for name in ["target", "tests", "judge-service"] {
            symlink(root.join(name), here.join(name)).during("link to the repository")?;
        }
        fs::create_dir(here.join("envoy")).during("make a folder")?;
        for file in fs::read_dir(root.join("envoy")).during("list envoy/")? {
            let file = file.during("list envoy/")?.path();
            let name = file.file_name().ok_or("a file without a name")?;
            let to = here.join("envoy").join(name);
            if file.is_dir() {
                symlink(&file, to).during("link to the repository")?;
                continue;
            }
            fs::copy(&file, &to).during("copy envoy/")?;
            if file.extension().is_some() {
                let text = fs::read_to_string(&to).during("read a configuration")?;
                fs::write(&to, desk.with_free_ports(&text)).during("write a configuration")?;
            }
        }
        Ok(desk)
    }

    fn with_free_ports(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for (port, free) in PORTS.iter().zip(&self.ports) {
            text = replace_number(&text, port, free);
        }
        text
    }

    /// Runs all blocks of a guide, and says which one went wrong.
    pub async fn run(&self, guide: &str, blocks: &[Block]) {
        let here = self.folder.path();
        let script = self.script(blocks);
        fs::write(here.join("guide.sh"), &script).unwrap();
        let mut shell = Command::new("bash");
        shell
            .arg("guide.sh")
            .current_dir(here)
            .env(
                "SERINUS_JUDGE",
                self.with_free_ports("http://127.0.0.1:8090"),
            )
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true);
        let ended = tokio::time::timeout(LIMIT, async { shell.status().await.unwrap() }).await;
        let log = said(here);
        match ended {
            Ok(status) if status.success() => {}
            Ok(status) => panic!("{guide}: {status}\n{log}"),
            Err(_) => panic!("{guide} did not end within {} s\n{log}", LIMIT.as_secs()),
        }
    }

    /// One shell for all: a variable of one block is there in the next.
    fn script(&self, blocks: &[Block]) -> String {
        let mut script = String::from(PROLOGUE);
        let mut before = 0;
        for block in blocks {
            let text = self.with_free_ports(&block.text);
            let line = block.line;
            match &block.kind {
                Kind::Run => {
                    script.push_str(&format!(
                        "exec >{line}.out 2>&1\necho {line} >>order\n{text}\n"
                    ));
                    before = line;
                }
                Kind::Background(ready) => {
                    let ready = quoted(&self.with_free_ports(ready));
                    script.push_str(&format!(
                        "echo {line} >>order\n{{ {text} }} >{line}.out 2>&1 &\nready {line} $! {ready}\n"
                    ));
                    before = line;
                }
                Kind::Output => {
                    for wanted in text.lines().filter(|line| !line.trim().is_empty()) {
                        let wanted = quoted(wanted.trim());
                        script.push_str(&format!("printed {before} {wanted}\n"));
                    }
                }
                Kind::Read => {}
            }
        }
        script
    }
}

/// What is started ends with the shell. Each background block is a process group of its
/// own (`set -m`), with all that it started itself.
const PROLOGUE: &str = r#"set -euo pipefail
set -m
ended() {
    for group in $(jobs -p); do kill -TERM -- "-$group" 2>/dev/null || true; done
    wait
}
trap ended EXIT
ready() {
    for _ in $(seq 600); do
        if grep -qF -- "$3" "$1.out"; then return 0; fi
        if ! kill -0 "$2" 2>/dev/null; then echo "it ended before it printed: $3" >>"$1.out"; return 1; fi
        sleep 0.1
    done
    echo "it never printed: $3" >>"$1.out"
    return 1
}
printed() {
    grep -qF -- "$2" "$1.out" || { echo "it never printed: $2" >>"$1.out"; return 1; }
}
"#;

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// All that was said, in the order of the guide.
fn said(here: &Path) -> String {
    let order = fs::read_to_string(here.join("order")).unwrap_or_default();
    let said = |line: &str| {
        let text = fs::read_to_string(here.join(format!("{line}.out"))).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        let tail = lines
            .get(lines.len().saturating_sub(30)..)
            .unwrap_or_default();
        format!("--- the block of line {line} ---\n{}", tail.join("\n"))
    };
    order.lines().map(said).collect::<Vec<_>>().join("\n")
}

/// Replaces a number, but no part of a longer one.
fn replace_number(text: &str, number: &str, by: &str) -> String {
    let mut replaced = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(number) {
        let (before, after) = (&rest[..at], &rest[at + number.len()..]);
        let is_digit = |character: Option<char>| character.is_some_and(|c| c.is_ascii_digit());
        let whole = !is_digit(before.chars().next_back()) && !is_digit(after.chars().next());
        replaced.push_str(before);
        replaced.push_str(if whole { by } else { number });
        rest = after;
    }
    replaced.push_str(rest);
    replaced
}

#[test]
fn numbers_are_replaced_as_a_whole() {
    assert_eq!(
        replace_number("8001, 18001 :8001", "8001", "2"),
        "2, 18001 :2"
    );
}
