//! What all parts of a storm share.

use crate::history::History;
use crate::model::Model;
use crate::network::{self, Answer, Fate};
use serinus_core::ledger::Frozen;
use serinus_core::report::Report;
use serinus_tests::failure::{During, Result};
use serinus_tests::random::Random;
use std::cell::{Cell, RefCell};

/// The rollout whose sums, decisions and epochs must all be there at the end.
pub const STEADY: &str = "steady";
/// One that comes and goes: its reports may come when it is gone.
pub const DOOMED: &str = "doomed";

/// Copies that may still come several times; the oldest go first.
const COPIES: usize = 300;

pub struct Lab {
    /// Where the judges listen.
    pub addresses: Vec<String>,
    /// Only one knows the newest plan at once.
    pub several: bool,
    pub random: RefCell<Random>,
    pub model: RefCell<Model>,
    pub history: RefCell<History>,
    pub tally: RefCell<Tally>,
    /// Copies of reports, some of them counted long ago, that still come.
    copies: RefCell<Vec<Frozen>>,
    /// What a worker had sent, and was not answered, when it ended: it may have come.
    orphans: RefCell<Vec<Frozen>>,
    pub calm: Cell<bool>,
}

/// What happened, so that a storm that was none is noticed.
#[derive(Debug, Default)]
pub struct Tally {
    pub kills: u64,
    pub freezes: u64,
    pub requests: u64,
    pub acknowledged: u64,
    pub duplicates: u64,
    pub refused: u64,
    pub postponed: u64,
    pub unanswered: u64,
    pub nonsense: u64,
    pub restarts: u64,
    pub polls: u64,
}

/// What an answer means for the report that was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Word {
    /// Counted, or refused for good: the worker goes on.
    Final,
    /// It is to be sent again.
    Later,
}

impl Lab {
    pub fn new(addresses: Vec<String>, seed: u64) -> Self {
        Self {
            several: addresses.len() > 1,
            addresses,
            random: RefCell::new(Random::new(seed)),
            model: RefCell::default(),
            history: RefCell::default(),
            tally: RefCell::default(),
            copies: RefCell::default(),
            orphans: RefCell::default(),
            calm: Cell::new(false),
        }
    }

    /// One of the judges, as a load balancer picks it.
    pub fn somewhere(&self) -> &str {
        let number = self.below(self.addresses.len() as u64);
        &self.addresses[number as usize]
    }

    pub fn below(&self, end: u64) -> u64 {
        self.random.borrow_mut().below(end)
    }

    /// # Errors
    /// No answer.
    pub async fn call(&self, method: &str, path: &str, body: &str) -> std::io::Result<Answer> {
        let request = network::request(method, path, body.as_bytes());
        network::call(self.somewhere(), &request).await
    }

    /// Sends a report with this fate; the last word that came back, if any did.
    ///
    /// # Errors
    /// An answer that no judge may give.
    pub async fn send(&self, frozen: &Frozen, fate: Fate) -> Result<Option<Word>> {
        let request = network::request("POST", "/v1/reports", &frozen.bytes);
        let address = self.somewhere().to_owned();
        let mut random = Random::new(self.below(u64::MAX));
        let answers = network::send(&address, &request, fate, &mut random).await;
        if answers.is_empty() {
            self.tally.borrow_mut().unanswered += 1;
        }
        let mut word = None;
        for answer in &answers {
            // Of two answers to the same bytes one may have been too early.
            let said = self.understand(frozen, answer)?;
            word = match (word, said) {
                (Some(Word::Final), _) => word,
                _ => Some(said),
            };
        }
        Ok(word)
    }

    fn understand(&self, frozen: &Frozen, answer: &Answer) -> Result<Word> {
        let report: Report = serde_json::from_slice(&frozen.bytes).during("read a report")?;
        let mut tally = self.tally.borrow_mut();
        match answer.status {
            _ if !answer.by_judge => Err(format!("not by a judge: {answer:?}").into()),
            200..300 => {
                let duplicate = answer.json()?["duplicate"].as_bool();
                tally.acknowledged += 1;
                tally.duplicates += u64::from(duplicate == Some(true));
                let is_new = duplicate.map(|duplicate| !duplicate);
                self.model.borrow_mut().acknowledge(&report, is_new)?;
                Ok(Word::Final)
            }
            404 if report.rollouts.iter().all(|part| part.rollout != STEADY) => {
                tally.refused += 1;
                Ok(Word::Final)
            }
            429 | 503 => {
                tally.postponed += 1;
                Ok(Word::Later)
            }
            _ => {
                let body = String::from_utf8_lossy(&answer.body);
                let (status, sent) = (answer.status, String::from_utf8_lossy(&frozen.bytes));
                Err(format!("a good report was refused: {status} {body} to {sent}").into())
            }
        }
    }

    /// The network keeps a copy, which comes at some time or other.
    pub fn copy(&self, frozen: &Frozen) {
        let mut copies = self.copies.borrow_mut();
        if copies.len() >= COPIES {
            let oldest = copies.remove(0);
            // It may have come without an answer, though no worker sends it any more.
            self.orphan(oldest);
        }
        copies.push(frozen.clone());
    }

    /// A worker ended that had sent this.
    pub fn orphan(&self, frozen: Frozen) {
        self.orphans.borrow_mut().push(frozen);
    }

    /// One of the copies; it stays, and may come again.
    pub fn some_copy(&self) -> Option<Frozen> {
        let copies = self.copies.borrow();
        let number = self.below(copies.len() as u64) as usize;
        copies.get(number).cloned()
    }

    /// Everything that is still on its way.
    pub fn under_way(&self) -> Vec<Frozen> {
        let mut all = self.orphans.take();
        all.append(&mut self.copies.borrow_mut());
        all
    }
}
