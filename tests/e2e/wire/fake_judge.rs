//! A judge that can be told to be slow, mad or silent, in the place of the real one.

use super::{ID, arm_names};
use crate::world::{LIMIT, canary_after};
use serde_json::{Value, json};
use serinus_core::report::Report;
use serinus_tests::failure::Result;
use serinus_tests::load::USER_HEADER;
use serinus_tests::wait;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinHandle;

/// Dropping it closes the port.
pub struct FakeJudge {
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

#[derive(Clone)]
pub enum Mood {
    /// As a judge should be: the plan, and acknowledgements.
    Well(Value),
    /// The same, byte by byte, and the last when the test says so.
    Slow(Value),
    /// These bytes, and the connection is closed: to every report, and to the first
    /// poll of each thread. There is nothing new for later polls, which ends the
    /// pauses that grow with each failure.
    Says(Vec<u8>),
    /// Listens and says nothing.
    Silent,
}

struct Shared {
    now: Mutex<Now>,
    /// Tells those who wait that the mood changed.
    changes: watch::Sender<()>,
    last_bytes: Semaphore,
    /// Every report that came, acknowledged or not.
    reports: Mutex<Vec<Report>>,
    /// Sessions and sequences of those that were acknowledged.
    acknowledged: Mutex<BTreeSet<(String, u64)>>,
}

struct Now {
    mood: Mood,
    /// Polls in this mood, by session.
    polls: BTreeMap<String, u32>,
}

/// The plan that a real judge would make of [`super::spec`] at half.
///
/// `canary_percents` are the steps until now.
pub fn plan(counter: u64, epoch: u64, canary_percents: &[u16]) -> Value {
    let ranges = canary_after(canary_percents);
    let ranges = ranges.ranges().iter();
    let ranges = ranges
        .map(|range| json!({"from": range.from, "to": range.to, "arm": arm_names()[range.arm]}));
    json!({
        "version": 1,
        "revision": {"generation": 1, "counter": counter},
        "report_interval_ms": 100,
        "rollouts": [{
            "id": ID,
            "epoch": epoch,
            "match": {"path_prefix": "/"},
            "unit": [{"header": USER_HEADER}],
            "salt": ID,
            "identity_key": "0123456789abcdef0123456789abcdef",
            "arms": arm_names(),
            "baseline": arm_names()[0],
            "allocation": ranges.collect::<Vec<_>>(),
        }],
    })
}

/// A judge with no plan.
pub fn says_nothing_new() -> Mood {
    Mood::Says(nothing_new())
}

/// An answer in a judge's name.
pub fn says(status: &str, body: &[u8]) -> Mood {
    let head = format!(
        "HTTP/1.1 {status}\r\nx-serinus-judge: 1\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n",
        body.len()
    );
    Mood::Says([head.as_bytes(), body].concat())
}

// === impl FakeJudge ===

impl FakeJudge {
    pub async fn start(port: u16, mood: Mood) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", port)).await.unwrap();
        let shared = Arc::new(Shared {
            now: Mutex::new(Now {
                mood,
                polls: BTreeMap::new(),
            }),
            changes: watch::Sender::default(),
            last_bytes: Semaphore::new(0),
            reports: Mutex::default(),
            acknowledged: Mutex::default(),
        });
        let task = tokio::spawn(listen(listener, Arc::clone(&shared)));
        Self { shared, task }
    }

    pub fn become_so(&self, mood: Mood) {
        let mut now = self.shared.now.lock().unwrap();
        *now = Now {
            mood,
            polls: BTreeMap::new(),
        };
        self.shared.changes.send_replace(());
    }

    /// Becomes so, and waits until every thread of Envoy got over an answer.
    pub async fn met(&self, mood: Mood) {
        self.become_so(mood);
        self.polled(2).await.unwrap();
    }

    /// Waits until every thread of Envoy has polled so often in this mood: the second
    /// poll says that it got over the answer to the first.
    pub async fn polled(&self, times: u32) -> Result<()> {
        let threads = super::WORKERS as usize + 1;
        wait::until("every thread to poll", LIMIT, async || {
            let polls = &self.shared.now.lock().unwrap().polls;
            let enough = polls.values().filter(|&&polls| polls >= times).count();
            Ok((enough == threads).then_some(()))
        })
        .await
    }

    /// Lets slow answers end, each by one byte.
    pub fn finish(&self) {
        self.shared.last_bytes.add_permits(1_000);
    }

    pub fn reports(&self) -> Vec<Report> {
        self.shared.reports.lock().unwrap().clone()
    }

    /// The reports that were acknowledged, each once.
    pub fn acknowledged(&self) -> Vec<Report> {
        let acknowledged = self.shared.acknowledged.lock().unwrap();
        let mut reports = BTreeMap::new();
        for report in self.reports() {
            let key = (report.session.clone(), report.sequence);
            if acknowledged.contains(&key) {
                reports.insert(key, report);
            }
        }
        reports.into_values().collect()
    }
}

impl Drop for FakeJudge {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn listen(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = tokio::task::JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        connections.spawn(serve(stream, Arc::clone(&shared)));
    }
}

async fn serve(stream: TcpStream, shared: Arc<Shared>) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut stream = BufReader::new(stream);
    let mut changes = shared.changes.subscribe();
    loop {
        let (target, body) = read(&mut stream).await?;
        if target.starts_with("/health/") {
            // Whatever else it says: what Envoy makes of a judge's health is tested with
            // real ones.
            stream.write_all(&healthy()).await?;
            continue;
        }
        let (mood, polls, report) = {
            let mut now = shared.now.lock().unwrap();
            changes.mark_unchanged();
            let session = target.split_once("session=");
            let polls = session.map(|(_, session)| {
                let polls = now.polls.entry(session.to_owned()).or_default();
                *polls += 1;
                *polls
            });
            let report = target.ends_with("/reports").then(|| {
                let report: Report = serde_json::from_slice(&body).unwrap();
                let key = (report.session.clone(), report.sequence);
                shared.reports.lock().unwrap().push(report);
                key
            });
            (now.mood.clone(), polls, report)
        };
        let acknowledge = || shared.acknowledged.lock().unwrap().extend(report);
        match mood {
            Mood::Well(plan) | Mood::Slow(plan) if knows(&target, &plan) => {
                // A poll is held until there is something new.
                let _ = changes.changed().await;
                stream.write_all(&nothing_new()).await?;
            }
            Mood::Well(plan) => {
                acknowledge();
                stream.write_all(&answer(&plan)).await?;
            }
            Mood::Slow(plan) => {
                acknowledge();
                let mut bytes = answer(&plan);
                let last = bytes.split_off(bytes.len() - 1);
                for byte in bytes {
                    stream.write_all(&[byte]).await?;
                    tokio::task::yield_now().await;
                }
                let finish = shared.last_bytes.acquire().await;
                finish.map_err(io::Error::other)?.forget();
                stream.write_all(&last).await?;
            }
            Mood::Says(_) if polls > Some(1) => stream.write_all(&nothing_new()).await?,
            Mood::Says(bytes) => {
                stream.write_all(&bytes).await?;
                return stream.shutdown().await;
            }
            Mood::Silent => {
                let _ = changes.changed().await;
                return Ok(());
            }
        }
    }
}

fn nothing_new() -> Vec<u8> {
    b"HTTP/1.1 204 No Content\r\nx-serinus-judge: 1\r\n\r\n".to_vec()
}

fn healthy() -> Vec<u8> {
    b"HTTP/1.1 200 OK\r\nx-serinus-judge: 1\r\ncontent-length: 2\r\n\r\n{}".to_vec()
}

fn answer(plan: &Value) -> Vec<u8> {
    let body = plan.to_string();
    format!(
        "HTTP/1.1 200 OK\r\nx-serinus-judge: 1\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// Whether a request is a poll of somebody who has this plan.
fn knows(target: &str, plan: &Value) -> bool {
    let revision = &plan["revision"];
    let (generation, counter) = (&revision["generation"], &revision["counter"]);
    target.contains(&format!("?revision={generation}.{counter}&"))
}

/// The target and the body of a request.
async fn read(stream: &mut BufReader<TcpStream>) -> io::Result<(String, Vec<u8>)> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if stream.read_line(&mut head).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    let target = head.split(' ').nth(1).unwrap_or_default().to_owned();
    let length = head.lines().find_map(|line| {
        let length = line.strip_prefix("content-length: ")?;
        length.parse().ok()
    });
    let mut body = vec![0; length.unwrap_or(0)];
    stream.read_exact(&mut body).await?;
    Ok((target, body))
}
