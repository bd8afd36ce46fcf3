//! A real model behind the Open Inference Protocol, with faults on demand.
//!
//! It stands for the model servers (Triton, MLServer, KServe) of an installation:
//! it runs the artefact with candle, and can be told to fail, to be slow, or to
//! answer quickly, with 200 and wrong. When it is ready it prints one line:
//!
//! ```text
//! model-server listening on http://127.0.0.1:PORT
//! ```

mod faults;
mod lab;
mod ledger;
mod open_inference;
mod server;

use std::error::Error;
use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

use axum::serve::ListenerExt;
use clap::Parser;
use tokio::net::TcpListener;

use faults::{Fault, Faults};
use server::{Config, Server};

/// Serves one model by the Open Inference Protocol.
#[derive(Parser)]
#[command(name = "model-server")]
struct Flags {
    /// The model's description: a JSON file beside its weights.
    #[arg(long)]
    model: PathBuf,
    /// The model's name in URLs; versions of one model share it.
    #[arg(long, default_value = "digits")]
    name: String,
    /// The version in URLs and answers.
    #[arg(long, default_value = "v1")]
    version: String,
    /// Where to listen; port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// The median time that an answer takes, in milliseconds.
    #[arg(long, default_value_t = 0.0)]
    latency_ms: f64,
    /// The sigma of the lognormal latency: at 0.3, 1 in 100 takes twice the median.
    #[arg(long, default_value_t = 0.3)]
    latency_spread: f64,
    /// The share of requests that fail, half with 500 and half with 503.
    #[arg(long, default_value_t = 0.0)]
    error_rate: f64,
    /// What is wrong with the answers.
    #[arg(long, value_enum, default_value_t = Fault::None)]
    fault: Fault,
    /// The header that names the user, for the bookkeeping under /lab.
    #[arg(long, default_value = "x-user-id")]
    unit_header: String,
    /// Decides errors and latencies: one seed and one order of requests, one outcome.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

fn main() -> ExitCode {
    let flags = Flags::parse();
    restart_with_one_thread();
    match start(flags) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("model-server: failed to start: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Starts this program again, as the same process, with `RAYON_NUM_THREADS` set.
///
/// Without that variable candle 0.11 reads /proc/cpuinfo at every product of two
/// matrices, which is two thirds of all the time that a small network takes. A
/// program cannot safely set a variable of its own, and who starts it should not
/// need to know. If it cannot be started again it goes on as it is, only slower.
fn restart_with_one_thread() {
    const THREADS: &str = "RAYON_NUM_THREADS";
    if std::env::var_os(THREADS).is_none()
        && let Ok(program) = std::env::current_exe()
    {
        let _ = Command::new(program)
            .args(std::env::args_os().skip(1))
            .env(THREADS, "1")
            .exec();
    }
}

// One thread is enough for a small network, and leaves the other cores to Envoy
// and to the load, which the lab measures.
#[tokio::main(flavor = "current_thread")]
async fn start(flags: Flags) -> Result<(), Box<dyn Error>> {
    let server = Server::new(Config {
        model: serinus_judge::inference::load(&flags.model)?,
        name: flags.name,
        version: flags.version,
        unit_header: flags.unit_header.parse()?,
        faults: Faults {
            error_rate: flags.error_rate,
            latency_ms: flags.latency_ms,
            latency_spread: flags.latency_spread,
            fault: flags.fault,
        },
        seed: flags.seed,
    })?;
    let listener = TcpListener::bind(flags.listen).await?;
    println!(
        "model-server listening on http://{}",
        listener.local_addr()?
    );
    // Without this, a small answer can wait 40 ms for the client's acknowledgement.
    let listener = listener.tap_io(|stream| {
        let _ = stream.set_nodelay(true);
    });
    axum::serve(listener, server.router()).await?;
    Ok(())
}
