//! The peer: an endpoint that reads the same bytes on the same core, and keeps nothing of
//! them. What a report costs above that is what the judge does with it.

use crate::cores::Cores;
use crate::load::{CONNECTIONS, Load, Sequences};
use axum::Router;
use axum::body::Bytes;
use axum::routing::post;
use serinus_tests::failure::{During, Result};
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::TcpListener;
use tokio::process::Command;

/// The argument that has this program serve it.
pub const SERVE: &str = "serve-bare";

/// Serves until it is killed, and says where.
pub async fn serve() -> Result<()> {
    let router = Router::new().route("/v1/reports", post(async |_: Bytes| "{}"));
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("{}", listener.local_addr()?.port());
    axum::serve(listener, router).await?;
    Ok(())
}

/// Requests a second.
pub async fn measure(cores: &Cores, length: Duration) -> Result<f64> {
    let mut server = Command::new("taskset")
        .args(["-c", &cores.judge])
        .arg(std::env::current_exe()?)
        .arg(SERVE)
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .during("start the bare endpoint")?;
    let output = server.stdout.take().ok_or("the bare endpoint is mute")?;
    let port = BufReader::new(output).lines().next_line().await?;
    let load = Load {
        port: port.ok_or("the bare endpoint has ended")?.parse()?,
        rollouts: vec![("model-000".to_owned(), 1)],
        sessions: 10_000,
        connections: CONNECTIONS,
        users: 1_000_000,
        rate: None,
    };
    Ok(load.run(length, &Sequences::default()).await?.per_second())
}
