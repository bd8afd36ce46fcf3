//! Workers that wait for the next plan, each on a connection of its own.

use crate::http::Connection;
use crate::report::mix;
use serinus_tests::failure::Result;
use serinus_tests::wait;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{Duration, Instant};

const LIMIT: Duration = Duration::from_secs(60);

/// As long as the judge holds a poll at most.
const WAIT_S: u64 = 30;

pub struct Pollers {
    count: usize,
    seen: Rc<Seen>,
    tasks: Vec<tokio::task::JoinHandle<()>>,
}

#[derive(Default)]
struct Seen {
    /// The newest counter of a revision that any of them got.
    newest: Cell<u64>,
    /// How many have it, and when the last of them got it.
    have_it: Cell<usize>,
    last: Cell<Option<Instant>>,
    failed: RefCell<Option<String>>,
}

impl Pollers {
    /// Connects them, and returns when each has a plan.
    pub async fn start(port: u16, count: usize) -> Result<Self> {
        let seen = Rc::new(Seen::default());
        let mut tasks = Vec::new();
        for number in 0..count {
            let connection = Connection::open(port).await?;
            let seen = Rc::clone(&seen);
            tasks.push(tokio::task::spawn_local(async move {
                if let Err(error) = poll(connection, number as u64, &seen).await {
                    *seen.failed.borrow_mut() = Some(error.to_string());
                }
            }));
        }
        let pollers = Self { count, seen, tasks };
        if count > 0 {
            pollers.all_have(1).await?;
        }
        Ok(pollers)
    }

    pub fn newest(&self) -> u64 {
        self.seen.newest.get()
    }

    /// When the last one got a plan of at least this counter, all having the same.
    pub async fn all_have(&self, counter: u64) -> Result<Instant> {
        wait::until("all pollers to have the plan", LIMIT, async || {
            if let Some(error) = self.seen.failed.borrow().as_ref() {
                return Err(format!("a poller failed: {error}").into());
            }
            let all = self.newest() >= counter && self.seen.have_it.get() == self.count;
            Ok(self.seen.last.get().filter(|_| all))
        })
        .await
    }
}

impl Drop for Pollers {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

async fn poll(mut connection: Connection, number: u64, seen: &Seen) -> Result<()> {
    let mut revision = "0.0".to_owned();
    loop {
        let request = format!(
            "GET /v1/plan?revision={revision}&wait={WAIT_S}&session={:016x}{number:016x} HTTP/1.1\r\nhost: judge\r\nx-serinus-node: node-{number}\r\n\r\n",
            mix(number)
        );
        let answer = connection.ask(request.as_bytes()).await?;
        let now = Instant::now();
        match answer.status {
            200 => {
                let (generation, counter) =
                    revision_of(connection.body(&answer)).ok_or("a plan has no revision")?;
                revision = format!("{generation}.{counter}");
                if counter > seen.newest.get() {
                    seen.newest.set(counter);
                    seen.have_it.set(0);
                }
                if counter == seen.newest.get() {
                    seen.have_it.set(seen.have_it.get() + 1);
                    seen.last.set(Some(now));
                }
                connection.shrink();
            }
            204 => {}
            other => return Err(format!("a poll was answered {other}").into()),
        }
    }
}

/// From the plan's first bytes, so that 10,000 plans need not be parsed.
fn revision_of(plan: &[u8]) -> Option<(u64, u64)> {
    let text = std::str::from_utf8(plan.get(..120.min(plan.len()))?).ok()?;
    let number = |name: &str| -> Option<u64> {
        let rest = text.split_once(&format!("\"{name}\":"))?.1;
        let end = rest.find(|c: char| !c.is_ascii_digit())?;
        rest[..end].parse().ok()
    };
    Some((number("generation")?, number("counter")?))
}
