//! An open-loop load of real digit images: requests leave at their time, whether
//! or not earlier ones were answered, as users do.

mod connections;
mod outcome;

use crate::digits::Image;
use crate::failure::Result;
use crate::random::Random;
use axum::body::Bytes;
use connections::Connections;
use serde_json::json;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

pub use outcome::{Answer, Arm, Outcome, Versions};

/// The model's name in URLs.
pub const MODEL: &str = "digits";
pub const USER_HEADER: &str = "x-user-id";

/// Between two looks at the clock: at 1,000 requests a second, one request each.
const TICK: Duration = Duration::from_millis(1);

/// After a stall the load catches up by at most so many requests a tick: a burst
/// of a whole second's worth would be the lab's own incident.
const CATCH_UP: u64 = 20;

/// Longer than the route's timeout, so that Envoy's word comes first.
const CLIENT_TIMEOUT: Duration = Duration::from_secs(10);

/// Outcomes that are kept, the newest: a quarter of an hour at 1,000 a second.
const KEPT: usize = 1_000_000;

#[derive(Debug, Clone)]
pub struct Settings {
    /// `http://127.0.0.1:PORT`
    pub address: String,
    pub requests_per_second: u32,
    /// Users 0 to `users` - 1, each as likely as the other.
    pub users: u32,
    /// Decides who sends which image when.
    pub seed: u64,
}

/// The key of a user, as it goes over the wire.
#[must_use]
pub fn user_key(user: u32) -> String {
    format!("user-{user:05}")
}

/// Dropping it ends the load.
pub struct Load {
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

struct Shared {
    connections: Connections,
    bodies: Vec<Bytes>,
    versions: Versions,
    /// The host that requests ask for.
    host: Mutex<String>,
    record: Mutex<Record>,
}

#[derive(Default)]
struct Record {
    outcomes: Vec<Outcome>,
    /// Outcomes before the first that is kept.
    forgotten: usize,
}

impl Load {
    /// # Errors
    /// When the address is none.
    pub fn start(settings: &Settings, versions: Versions, images: &[Image]) -> Result<Self> {
        let shared = Arc::new(Shared {
            connections: Connections::to(&settings.address)?,
            bodies: images.iter().map(request_body).collect(),
            versions,
            host: Mutex::new("localhost".to_owned()),
            record: Mutex::new(Record::default()),
        });
        let task = tokio::spawn(send_all(Arc::clone(&shared), settings.clone()));
        Ok(Self { shared, task })
    }

    /// From now on requests ask for this host.
    pub fn set_host(&self, host: &str) {
        host.clone_into(&mut lock(&self.shared.host));
    }

    /// Outcomes until now.
    #[must_use]
    pub fn count(&self) -> usize {
        let record = lock(&self.shared.record);
        record.forgotten + record.outcomes.len()
    }

    /// The outcomes from number `start` on, in the order in which they came.
    #[must_use]
    pub fn outcomes_from(&self, start: usize) -> Vec<Outcome> {
        let record = lock(&self.shared.record);
        let skipped = start.saturating_sub(record.forgotten);
        record.outcomes.get(skipped..).unwrap_or_default().to_vec()
    }

    /// Sends no more; what is under way still comes in.
    pub fn stop(&self) {
        self.task.abort();
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Milliseconds since 1970, as in the model servers' bookkeeping.
#[must_use]
pub fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    u64::try_from(since.unwrap_or_default().as_millis()).unwrap_or(u64::MAX)
}

/// One image by the Open Inference Protocol, version 2.
#[must_use]
pub fn request_body(image: &Image) -> Bytes {
    json!({
        "inputs": [{
            "name": "image", "shape": [1, image.pixels.len()], "datatype": "FP32",
            "data": image.pixels,
        }]
    })
    .to_string()
    .into()
}

async fn send_all(shared: Arc<Shared>, settings: Settings) {
    let mut random = Random::new(settings.seed);
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let start = Instant::now();
    let mut sent: u64 = 0;
    let images = shared.bodies.len() as u64;
    loop {
        ticks.tick().await;
        let due = (start.elapsed().as_secs_f64() * f64::from(settings.requests_per_second)) as u64;
        for _ in 0..(due - sent).min(CATCH_UP) {
            let user = random.below(u64::from(settings.users)) as u32;
            let image = random.below(images) as u16;
            tokio::spawn(send_one(Arc::clone(&shared), user, image));
            sent += 1;
        }
    }
}

async fn send_one(shared: Arc<Shared>, user: u32, image: u16) {
    let host = lock(&shared.host).clone();
    let body = shared.bodies.get(usize::from(image)).cloned();
    let request = request(&host, &user_key(user), &body.unwrap_or_default());
    let sent_ms = now_ms();
    let start = Instant::now();
    let response = timeout(CLIENT_TIMEOUT, shared.connections.exchange(&request)).await;
    let answer = match response {
        Ok(Ok(response)) => Answer::read(&response, &shared.versions),
        Ok(Err(_)) | Err(_) => Answer::Nothing,
    };
    let latency_us = u32::try_from(start.elapsed().as_micros()).unwrap_or(u32::MAX);
    let mut record = lock(&shared.record);
    record.outcomes.push(Outcome {
        sent_ms,
        latency_us,
        user,
        image,
        answer,
    });
    if record.outcomes.len() >= 2 * KEPT {
        record.outcomes.drain(..KEPT);
        record.forgotten += KEPT;
    }
}

fn request(host: &str, user: &str, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "POST /v2/models/{MODEL}/infer HTTP/1.1\r\nhost: {host}\r\ncontent-type: application/json\r\n{USER_HEADER}: {user}\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

/// A holder that panicked has left plain values behind, all of them whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
