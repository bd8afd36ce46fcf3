//! `serinus`: the judge, and the tools around it.

use axum::serve::ListenerExt;
use clap::{Parser, Subcommand, ValueEnum};
use serinus_core::json::FieldError;
use serinus_judge::cluster::Member;
use serinus_judge::domain::plan::Terms;
use serinus_judge::hand_out::{Form, HandOut};
use serinus_judge::replay::{self, Replayed};
use serinus_judge::service::{Delivery, Service, Settings, wall_clock};
use serinus_judge::store::{Location, Postgres, Shared, Sqlite, Store};
use serinus_judge::xds::{self, Plugin};
use serinus_judge::{api, simulate};
use std::io::{IsTerminal, Read, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
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
    /// Write the plan that is out for an Envoy that gets its configuration by hand
    Plan(PlanCommand),
}

#[derive(clap::Args)]
struct PlanCommand {
    /// Where the judge is
    #[arg(long, default_value = "http://127.0.0.1:8090")]
    judge: String,
    /// What to write
    #[arg(long = "as", value_enum)]
    form: PlanForm,
    /// For plugin-configuration: the filter's settings, to which the plan is added. JSON
    /// as in envoy/serinus.yaml [default: {"judge": {"cluster": "judge"}}]
    #[arg(long)]
    settings: Option<PathBuf>,
    /// For ecds: what proxies have where, JSON as for serve --xds-plugin
    #[arg(long)]
    plugin: Option<PathBuf>,
    /// The file to replace, by renaming a new one over it [default: standard output]
    #[arg(long)]
    output: Option<PathBuf>,
    /// Go on with each new plan; a judge that is away leaves the file as it is
    #[arg(long)]
    watch: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum PlanForm {
    /// The filter's plugin configuration
    PluginConfiguration,
    /// A file for Envoy's path_config_source
    Ecds,
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
    /// Where the other judges of the same PostgreSQL reach this one, as a URL
    /// [default: the address it listens on]
    #[arg(long)]
    advertise: Option<String>,
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
    /// Give plans out by ECDS too, on the same port: what proxies have where, as JSON
    /// {"wasm": "/path/of/serinus_filter.wasm", "configuration": {"judge": {"cluster": "judge"}}}
    #[arg(long)]
    xds_plugin: Option<PathBuf>,
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
        Command::Plan(plan) => handed_out(plan),
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

fn handed_out(asked: PlanCommand) -> Result<(), String> {
    if asked.watch && asked.output.is_none() {
        return Err("--watch: needs --output, the file to replace".to_owned());
    }
    let form = match (asked.form, asked.settings, asked.plugin) {
        (PlanForm::PluginConfiguration, settings, None) => {
            let settings = match settings {
                None => xds::settings(br#"{"judge": {"cluster": "judge"}}"#)
                    .map_err(|error| error.to_string())?,
                Some(path) => xds::settings(&read("--settings", &path)?)
                    .map_err(|error| within("--settings", &path, error))?,
            };
            Form::PluginConfiguration(settings)
        }
        (PlanForm::Ecds, None, Some(path)) => Form::Ecds(plugin("--plugin", &path)?),
        (PlanForm::Ecds, None, None) => {
            return Err("--plugin: is missing; --as ecds needs it".to_owned());
        }
        (PlanForm::PluginConfiguration, _, Some(_)) => {
            return Err("--plugin: is for --as ecds; --settings is right here".to_owned());
        }
        (PlanForm::Ecds, Some(_), _) => {
            return Err(
                "--settings: is for --as plugin-configuration; --plugin has them here".to_owned(),
            );
        }
    };
    let hand_out = HandOut {
        judge: asked.judge,
        form,
        output: asked.output,
        watch: asked.watch,
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("failed to start: {error}"))?;
    runtime.block_on(hand_out.run())
}

fn plugin(option: &str, path: &Path) -> Result<Plugin, String> {
    Plugin::read(&read(option, path)?).map_err(|error| within(option, path, error))
}

fn read(option: &str, path: &Path) -> Result<Vec<u8>, String> {
    std::fs::read(path)
        .map_err(|error| format!("{option}: failed to read {}: {error}", path.display()))
}

fn within(option: &str, path: &Path, error: FieldError) -> String {
    format!("{option}: {}: {error}", path.display())
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
    let plugin = match &serve.xds_plugin {
        None => None,
        Some(path) => Some(plugin("--xds-plugin", path)?),
    };
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
    let delivery = Arc::new(Delivery::empty());
    let plans = Arc::clone(&delivery);
    let (mut router, member) = match opened {
        Opened::Alone(store) => {
            let service = Service::start(settings, store, None, delivery, wall_clock)
                .await
                .map_err(|error| format!("failed to read {location}: {error}"))?;
            (api::router(service), None)
        }
        Opened::Shared(shared) => {
            let own = serve
                .advertise
                .unwrap_or_else(|| format!("http://{address}"));
            let member = Member::join(settings, shared, delivery, own, wall_clock);
            tokio::spawn(Arc::clone(&member).run());
            (api::member_router(Arc::clone(&member)), Some(member))
        }
    };
    if let Some(plugin) = plugin {
        tracing::info!(filter = plugin.filter, "plans go out by ECDS too");
        router = router.merge(xds::server::router(plans, wall_clock, plugin));
    }
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
    let router = router.into_make_service();
    let served = tokio::select! {
        served = axum::serve(listener, router) => served.map_err(|error| format!("failed to serve: {error}")),
        () = asked_to_stop() => Ok(()),
    };
    if let Some(member) = member {
        member.give_up().await;
    }
    served
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
