//! `serinus serve`: the judge.

mod wasm_plugins;

use crate::files::plugin;
use axum::ServiceExt;
use axum::extract::Request;
use axum::serve::ListenerExt;
use serinus_judge::api::{self, Guard};
use serinus_judge::cluster::{Member, Role};
use serinus_judge::domain::plan::Terms;
use serinus_judge::kubernetes::Judges;
use serinus_judge::service::{Delivery, Service, Settings, wall_clock};
use serinus_judge::store::{Location, Postgres, Shared, Sqlite, Store};
use serinus_judge::xds;
use std::io::{IsTerminal, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use wasm_plugins::WasmPluginOptions;

#[derive(clap::Args)]
pub struct Serve {
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
    #[command(flatten)]
    wasm_plugins: WasmPluginOptions,
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

impl Serve {
    pub fn run(self) -> Result<(), String> {
        one_inference_thread();
        tracing_subscriber::fmt()
            .with_writer(std::io::stderr)
            // Colours are for a terminal, and not for a file.
            .with_ansi(std::io::stderr().is_terminal())
            .with_env_filter(
                tracing_subscriber::EnvFilter::try_from_default_env()
                    .unwrap_or_else(|_| "info,sqlx=warn".into()),
            )
            .init();
        if !self.listen.ip().is_loopback() && !self.allow_remote {
            return Err(format!(
                "{} can be reached from other machines, and the API has no authentication yet; use 127.0.0.1, or --allow-remote",
                self.listen
            ));
        }
        let runtime =
            tokio::runtime::Runtime::new().map_err(|error| format!("failed to start: {error}"))?;
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
    let wasm_plugins = serve.wasm_plugins.open()?;
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
    let judges: Judges;
    let (mut router, member) = match opened {
        Opened::Alone(store) => {
            let service = Service::start(settings, store, None, delivery, wall_clock)
                .await
                .map_err(|error| format!("failed to read {location}: {error}"))?;
            judges = Arc::new(|| true);
            (api::router(service), None)
        }
        Opened::Shared(shared) => {
            let own = serve
                .advertise
                .unwrap_or_else(|| format!("http://{address}"));
            let member = Member::join(settings, shared, delivery, own, wall_clock);
            tokio::spawn(Arc::clone(&member).run());
            let own = Arc::clone(&member);
            judges = Arc::new(move || matches!(own.role(), Some(Role::Leader(_))));
            (api::member_router(Arc::clone(&member)), Some(member))
        }
    };
    wasm_plugins.write(&plans, &judges);
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
    // What is no make service would be made anew for each connection, which is 10 KB for
    // each of thousands of polls.
    let router = ServiceExt::<Request>::into_make_service(Guard(router));
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
