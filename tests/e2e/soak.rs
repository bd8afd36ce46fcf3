//! Traffic of every kind under plans that change all the time: memory settles, no VM
//! traps, no request fails, and every request that was counted has an end.
//!
//! `make soak` runs the long one and writes `target/bench/soak.json`.

use crate::malformed::nonsense;
use crate::wire::answer::Answer;
use crate::wire::fake_judge::{FakeJudge, Mood};
use crate::wire::http1::{self, chunked};
use crate::wire::{Wire, http2, options};
use crate::world::{LIMIT, turn};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hyper::Method;
use serde_json::{Value, json};
use serinus_tests::artefacts;
use serinus_tests::envoy::{Edit, Envoy};
use serinus_tests::failure::{During, Result};
use serinus_tests::load::USER_HEADER;
use serinus_tests::random::Random;
use serinus_tests::wait;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;
use tokio::io::AsyncWriteExt;
use tokio::task::JoinSet;

const SEED: u64 = 0x5e71_7005;

/// Users that send requests: more than a worker remembers of one epoch.
const USERS: u64 = 300_000;

/// Each has a connection, or one after the other.
const HTTP1_CLIENTS: u64 = 8;
const HTTP2_CLIENTS: u64 = 2;

/// Once in so many changes of the plan the plugin configuration changes too, twice.
const CONFIGURATION_EVERY: u64 = 25;

/// A machine that stands still for some seconds is no failure of the filter's. But there
/// is an end: the copy of a request that is never answered outlives its client.
const PATIENCE: [Edit; 2] = [
    (
        "cluster: canary\n                            timeout: 5s\n",
        "cluster: canary\n                            timeout: 30s\n",
    ),
    (
        "cluster: control\n                            timeout: 5s\n",
        "cluster: control\n                            timeout: 30s\n",
    ),
];

struct Soak {
    requests: u64,
    plan_changes: u64,
    /// What the median of the last third may have over that of the middle third.
    tolerated_share: f64,
    tolerated_mib: f64,
}

#[derive(Default)]
struct Counts {
    begun: AtomicU64,
    failed: AtomicU64,
    /// By Envoy, for what is no HTTP.
    refused: AtomicU64,
    /// By the client.
    given_up: AtomicU64,
}

#[derive(Debug, PartialEq, Eq)]
enum End {
    Answered,
    Refused,
    GivenUp,
}

/// A part of `make test`: a leak of 2.5 KB a request would show.
#[tokio::test(flavor = "multi_thread")]
async fn memory_settles() {
    let soak = Soak {
        requests: 24_000,
        plan_changes: 60,
        tolerated_share: 0.05,
        tolerated_mib: 12.0,
    };
    soak.run().await;
}

/// A leak of 40 bytes a request would show, or of 40 KB a plan.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes minutes; `make soak` runs it"]
async fn memory_settles_over_a_million_requests() {
    let soak = Soak {
        requests: 1_000_000,
        plan_changes: 1_000,
        tolerated_share: 0.03,
        tolerated_mib: 8.0,
    };
    let figures = soak.run().await;
    let path = artefacts::root().join("target/bench/soak.json");
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(
        &path,
        serde_json::to_string_pretty(&figures).unwrap() + "\n",
    )
    .unwrap();
    println!("written to target/bench/soak.json");
}

impl Soak {
    async fn run(&self) -> Value {
        let _turn = turn().await;
        let edits = [options::ALL.as_slice(), &PATIENCE].concat();
        let wire = Wire::without_judge(&edits).await;
        let judge = FakeJudge::start(wire.judge.port(), Mood::Well(plan(1))).await;
        judge.polled(2).await.unwrap();
        let wasm = artefacts::wasm().unwrap();
        let counts = Arc::new(Counts::default());
        let started = Instant::now();
        let mut clients = self.clients(&wire, &counts);
        let mut sizes = vec![size_mib(&wire.envoy).unwrap()];
        let mut configuration_changes = 0;
        for change in 1..=self.plan_changes {
            let due = self.requests * change / self.plan_changes;
            wait::until("requests to be sent", LIMIT, async || {
                Ok((counts.begun.load(Ordering::Relaxed) >= due).then_some(()))
            })
            .await
            .unwrap();
            judge.become_so(Mood::Well(plan(change + 1)));
            if change % CONFIGURATION_EVERY == 0 {
                for disabled in [true, false] {
                    wire.envoy.set_disabled(disabled, &wasm).await.unwrap();
                    configuration_changes += 1;
                }
            }
            // The heads of requests are kept for tests that look at them.
            wire.control.take_seen();
            wire.canary.take_seen();
            sizes.push(size_mib(&wire.envoy).unwrap());
            if change % self.plan_changes.div_ceil(20) == 0 {
                let failed = counts.failed.load(Ordering::Relaxed);
                let size = sizes[sizes.len() - 1];
                let seconds = started.elapsed().as_secs();
                println!(
                    "soak: {due} requests, {change} plans, {seconds} s, {size:.1} MiB, {failed} failed"
                );
            }
        }
        while let Some(client) = clients.join_next().await {
            client.unwrap();
        }
        let seconds = started.elapsed().as_secs_f64();
        let exposures = all_end(&judge).await;
        let third = sizes.len() / 3;
        let middle = median(&sizes[third..2 * third]);
        let end = median(&sizes[2 * third..]);
        let failed = counts.failed.load(Ordering::Relaxed);
        let complaints = wire.complaints().unwrap();
        let figures = json!({
            "requests": self.requests,
            "plan_changes": self.plan_changes,
            "configuration_changes": configuration_changes,
            "seconds": seconds.round(),
            "rss_start_mb": tenths(sizes[0]),
            "rss_middle_mb": tenths(middle),
            "rss_end_mb": tenths(end),
            "rss_most_mb": tenths(sizes.iter().copied().fold(0.0, f64::max)),
            "traps": complaints.len(),
            "failed_requests": failed,
            "refused_requests": counts.refused.load(Ordering::Relaxed),
            "requests_given_up": counts.given_up.load(Ordering::Relaxed),
            "randomised_requests": exposures,
        });
        println!("soak: {figures}");
        wire.vms_live().await.unwrap();
        assert_eq!(complaints, [""; 0]);
        assert_eq!(failed, 0);
        assert!(exposures > self.requests / 3, "most were in a rollout");
        let most = middle * (1.0 + self.tolerated_share) + self.tolerated_mib;
        assert!(end <= most, "memory grows: {sizes:.1?}");
        figures
    }

    fn clients(&self, wire: &Wire, counts: &Arc<Counts>) -> JoinSet<()> {
        println!("seed {SEED:#x}");
        let mut clients = JoinSet::new();
        for number in 0..HTTP1_CLIENTS + HTTP2_CLIENTS {
            let client = Client {
                address: wire.envoy.address().to_owned(),
                random: Random::new(SEED + number),
                http1: None,
                http2: None,
                speaks_http2: number >= HTTP1_CLIENTS,
            };
            clients.spawn(client.run(Arc::clone(counts), self.requests));
        }
        clients
    }
}

/// Waits until every request that was counted has been counted out; how many they are.
async fn all_end(judge: &FakeJudge) -> u64 {
    let mut sums = (0, 0);
    let ended = wait::until("all requests to end", LIMIT, async || {
        sums = (0, 0);
        let reports = judge.acknowledged();
        let parts = reports.iter().flat_map(|report| &report.rollouts);
        for arm in parts.flat_map(|part| &part.arms) {
            sums.0 += arm.slots.iter().map(|slot| slot.1).sum::<u64>();
            sums.1 += arm.slots.iter().map(|slot| slot.2).sum::<u64>();
            sums.1 += arm.local_replies + arm.disconnects;
        }
        Ok((sums.0 == sums.1).then_some(()))
    });
    ended
        .await
        .unwrap_or_else(|error| panic!("{error}: {sums:?}"));
    sums.0
}

/// All of Envoy: its heap, V8, and the linear memories of the VMs.
pub fn size_mib(envoy: &Envoy) -> Result<f64> {
    let id = envoy.process().id().ok_or("Envoy has ended")?;
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).during("read a size")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().next());
    let kib: f64 = kib.ok_or("no VmRSS")?.parse()?;
    Ok(kib / 1024.0)
}

pub fn median(numbers: &[f64]) -> f64 {
    let mut sorted = numbers.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[sorted.len() / 2]
}

pub fn tenths(number: f64) -> f64 {
    (number * 10.0).round() / 10.0
}

// === the plans ===

/// Rollouts of every kind, with other weights and epochs each time.
fn plan(counter: u64) -> Value {
    let canary = counter * 37 % 101 * 100;
    let halves = |canary: u64| {
        let ranges = [
            (0, 10_000 - canary, "control"),
            (10_000 - canary, 10_000, "canary"),
        ];
        let ranges = ranges.into_iter().filter(|(from, to, _)| from < to);
        let ranges = ranges.map(|(from, to, arm)| json!({"from": from, "to": to, "arm": arm}));
        ranges.collect::<Vec<_>>()
    };
    let rollout = |id: &str, path: &str, more: Value| {
        let mut rollout = json!({
            "id": id, "epoch": counter, "match": {"path_prefix": path},
            "unit": [{"header": USER_HEADER}], "salt": id,
            "identity_key": "000102030405060708090a0b0c0d0e0f",
            "arms": ["control", "canary"], "baseline": "control",
            "allocation": halves(canary),
            "latency_edges_us": [500, 1_000, 2_000, 5_000, 20_000],
        });
        for (name, value) in more.as_object().unwrap() {
            rollout[name] = value.clone();
        }
        rollout
    };
    let gold = json!([
        {"name": "gold", "when": [{"header": "x-card", "in": ["gold"]}], "allocation": halves(5_000)},
        {"name": "staff", "when": [{"header": "x-card", "regex": "st[af]+"}], "arm": "canary"},
    ]);
    json!({
        "version": 1,
        "revision": {"generation": 1, "counter": counter},
        "report_interval_ms": 500,
        "holdout": {"salt": "holdout", "buckets": 100},
        "rollouts": [
            rollout("users", "/u", json!({
                "segments": gold,
                "breaker": {"minimum_requests": 50, "error_share": 0.5, "window_ms": 1_000},
                "sampling": {"share": 0.1, "per_second": 50, "max_body_bytes": 10_000},
            })),
            rollout("bodies", "/b", json!({
                "unit": [{"body": "/user/id"}],
                "segments": [{"name": "large", "when": [{"body": "/amount", "at_least": 900}],
                    "arm": "canary"}],
                "max_held_body_bytes": 4_000,
            })),
            rollout("cookies", "/c", json!({
                "unit": [{"cookie": "uid"}, {"issue_cookie": {"name": "serinus"}}],
            })),
            rollout("queries", "/q", json!({
                "unit": [{"query": "uid"}, {"jwt_claim": "sub"}],
                "layer": {"salt": "layer", "from": 0, "to": 5_000},
            })),
            rollout("others", "/q", json!({
                "unit": [{"query": "uid"}, {"jwt_claim": "sub"}],
                "layer": {"salt": "layer", "from": 5_000, "to": 10_000},
            })),
            rollout("shadowed", "/s", json!({"shadow": {"cluster": "shadow", "share": 0.5}})),
            // Rollouts come and go.
            rollout(&format!("guest-{}", counter % 20), "/r", json!({})),
        ],
    })
}

// === the clients ===

struct Client {
    address: String,
    random: Random,
    http1: Option<http1::Client>,
    http2: Option<http2::Client>,
    speaks_http2: bool,
}

/// A well-formed request, and the status that it is to have.
struct Wanted {
    method: Method,
    path: String,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
    status: u16,
}

impl Client {
    async fn run(mut self, counts: Arc<Counts>, requests: u64) {
        while counts.begun.fetch_add(1, Ordering::Relaxed) < requests {
            let end = if self.speaks_http2 {
                self.over_http2().await
            } else {
                self.over_http1().await
            };
            let count = match end {
                Ok(End::Answered) => continue,
                Ok(End::Refused) => &counts.refused,
                Ok(End::GivenUp) => &counts.given_up,
                Err(error) => {
                    eprintln!("soak: {error}");
                    &counts.failed
                }
            };
            count.fetch_add(1, Ordering::Relaxed);
            if !self.speaks_http2 {
                self.http1 = None;
            }
        }
    }

    async fn over_http1(&mut self) -> Result<End> {
        let mut client = match self.http1.take() {
            Some(client) => client,
            None => http1::Client::connect(&self.address).await?,
        };
        let kind = self.random.below(100);
        if kind < 4 {
            client.send(&nonsense(&mut self.random)).await?;
            match client.answer().await {
                Ok(answer) if answer.status == 200 => {}
                // Envoy closes, and maybe in the middle of what is sent.
                _ => return Ok(End::Refused),
            }
            self.http1 = Some(client);
            return Ok(End::Answered);
        }
        let mut wanted = self.wanted();
        if kind < 6 {
            wanted.headers.push(("x-answer", "never".to_owned()));
        }
        let chunks = !wanted.body.is_empty() && kind.is_multiple_of(2);
        let mut bytes = wanted.head(chunks);
        if chunks {
            let pieces: Vec<&[u8]> = wanted.body.chunks(700).collect();
            bytes.extend(chunked(&pieces, ""));
        } else {
            bytes.extend(&wanted.body);
        }
        if kind == 6 {
            // In the middle of the body, if there is one, or of a header.
            bytes.truncate(bytes.len() - 1);
        }
        client.send(&bytes).await?;
        if (4..=6).contains(&kind) {
            // Until Envoy has hung up too: else those who give up pile up there, and
            // its size is that of the pile.
            client.stream.shutdown().await?;
            client.rest().await?;
            return Ok(End::GivenUp);
        }
        let answer = client.answer().await?;
        wanted.check(&answer)?;
        self.http1 = Some(client);
        Ok(End::Answered)
    }

    async fn over_http2(&mut self) -> Result<End> {
        let client = match &mut self.http2 {
            Some(client) => client,
            none => none.insert(http2::Client::connect(&self.address).await?),
        };
        let mut wanted = wanted(&mut self.random);
        let kind = self.random.below(100);
        if kind < 3 {
            wanted.headers.push(("x-answer", "never".to_owned()));
        }
        let headers = wanted.headers.iter();
        let headers: Vec<_> = headers
            .map(|(name, value)| (*name, value.as_str()))
            .collect();
        let request = http2::request(wanted.method.clone(), &wanted.path, &headers);
        if kind < 3 {
            let mut exchange = client.begin(request, false).await?;
            exchange.sending.send(&wanted.body, false).await?;
            exchange.sending.reset();
            return Ok(End::GivenUp);
        }
        let answer = client.ask(request, &wanted.body).await?;
        wanted.check(&answer)?;
        Ok(End::Answered)
    }

    fn wanted(&mut self) -> Wanted {
        wanted(&mut self.random)
    }
}

fn wanted(random: &mut Random) -> Wanted {
    let user = format!("user-{}", random.below(USERS));
    let mut wanted = Wanted {
        method: Method::GET,
        path: "/u".to_owned(),
        headers: Vec::new(),
        body: Vec::new(),
        status: 200,
    };
    match random.below(100) {
        0..=37 => {
            wanted.headers.push((USER_HEADER, user));
            let cards = ["gold", "staff", "silver", "none"];
            let card = cards[random.below(4) as usize];
            wanted.headers.push(("x-card", card.to_owned()));
        }
        38..=61 => {
            wanted.method = Method::POST;
            wanted.path = "/b/infer".to_owned();
            let padding = "x".repeat(random.below(4_500) as usize);
            let amount = random.below(1_000);
            let body = json!({"padding": padding, "user": {"id": user}, "amount": amount});
            wanted.body = body.to_string().into_bytes();
            if random.below(10) == 0 {
                wanted.body.truncate(wanted.body.len() / 2);
            }
        }
        62..=69 => wanted.path = "/c".to_owned(),
        70..=77 => {
            wanted.path = "/c".to_owned();
            let unit = u128::from(random.below(USERS)) << 64 | 7;
            wanted
                .headers
                .push(("cookie", format!("a=b; serinus={unit:032x}")));
        }
        78..=82 => wanted.path = format!("/q?a=b&uid=%75{user}"),
        83..=87 => {
            wanted.path = "/q".to_owned();
            let claims = URL_SAFE_NO_PAD.encode(json!({"sub": user}).to_string());
            wanted
                .headers
                .push(("authorization", format!("Bearer e30.{claims}.x")));
        }
        88..=91 => {
            wanted.path = "/s".to_owned();
            wanted.headers.push((USER_HEADER, user));
        }
        92..=95 => {
            wanted.path = "/r".to_owned();
            wanted.headers.push((USER_HEADER, user));
        }
        96..=97 => wanted.path = "/nowhere".to_owned(),
        _ => {
            wanted.headers.push((USER_HEADER, user));
            wanted.headers.push(("x-answer-status", "500".to_owned()));
            wanted.status = 500;
        }
    }
    wanted
}

impl Wanted {
    fn head(&self, chunks: bool) -> Vec<u8> {
        let mut head = format!(
            "{} {} HTTP/1.1\r\nhost: models.example\r\n",
            self.method, self.path
        );
        for (name, value) in &self.headers {
            head += &format!("{name}: {value}\r\n");
        }
        if chunks {
            head += "transfer-encoding: chunked\r\n";
        } else if !self.body.is_empty() {
            head += &format!("content-length: {}\r\n", self.body.len());
        }
        head += "\r\n";
        head.into_bytes()
    }

    fn check(&self, answer: &Answer) -> Result<()> {
        if answer.status != self.status || answer.arm().is_none() || answer.body != self.body {
            return Err(format!("{} {}: {answer:?}", self.method, self.path).into());
        }
        Ok(())
    }
}
