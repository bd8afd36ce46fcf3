//! `serinus serve`: the judge.

mod calls;
mod ending;
mod entry;
pub mod file;
mod log;
mod wasm_plugins;
mod webhooks;

use crate::files::plugin;
use axum::Router;
use calls::{CallOptions, Calls};
use entry::{Entry, EntryOptions};
use serinus_judge::access::{Peers, on_change};
use serinus_judge::api::{self, Admission, Door, Guard, Source};
use serinus_judge::cluster::{Member, Role};
use serinus_judge::domain::plan::Terms;
use serinus_judge::kubernetes::Judges;
use serinus_judge::service::{Delivery, Service, Settings, wall_clock};
use serinus_judge::store::{Location, Postgres, Shared, Sqlite, Store, StoreError};
use serinus_judge::xds;
use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use wasm_plugins::WasmPluginOptions;

#[derive(Debug, clap::Args)]
pub struct Serve {
    /// Read options from this file too, as TOML: `listen = "127.0.0.1:8090"`. What flags or
    /// the environment say comes before
    #[arg(long, env = "SERINUS_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where to listen; port 0 picks a free one
    #[arg(
        long,
        env = "SERINUS_LISTEN",
        default_value = "127.0.0.1:8090",
        value_name = "ADDRESS"
    )]
    listen: SocketAddr,
    /// The database: a file, which is made when missing, or
    /// postgres://user:password@host:port/database
    // Text, because an error of clap's repeats the value, and with it the password.
    #[arg(
        long,
        env = "SERINUS_STORE",
        hide_env_values = true,
        default_value = "serinus.sqlite",
        value_name = "FILE|URL"
    )]
    store: String,
    /// Where the other judges of the same PostgreSQL reach this one, as a URL
    /// [default: the address it listens on]
    #[arg(long, env = "SERINUS_ADVERTISE", value_name = "URL")]
    advertise: Option<String>,
    /// The folder of the model descriptions that rollouts name
    #[arg(
        long,
        env = "SERINUS_MODELS",
        default_value = ".",
        value_name = "FOLDER"
    )]
    models: PathBuf,
    /// How often each worker reports; thousands of workers are asked to do it less often
    #[arg(
        long,
        env = "SERINUS_REPORT_INTERVAL_MS",
        default_value_t = 1_000,
        value_parser = clap::value_parser!(u32).range(100..=600_000)
    )]
    report_interval_ms: u32,
    /// Percent of users that stay out of every rollout: they get the baseline, so
    /// that all that was released can be compared with nothing released
    #[arg(long, env = "SERINUS_HOLDOUT_PERCENT", default_value_t = 0.0, value_parser = percent)]
    holdout_percent: f64,
    /// Give plans out by ECDS too, on the same port: a file that says what proxies have
    /// where, as JSON {"wasm": "/path/of/serinus_filter.wasm", "configuration": {"judge": {"cluster": "judge"}}}
    #[arg(long, env = "SERINUS_XDS_PLUGIN", value_name = "FILE")]
    xds_plugin: Option<PathBuf>,
    /// Give out metrics (GET /metrics) on this address too, where nobody is asked for a
    /// token; they are on the other port in any case, for viewers
    #[arg(long, env = "SERINUS_METRICS_LISTEN", value_name = "ADDRESS")]
    metrics_listen: Option<SocketAddr>,
    /// How to say what happens, on standard error
    #[arg(long, env = "SERINUS_LOG_FORMAT", value_enum, default_value = "text")]
    log_format: log::Format,
    /// A file that says who is told of decisions, as a JSON list:
    /// [{"name": "mlflow", "url": "http://...", "events": ["promoted"], "secret_file": "secret"}]
    #[arg(long, env = "SERINUS_WEBHOOKS", value_name = "FILE")]
    webhooks: Option<PathBuf>,
    #[command(flatten, next_help_heading = "Whom it calls")]
    calls: CallOptions,
    #[command(flatten, next_help_heading = "Kubernetes")]
    wasm_plugins: WasmPluginOptions,
    #[command(flatten, next_help_heading = "Who gets in")]
    entry: EntryOptions,
}

fn percent(text: &str) -> Result<f64, String> {
    let percent = text.parse::<f64>().map_err(|error| error.to_string())?;
    if (0.0..=100.0).contains(&percent) {
        Ok(percent)
    } else {
        Err("0 to 100 is right".to_owned())
    }
}

impl Serve {
    pub fn run(self) -> Result<(), String> {
        one_inference_thread();
        let runtime =
            tokio::runtime::Runtime::new().map_err(|error| format!("failed to start: {error}"))?;
        // What sends traces needs the runtime, and sends the last ones while it is there.
        // Dropped in the other order.
        let _entered = runtime.enter();
        let _traces = log::start(self.log_format)?;
        runtime.block_on(judge(self))
    }
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

async fn judge(serve: Serve) -> Result<(), String> {
    let entry = serve.entry.open(serve.listen, serve.metrics_listen)?;
    if !serve.models.is_dir() {
        return Err(format!(
            "--models: there is no folder {}",
            serve.models.display()
        ));
    }
    let plugin = match &serve.xds_plugin {
        None => None,
        Some(path) => Some(plugin("--xds-plugin", path).map_err(|error| error.to_string())?),
    };
    let webhooks = match &serve.webhooks {
        None => Vec::new(),
        Some(path) => webhooks::open(path).map_err(|error| error.to_string())?,
    };
    let Calls {
        web,
        prometheus,
        gate_secret,
    } = serve.calls.open()?;
    let wasm_plugins = serve.wasm_plugins.open()?;
    let location: Location = serve
        .store
        .parse()
        .map_err(|problem| format!("--store: {problem}"))?;
    let settings = Settings {
        models: serve.models,
        prometheus,
        web,
        gate_secret,
        webhooks,
        terms: Terms {
            report_interval_ms: serve.report_interval_ms,
            most_samples: u32::MAX,
            // Checked to be 0 to 100.
            holdout_buckets: (serve.holdout_percent * 100.0).round() as u16,
        },
        evaluation_interval: Duration::from_millis(250),
    };
    let listener = TcpListener::bind(serve.listen)
        .await
        .map_err(|error| format!("failed to listen on {}: {error}", serve.listen))?;
    let address = listener.local_addr().map_err(|error| error.to_string())?;
    // Only now: who cannot listen leaves no database behind.
    let opened = open(&location).await?;
    let delivery = Arc::new(Delivery::empty());
    let unread = |error: StoreError| format!("failed to read {location}: {error}");
    let joined = match opened {
        Opened::Alone(store) => {
            let plans = Arc::clone(&delivery);
            let service = Service::start(settings, store, None, plans, wall_clock).await;
            alone(service.map_err(unread)?, &entry)
        }
        Opened::Shared(shared) => {
            let own = serve
                .advertise
                .unwrap_or_else(|| format!("{}://{address}", entry.scheme()));
            let secret = shared.secret().await.map_err(unread)?;
            let plans = Arc::clone(&delivery);
            let join = |own| Member::join(settings, shared, plans, own, wall_clock);
            one_of_several(join, secret, own, &entry)?
        }
    };
    let Joined {
        mut router,
        source,
        admission,
        judges,
    } = joined;
    wasm_plugins.write(&delivery, &judges);
    if let Some(plugin) = plugin {
        tracing::info!(filter = plugin.filter, "plans go out by ECDS too");
        let plans = Arc::clone(&delivery);
        router = router.merge(xds::server::router(plans, wall_clock, plugin));
    }
    let admission = Arc::new(admission);
    if let Some(at) = serve.metrics_listen {
        let router = api::metrics_router(
            source.clone(),
            Arc::clone(&admission),
            entry.metrics_hosts.clone(),
        );
        show_metrics(at, router).await?;
    }
    // A pipe that nobody reads is no reason to stop.
    let mut said = std::io::stdout();
    let _ = writeln!(
        said,
        "serinus judge listening on {}://{address}",
        entry.scheme()
    );
    let _ = said.flush();
    let guard = Guard::new(router, admission);
    let door = Door::new(listener, entry.tls.clone());
    tokio::spawn(on_change(entry.files(), move || entry.again()));
    let asked = ending::asked(Arc::clone(&delivery));
    let served = api::serve(door, guard, asked);
    let member = match source {
        Source::Alone(_) => None,
        Source::Member(member) => Some(member),
    };
    ending::serve(served, delivery, member).await;
    Ok(())
}

/// A judge, alone or among several.
struct Joined {
    router: Router,
    source: Source,
    admission: Admission,
    /// Whether it is the one that judges.
    judges: Judges,
}

fn alone(service: Arc<Service>, entry: &Entry) -> Joined {
    Joined {
        router: api::router(Arc::clone(&service)),
        source: Source::Alone(service),
        admission: entry.admission(None, wall_clock),
        judges: Arc::new(|| true),
    }
}

/// `own` is where the others reach it, and `secret` what they know each other by.
fn one_of_several(
    join: impl FnOnce(String) -> Arc<Member>,
    secret: Vec<u8>,
    own: String,
    entry: &Entry,
) -> Result<Joined, String> {
    let peers = Arc::new(Peers::new(secret));
    let colleagues = entry.colleagues(Arc::clone(&peers), &own)?;
    let member = join(own);
    tokio::spawn(Arc::clone(&member).run());
    let known = Arc::clone(&member);
    Ok(Joined {
        router: api::member_router(Arc::clone(&member), colleagues),
        source: Source::Member(member),
        admission: entry.admission(Some(peers), wall_clock),
        judges: Arc::new(move || matches!(known.role(), Some(Role::Leader(_)))),
    })
}

/// Until the judge ends, and with it all that it answers.
async fn show_metrics(at: SocketAddr, router: Router) -> Result<(), String> {
    let failed = |error| format!("--metrics-listen: failed to listen on {at}: {error}");
    let listener = TcpListener::bind(at).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    tracing::info!(%address, "metrics are given out, to whoever asks");
    let door = Door::new(listener, None);
    tokio::spawn(api::serve(door, router, std::future::pending()));
    Ok(())
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
