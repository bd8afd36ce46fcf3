//! As much of a judge as the filter needs: one plan, and thanks for each report.

use serde_json::{Value, json};
use serinus_tests::failure::{During, Result};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::load::USER_HEADER;
use crate::message::Message;

/// Returns its port.
pub async fn start() -> Result<u16> {
    let listener = TcpListener::bind("127.0.0.1:0")
        .await
        .during("listen as the judge")?;
    let port = listener.local_addr()?.port();
    let plan = plan().to_string();
    tokio::spawn(async move {
        while let Ok((connection, _)) = listener.accept().await {
            tokio::spawn(serve(connection, plan.clone()));
        }
    });
    Ok(port)
}

/// One rollout as a user has it: half of the users in each arm, five thresholds of
/// latency, the breaker on, reports every second.
pub fn plan() -> Value {
    json!({
        "version": 1,
        "revision": {"generation": 1, "counter": 1},
        "report_interval_ms": 1_000,
        "rollouts": [{
            "id": "digits", "epoch": 1,
            "match": {"path_prefix": "/v2/models/digits"},
            "unit": [{"header": USER_HEADER}],
            "salt": "salt", "identity_key": "000102030405060708090a0b0c0d0e0f",
            "arms": ["control", "canary"], "baseline": "control",
            "allocation": [
                {"from": 0, "to": 5_000, "arm": "control"},
                {"from": 5_000, "to": 10_000, "arm": "canary"},
            ],
            "latency_edges_us": [1_000, 2_000, 5_000, 10_000, 50_000],
            "breaker": {"minimum_requests": 50, "error_share": 0.1, "window_ms": 10_000},
        }],
    })
}

async fn serve(mut connection: TcpStream, plan: String) {
    let mut buffer = Vec::new();
    loop {
        while let Some(message) = Message::first(&buffer) {
            let head = String::from_utf8_lossy(&buffer).into_owned();
            buffer.drain(..message.size);
            let answer = if head.starts_with("GET") && head.contains("revision=0.0") {
                format!(
                    "HTTP/1.1 200 OK\r\nx-serinus-judge: bench\r\ncontent-length: {}\r\n\r\n{plan}",
                    plan.len()
                )
            } else if head.starts_with("GET") {
                // Nothing newer: held for ever, as a judge holds it for its wait.
                std::future::pending().await
            } else {
                "HTTP/1.1 200 OK\r\nx-serinus-judge: bench\r\ncontent-length: 2\r\n\r\n{}"
                    .to_owned()
            };
            if connection.write_all(answer.as_bytes()).await.is_err() {
                return;
            }
        }
        match connection.read_buf(&mut buffer).await {
            Ok(size) if size > 0 => {}
            _ => return,
        }
    }
}
