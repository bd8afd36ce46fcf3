//! `serinus`: the judge, and the tools around it.

use axum::serve::ListenerExt;
use clap::{Parser, Subcommand};
use serinus_judge::domain::plan::Terms;
use serinus_judge::replay::{self, Replayed};
use serinus_judge::service::{Service, Settings, wall_clock};
use serinus_judge::store::{Location, Postgres, Shared, Sqlite, Store};
use serinus_judge::{api, simulate};
use std::io::{IsTerminal, Read, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;

/// Reports are many small lists, made on one thread and freed together: glibc's allocator
/// takes a third of a report's time for them.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[derive(Parser)]
#[command(
    name = "serinus",
    version,
    about = "Canary releases for machine-learning models, decided by evidence"
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the judge
    Serve(Serve),
    /// Judge a stored decision again: exit code 0 when the verdict is the same
    Replay {
        /// A decision as GET /v1/rollouts/{id}/decisions/{sequence} gives it, or all of
        /// a rollout as GET /v1/rollouts/{id}/chain does
        bundle: PathBuf,
    },
    /// Say how long each step of a rollout will take, and what will be caught
    Simulate(Simulate),
}

#[derive(clap::Args)]
struct Simulate {
    /// A rollout as POST /v1/rollouts takes it; - reads standard input
    spec: PathBuf,
    /// Of all arms together; otherwise the spec's expected.requests_per_minute
    #[arg(long)]
    requests_per_minute: Option<f64>,
    /// Control's share of requests that fail [default: the spec's, or 0.01]
    #[arg(long)]
    error_rate: Option<f64>,
    /// Different users a day [default: the spec's, or each request is a user's own]
    #[arg(long)]
    users_per_day: Option<f64>,
    /// How many times as often a bad version fails
    #[arg(long, default_value_t = 2.0)]
    ratio: f64,
    /// Simulated releases of each kind
    #[arg(long, default_value_t = 300)]
    runs: u32,
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Write JSON instead of a table
    #[arg(long)]
    json: bool,
}

#[derive(clap::Args)]
struct Serve {
    /// Where to listen; port 0 picks a free one
    #[arg(long, default_value = "127.0.0.1:8090")]
    listen: SocketAddr,
    /// The database: a file, which is made when missing, or
    /// postgres://user:password@host:port/database
    // Text, because an error of clap's repeats the value, and with it the password.
    #[arg(long, default_value = "serinus.sqlite")]
    store: String,
    /// The folder of the model descriptions that rollouts name
    #[arg(long, default_value = ".")]
    models: PathBuf,
    /// How often each worker reports; thousands of workers are asked to do it less often
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(100..=600_000))]
    report_interval_ms: u32,
    /// Percent of users that stay out of every rollout: they get the baseline, so
    /// that all that was released can be compared with nothing released
    #[arg(long, default_value_t = 0.0, value_parser = percent)]
    holdout_percent: f64,
    /// Listen on an address that other machines reach, though the API has no
    /// authentication yet
    #[arg(long)]
    allow_remote: bool,
}

fn percent(text: &str) -> Result<f64, String> {
    let percent = text.parse::<f64>().map_err(|error| error.to_string())?;
    if (0.0..=100.0).contains(&percent) {
        Ok(percent)
    } else {
        Err("0 to 100 is right".to_owned())
    }
}

fn main() -> ExitCode {
    let command = Cli::parse().command;
    let result = match command {
        Command::Serve(serve) => {
            one_inference_thread();
            run(serve)
        }
        Command::Replay { bundle } => replayed(&bundle),
        Command::Simulate(simulate) => simulated(&simulate),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("serinus: {problem}");
            ExitCode::FAILURE
        }
    }
}

fn simulated(asked: &Simulate) -> Result<(), String> {
    let path = &asked.spec;
    let read = if path.as_os_str() == "-" {
        let mut bytes = Vec::new();
        std::io::stdin().read_to_end(&mut bytes).map(|_| bytes)
    } else {
        std::fs::read(path)
    };
    let spec = read.map_err(|error| format!("failed to read {}: {error}", path.display()))?;
    let beside = simulate::Asked {
        requests_per_minute: asked.requests_per_minute,
        error_rate: asked.error_rate,
        users_per_day: asked.users_per_day,
        ratio: asked.ratio,
        runs: asked.runs,
        seed: asked.seed,
    };
    let found = simulate::simulate(&spec, &beside).map_err(|error| error.to_string())?;
    if asked.json {
        let text = serde_json::to_string_pretty(&found).map_err(|error| error.to_string())?;
        println!("{text}");
    } else {
        print!("{found}");
    }
    Ok(())
}

/// candle otherwise reads /proc/cpuinfo at every matrix product, which costs more
/// than the products of small models; and the judge infers on one thread anyway.
fn one_inference_thread() {
    if std::env::var_os("RAYON_NUM_THREADS").is_none() {
        // SAFETY: called before any thread is started.
        #[allow(unsafe_code)]
        unsafe {
            std::env::set_var("RAYON_NUM_THREADS", "1");
        }
    }
}

fn run(serve: Serve) -> Result<(), String> {
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        // Colours are for a terminal, and not for a file.
        .with_ansi(std::io::stderr().is_terminal())
        .with_env_filter(
            tracing_subscriber::EnvFilter::try_from_default_env()
                .unwrap_or_else(|_| "info,sqlx=warn".into()),
        )
        .init();
    if !serve.listen.ip().is_loopback() && !serve.allow_remote {
        return Err(format!(
            "{} can be reached from other machines, and the API has no authentication yet; use 127.0.0.1, or --allow-remote",
            serve.listen
        ));
    }
    let runtime =
        tokio::runtime::Runtime::new().map_err(|error| format!("failed to start: {error}"))?;
    runtime.block_on(judge(serve))
}

async fn judge(serve: Serve) -> Result<(), String> {
    if !serve.models.is_dir() {
        return Err(format!(
            "--models: there is no folder {}",
            serve.models.display()
        ));
    }
    let location: Location = serve
        .store
        .parse()
        .map_err(|problem| format!("--store: {problem}"))?;
    let opened = open(&location).await?;
    let settings = Settings {
        models: serve.models,
        terms: Terms {
            report_interval_ms: serve.report_interval_ms,
            // Checked to be 0 to 100.
            holdout_buckets: (serve.holdout_percent * 100.0).round() as u16,
        },
        evaluation_interval: Duration::from_millis(250),
    };
    let listener = TcpListener::bind(serve.listen)
        .await
        .map_err(|error| format!("failed to listen on {}: {error}", serve.listen))?;
    let address = listener.local_addr().map_err(|error| error.to_string())?;
    let store: Arc<dyn Store> = match opened {
        Opened::Alone(store) => store,
        Opened::Shared(shared) => {
            hold_lease(&shared, &format!("http://{address}")).await?;
            shared
        }
    };
    let service = Service::start(settings, store, wall_clock)
        .await
        .map_err(|error| format!("failed to read {location}: {error}"))?;
    println!("serinus judge listening on http://{address}");
    // A pipe that nobody reads is no reason to stop.
    let _ = std::io::stdout().flush();
    // Nothing to drain: whatever was acknowledged is on disk, and workers resend
    // the rest. So a signal ends the judge at once, long polls and all.
    // A plan's last packet is not to wait for anything.
    let listener = listener.tap_io(|connection| {
        if let Err(error) = connection.set_nodelay(true) {
            tracing::debug!(%error, "a connection stays with Nagle's algorithm");
        }
    });
    // A router that is no make service would be made anew for each connection, which is
    // 10 KB for each of thousands of polls.
    let router = api::router(service).into_make_service();
    tokio::select! {
        served = axum::serve(listener, router) => served.map_err(|error| format!("failed to serve: {error}")),
        () = asked_to_stop() => Ok(()),
    }
}

enum Opened {
    /// A file is for one judge.
    Alone(Arc<dyn Store>),
    Shared(Arc<dyn Shared>),
}

async fn open(location: &Location) -> Result<Opened, String> {
    let failed = |error| format!("failed to open {location}: {error}");
    Ok(match location {
        Location::File(path) => Opened::Alone(Arc::new(Sqlite::open(path).await.map_err(failed)?)),
        Location::Postgres(url) => {
            Opened::Shared(Arc::new(Postgres::open(url).await.map_err(failed)?))
        }
    })
}

/// Waits until no other judge has the database, and keeps it.
async fn hold_lease(shared: &Arc<dyn Shared>, address: &str) -> Result<(), String> {
    const RENEW_EVERY: Duration = Duration::from_secs(1);
    while !shared
        .take_lease(address)
        .await
        .map_err(|error| error.to_string())?
    {
        let _ = shared.news().await;
    }
    let shared = Arc::clone(shared);
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(RENEW_EVERY).await;
            if let Ok(false) = shared.renew().await {
                tracing::error!("another judge has taken over: this one ends");
                std::process::exit(70);
            }
        }
    });
    Ok(())
}

async fn asked_to_stop() {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut terminate) = signal(SignalKind::terminate()) else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminate.recv() => {}
    }
}

fn replayed(path: &PathBuf) -> Result<(), String> {
    let bytes = std::fs::read(path)
        .map_err(|error| format!("failed to read {}: {error}", path.display()))?;
    let found = replay::replay(&bytes).map_err(|error| format!("{}: {error}", path.display()))?;
    match found {
        Replayed::One(sealed) => {
            let decision = &sealed.decision;
            println!(
                "same verdict: {:?} of rollout {} (decision {}, hash {})",
                decision.deed, decision.rollout, decision.sequence, sealed.hash
            );
            for reason in &decision.reasons {
                println!("  {reason}");
            }
        }
        Replayed::Chain {
            decisions,
            replayed,
            last_hash,
        } => println!(
            "{decisions} decisions follow from each other, and the {replayed} of the judge are what it would decide again; the last has hash {last_hash}"
        ),
    }
    Ok(())
}
