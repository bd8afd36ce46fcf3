//! Workers that report: sessions shared out over connections, each of which sends one
//! report after another.

use crate::http::Connection;
use crate::report::{Template, UNITS};
use serinus_tests::failure::Result;
use serinus_tests::random::Random;
use std::cell::RefCell;
use std::rc::Rc;
use std::time::{Duration, Instant};

/// Reports that are under way at once at most. Workers have a connection each, so in a
/// fleet that reports without a pause there are more.
pub const CONNECTIONS: u64 = 1_024;

pub struct Load {
    pub port: u16,
    pub rollouts: Vec<(String, u64)>,
    pub sessions: u64,
    pub connections: u64,
    /// Users of all rollouts together.
    pub users: u64,
    /// Reports a second in all; otherwise as many as the judge takes.
    pub rate: Option<f64>,
}

/// What came of a load.
#[derive(Default)]
pub struct Outcome {
    pub acknowledged: u64,
    /// 429 and 503: sent again, as a worker does.
    pub postponed: u64,
    /// Answer times in microseconds; with a rate, from when the report was due.
    pub times_us: Vec<u32>,
    pub seconds: f64,
}

/// Numbers that sessions have come to; they go on through several loads.
#[derive(Clone, Default)]
pub struct Sequences(Rc<RefCell<Vec<u32>>>);

impl Sequences {
    fn next(&self, session: u64) -> u32 {
        let mut all = self.0.borrow_mut();
        let index = session as usize;
        if all.len() <= index {
            all.resize(index + 1, 0);
        }
        all[index] += 1;
        all[index]
    }
}

impl Load {
    /// Runs for this long.
    pub async fn run(&self, length: Duration, sequences: &Sequences) -> Result<Outcome> {
        let outcome = Rc::new(RefCell::new(Outcome::default()));
        // Making one takes milliseconds: all connections share them.
        let templates = self.rollouts.iter();
        let templates: Vec<Template> = templates
            .map(|(id, epoch)| Template::new(id, *epoch, false))
            .collect();
        let templates = Rc::new(RefCell::new(templates));
        let mut connections = Vec::new();
        for _ in 0..self.connections {
            connections.push(Connection::open(self.port).await?);
        }
        let start = Instant::now();
        let mut running = Vec::new();
        for (connection, number) in connections.into_iter().zip(0..) {
            let sender = Sender {
                connection,
                templates: Rc::clone(&templates),
                number,
                load: LoadPart {
                    sessions: self.sessions,
                    connections: self.connections,
                    users: self.users,
                    every: self
                        .rate
                        .map(|rate| Duration::from_secs_f64(self.connections as f64 / rate)),
                },
                sequences: sequences.clone(),
                outcome: Rc::clone(&outcome),
            };
            running.push(tokio::task::spawn_local(sender.run(start, start + length)));
        }
        for sender in running {
            sender.await??;
        }
        let mut outcome = outcome.replace(Outcome::default());
        outcome.seconds = start.elapsed().as_secs_f64();
        outcome.times_us.sort_unstable();
        Ok(outcome)
    }
}

impl Outcome {
    pub fn per_second(&self) -> f64 {
        self.acknowledged as f64 / self.seconds
    }

    pub fn quantile_ms(&self, share: f64) -> f64 {
        let last = self.times_us.len().saturating_sub(1);
        let place = (share * last as f64).round() as usize;
        self.times_us
            .get(place)
            .map_or(f64::NAN, |&micros| f64::from(micros) / 1_000.0)
    }
}

struct LoadPart {
    sessions: u64,
    connections: u64,
    users: u64,
    every: Option<Duration>,
}

struct Sender {
    connection: Connection,
    templates: Rc<RefCell<Vec<Template>>>,
    number: u64,
    load: LoadPart,
    sequences: Sequences,
    outcome: Rc<RefCell<Outcome>>,
}

impl Sender {
    async fn run(mut self, start: Instant, end: Instant) -> Result<()> {
        // Each connection has the sessions `number`, `number + connections` and so on.
        let own = (self.load.sessions / self.load.connections).max(1);
        let rollouts = self.templates.borrow().len() as u64;
        let mut report = Vec::new();
        let mut random = Random::new(self.number);
        let mut due = start;
        if let Some(every) = self.load.every {
            due += every.mul_f64(self.number as f64 / self.load.connections as f64);
        }
        for turn in 0u64.. {
            if let Some(every) = self.load.every {
                tokio::time::sleep_until(due.into()).await;
                due += every;
            }
            let now = Instant::now();
            if now >= end {
                return Ok(());
            }
            let began = if self.load.every.is_some() {
                due - self.load.every.unwrap_or_default()
            } else {
                now
            };
            let session = self.number + (turn % own) * self.load.connections;
            let rollout = (session + turn) % rollouts;
            let sequence = self.sequences.next(session);
            let per_rollout = self.load.users / rollouts;
            report.clear();
            {
                let mut templates = self.templates.borrow_mut();
                let template = &mut templates[rollout as usize];
                report.extend_from_slice(template.write(session, sequence, || {
                    rollout * per_rollout + random.below(per_rollout)
                }));
            }
            loop {
                let answer = self.connection.ask(&report).await?;
                match answer.status {
                    200 => break,
                    429 | 503 => {
                        self.outcome.borrow_mut().postponed += 1;
                        tokio::time::sleep(Duration::from_millis(100)).await;
                    }
                    other => {
                        let body =
                            String::from_utf8_lossy(self.connection.body(&answer)).into_owned();
                        return Err(format!(
                            "a report of {UNITS} users was answered {other}: {body}"
                        )
                        .into());
                    }
                }
            }
            let mut outcome = self.outcome.borrow_mut();
            outcome.acknowledged += 1;
            let took = began.elapsed().as_micros();
            outcome
                .times_us
                .push(u32::try_from(took).unwrap_or(u32::MAX));
        }
        Ok(())
    }
}
