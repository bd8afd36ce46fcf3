//! A real PostgreSQL, on a port of its own.

use crate::failure::{During, Result};
use crate::{artefacts, ports};
use std::fs::{self, File};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};

/// Making a cluster takes some seconds, and installing PostgreSQL a minute.
const READY_LIMIT: Duration = Duration::from_secs(300);

/// Between two questions whether it is ready.
const LOOK: Duration = Duration::from_millis(20);

/// A server. It ends with the process that started it, however that ends.
pub struct Postgres {
    folder: tempfile::TempDir,
    programs: PathBuf,
    port: u16,
    /// Before the server's command, such as `taskset -c 1`.
    prefix: Vec<String>,
    /// Whether it may be started again, on what it had.
    keep: bool,
    server: Option<Child>,
    databases: AtomicU32,
}

/// A database of a server.
#[derive(Debug, Clone)]
pub struct Database {
    port: u16,
    name: String,
}

impl Postgres {
    /// The server of this process: each test takes a database of its own.
    ///
    /// # Errors
    /// When it cannot be installed or started.
    pub async fn shared() -> Result<&'static Self> {
        static SHARED: OnceLock<std::result::Result<Postgres, String>> = OnceLock::new();
        let started = tokio::task::spawn_blocking(|| {
            SHARED.get_or_init(|| Self::start_now(&[], false).map_err(|error| error.to_string()))
        });
        let started = started.await.during("start PostgreSQL")?;
        started.as_ref().map_err(|error| error.clone().into())
    }

    /// A server of one's own, which may be stopped and started again.
    ///
    /// # Errors
    /// When it cannot be installed or started.
    pub async fn start(prefix: &[&str]) -> Result<Self> {
        let prefix: Vec<String> = prefix.iter().map(|&word| word.to_owned()).collect();
        let started = tokio::task::spawn_blocking(move || Self::start_now(&prefix, true));
        started.await.during("start PostgreSQL")?
    }

    fn start_now(prefix: &[String], keep: bool) -> Result<Self> {
        let output = Command::new(script())
            .arg("--programs")
            .stderr(Stdio::inherit())
            .output()
            .during("run tests/postgres-server")?;
        let programs = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        if !output.status.success() {
            return Err(
                "tests/postgres-server found no PostgreSQL; what it said stands above".into(),
            );
        }
        let folder = tempfile::tempdir().during("make a folder for PostgreSQL")?;
        // The server runs as a user of its own, which must get into the folder.
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755))
            .during("open the folder for PostgreSQL")?;
        let mut server = Self {
            folder,
            programs: programs.into(),
            port: ports::free()?,
            prefix: prefix.to_vec(),
            keep,
            server: None,
            databases: AtomicU32::new(0),
        };
        server.start_again()?;
        Ok(server)
    }

    /// Starts the server on what it had, and waits until it answers.
    ///
    /// # Errors
    /// When it does not come up, with its log.
    pub fn start_again(&mut self) -> Result<()> {
        let log_path = self.folder.path().join("log");
        let log = File::options().create(true).append(true).open(&log_path);
        let log = log.during("open PostgreSQL's log")?;
        let mut command = Command::new("setpriv");
        command
            .args(["--pdeathsig", "TERM"])
            .args(&self.prefix)
            .arg(script())
            .arg(self.folder.path())
            .arg(self.port.to_string())
            .env("KEEP", if self.keep { "1" } else { "" })
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log);
        let mut child = spawn(command)?;
        let start = Instant::now();
        loop {
            if self.is_ready()? {
                self.server = Some(child);
                return Ok(());
            }
            let ended = child.try_wait().during("look after PostgreSQL")?;
            if ended.is_some() || start.elapsed() > READY_LIMIT {
                let log = fs::read_to_string(&log_path).unwrap_or_default();
                return Err(format!("PostgreSQL does not come up; its log:\n{log}").into());
            }
            std::thread::sleep(LOOK);
        }
    }

    /// Ends the server in order: clients are cut off, and what it has stays.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn stop(&mut self) -> Result<()> {
        let Some(mut server) = self.server.take() else {
            return Ok(());
        };
        let ended = Command::new("kill")
            .args(["-TERM", &server.id().to_string()])
            .status();
        ended.during("end PostgreSQL")?;
        server.wait().during("wait for PostgreSQL's end")?;
        Ok(())
    }

    /// A new and empty database.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn database(&self) -> Result<Database> {
        let number = self.databases.fetch_add(1, Ordering::Relaxed);
        let database = Database {
            port: self.port,
            name: format!("serinus_{number}"),
        };
        let made = tokio::process::Command::new(self.programs.join("createdb"))
            .args(self.client())
            .arg(&database.name)
            .output()
            .await
            .during("run createdb")?;
        if made.status.success() {
            Ok(database)
        } else {
            let said = String::from_utf8_lossy(&made.stderr);
            Err(format!("no database `{}`: {said}", database.name).into())
        }
    }

    /// Where it keeps everything.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// From now on it speaks TLS, and shows this certificate.
    ///
    /// # Errors
    /// Files that it does not take.
    pub async fn shows(&self, database: &Database, certificate: &Path, key: &Path) -> Result<()> {
        // It takes no key but its own user's.
        let data = self.folder.path().join("data");
        let given = Command::new("chown")
            .arg(format!("--reference={}", data.display()))
            .args([certificate, key])
            .status();
        given.during("give PostgreSQL its key")?;
        for (name, value) in [
            ("ssl_cert_file", certificate.display().to_string()),
            ("ssl_key_file", key.display().to_string()),
            ("ssl", "on".to_owned()),
        ] {
            let set = format!("ALTER SYSTEM SET {name} = '{value}'");
            self.run(database, &set).await?;
        }
        self.run(database, "SELECT pg_reload_conf()").await?;
        Ok(())
    }

    /// Runs SQL in a database, and returns what it prints.
    ///
    /// # Errors
    /// SQL that fails.
    pub async fn run(&self, database: &Database, sql: &str) -> Result<String> {
        let ran = tokio::process::Command::new(self.programs.join("psql"))
            .args(self.client())
            .args(["--no-align", "--tuples-only", "--set=ON_ERROR_STOP=1"])
            .args(["--dbname", &database.name, "--command", sql])
            .output()
            .await
            .during("run psql")?;
        if ran.status.success() {
            Ok(String::from_utf8_lossy(&ran.stdout).trim().to_owned())
        } else {
            let said = String::from_utf8_lossy(&ran.stderr);
            Err(format!("`{sql}` fails: {said}").into())
        }
    }

    /// Has a session run SQL in a transaction, which ends when it is released.
    ///
    /// # Errors
    /// SQL that fails.
    pub async fn hold(&self, database: &Database, sql: &str) -> Result<Held> {
        let mut session = tokio::process::Command::new(self.programs.join("psql"))
            .args(self.client())
            .args(["--quiet", "--set=ON_ERROR_STOP=1"])
            .args(["--dbname", &database.name])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .during("run psql")?;
        let mut input = session.stdin.take().ok_or("psql has no input")?;
        let output = session.stdout.take().ok_or("psql has no output")?;
        input
            .write_all(format!("BEGIN;\n{sql};\n\\echo held\n").as_bytes())
            .await?;
        let mut lines = BufReader::new(output).lines();
        while let Some(line) = lines.next_line().await? {
            if line == "held" {
                return Ok(Held { session, input });
            }
        }
        Err(format!("`{sql}` fails").into())
    }

    fn client(&self) -> [String; 3] {
        [
            "--host=127.0.0.1".to_owned(),
            format!("--port={}", self.port),
            "--username=postgres".to_owned(),
        ]
    }

    fn is_ready(&self) -> Result<bool> {
        let asked = Command::new(self.programs.join("pg_isready"))
            .args(self.client())
            .stdout(Stdio::null())
            .status();
        Ok(asked.during("run pg_isready")?.success())
    }
}

/// A session within a transaction.
#[derive(Debug)]
pub struct Held {
    session: tokio::process::Child,
    input: tokio::process::ChildStdin,
}

impl Held {
    /// Ends the session, and with it the transaction.
    ///
    /// # Errors
    /// A session that had ended before.
    pub async fn release(mut self) -> Result<()> {
        self.input.write_all(b"ROLLBACK;\n").await?;
        drop(self.input);
        let ended = self.session.wait().await?;
        if ended.success() {
            Ok(())
        } else {
            Err(format!("psql ended with {ended}").into())
        }
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        let _ = self.stop();
    }
}

impl Database {
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        ([127, 0, 0, 1], self.port).into()
    }

    /// For `serinus serve --store`.
    #[must_use]
    pub fn url(&self) -> String {
        self.url_by(self.port)
    }

    /// By way of another port, which leads here.
    #[must_use]
    pub fn url_by(&self, port: u16) -> String {
        format!("postgres://postgres@127.0.0.1:{port}/{}", self.name)
    }
}

/// Starts a program that ends with this process. The system ends it with the thread that
/// started it, so that thread stays.
fn spawn(mut command: Command) -> Result<Child> {
    let (send, started) = std::sync::mpsc::channel();
    std::thread::Builder::new()
        .name("starter".to_owned())
        .spawn(move || {
            let _ = send.send(command.spawn());
            loop {
                std::thread::park();
            }
        })
        .during("start a thread")?;
    started
        .recv()
        .during("start a program")?
        .during("start tests/postgres-server")
}

fn script() -> PathBuf {
    Path::new(&artefacts::root()).join("tests/postgres-server")
}
