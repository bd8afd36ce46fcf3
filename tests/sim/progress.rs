//! What is being simulated, and how long it will take.

use std::io::Write as _;
use std::ops::Range;
use std::time::Instant;

/// Runs between two lines.
const CHUNK: u64 = 200;

pub struct Progress(Instant);

impl Progress {
    pub fn start() -> Self {
        Self(Instant::now())
    }

    pub fn seconds(&self) -> f64 {
        self.0.elapsed().as_secs_f64()
    }

    /// All runs of one thing, some at a time.
    pub fn runs<T>(&self, what: &str, runs: u64, some: impl Fn(Range<u64>) -> Vec<T>) -> Vec<T> {
        let started = Instant::now();
        let mut all = Vec::new();
        let mut done = 0;
        while done < runs {
            let end = (done + CHUNK).min(runs);
            all.extend(some(done..end));
            done = end;
            let spent = started.elapsed().as_secs_f64();
            let left = spent * (runs - done) as f64 / done as f64;
            eprint!(
                "\rsim: {:4.0} s  {what}: {done} of {runs} runs, {left:.0} s left\x1b[K",
                self.seconds()
            );
            // Progress that cannot be shown is no failure.
            let _ = std::io::stderr().flush();
        }
        eprintln!();
        all
    }
}
