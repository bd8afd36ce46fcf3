//! Servers that say who they are.

use axum::extract::State;
use axum::http::HeaderMap;
use axum::{Json, Router};
use serde_json::{Value, json};
use serinus_tests::envoy::Envoy;
use serinus_tests::ports;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::net::TcpListener;

#[derive(Clone)]
pub struct Backend {
    port: u16,
    asked: Arc<AtomicUsize>,
}

#[derive(Clone)]
struct Who {
    name: &'static str,
    asked: Arc<AtomicUsize>,
}

impl Backend {
    pub async fn start(name: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let asked = Arc::new(AtomicUsize::new(0));
        let who = Who {
            name,
            asked: Arc::clone(&asked),
        };
        let router = Router::new().fallback(answer).with_state(who);
        tokio::spawn(async { axum::serve(listener, router).await.unwrap() });
        Self { port, asked }
    }

    /// Another proxy in its place.
    pub fn that_is(envoy: &Envoy) -> Self {
        Self {
            port: ports::of(envoy.address()).unwrap(),
            asked: Arc::default(),
        }
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }
}

async fn answer(State(who): State<Who>, headers: HeaderMap) -> Json<Value> {
    who.asked.fetch_add(1, Ordering::Relaxed);
    let arm = headers.get("x-serinus-arm");
    let arm = arm.map(|arm| arm.to_str().unwrap());
    Json(json!({"name": who.name, "arm": arm}))
}
