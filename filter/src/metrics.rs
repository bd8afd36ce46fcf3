//! What operators see in Envoy's own statistics.
//!
//! Counted in memory and written once a second, so that a request pays nothing.

use crate::host;
use proxy_wasm::hostcalls;
use proxy_wasm::types::MetricType;
use serinus_core::ledger::{Ledger, Tally};
use serinus_core::plan::Revision;

/// A worker defines no more: each is memory in Envoy for ever, and rollouts come and go.
const MOST_METRICS: usize = 1_024;

const EVERY_US: u64 = 1_000_000;

#[derive(Default)]
pub struct Metrics {
    /// By name; Envoy would make a new id at each definition.
    ids: Vec<(String, u32)>,
    written_us: u64,
    /// Rollout and arm of each breaker that this worker has shown as open.
    open: Vec<(String, String)>,
    links: Links,
}

/// How calls to the judge ended.
#[derive(Default)]
pub struct Links {
    counts: Vec<(&'static str, u64)>,
}

impl Links {
    /// `what` is the rest of a metric's name, such as `reports_total.outcome.failed`.
    pub fn count(&mut self, what: &'static str) {
        match self.counts.iter_mut().find(|(known, _)| *known == what) {
            Some((_, count)) => *count += 1,
            None => self.counts.push((what, 1)),
        }
    }
}

impl Metrics {
    pub fn links(&mut self) -> &mut Links {
        &mut self.links
    }

    /// Workers write the same gauges, each when its plan comes: the last one stands.
    pub fn revision(&mut self, revision: Revision) {
        for (name, value) in [
            ("serinus.plan_generation", revision.generation),
            ("serinus.plan_counter", revision.counter),
        ] {
            if let Some(id) = self.id(MetricType::Gauge, name) {
                let _ = hostcalls::record_metric(id, value);
            }
        }
    }

    pub fn write(&mut self, ledger: &mut Ledger, now_us: u64) {
        // A clock may be set back, too.
        if now_us.abs_diff(self.written_us) < EVERY_US {
            return;
        }
        self.written_us = now_us;
        ledger.take_tallies(|rollout, arms, tally| self.rollout(rollout, arms, &tally));
        self.breakers(ledger);
        for (what, count) in core::mem::take(&mut self.links.counts) {
            self.add(&format!("serinus.{what}"), count);
        }
    }

    fn rollout(&mut self, rollout: &str, arms: &[String], tally: &Tally) {
        let rollout = part(rollout);
        for (arm, &count) in arms.iter().zip(&tally.exposures) {
            let arm = part(arm);
            let name = format!("serinus.exposures_total.rollout.{rollout}.arm.{arm}");
            self.add(&name, count);
        }
        for (cause, count) in tally.fallbacks.counted() {
            let cause = cause.name();
            let name = format!("serinus.fallbacks_total.rollout.{rollout}.cause.{cause}");
            self.add(&name, count);
        }
        for (outcome, count) in [
            ("queued", tally.samples_queued),
            ("dropped", tally.samples_dropped),
        ] {
            let name = format!("serinus.samples_total.rollout.{rollout}.outcome.{outcome}");
            self.add(&name, count);
        }
    }

    /// Each gauge is the number of workers whose breaker is open.
    fn breakers(&mut self, ledger: &Ledger) {
        let named = ledger.open_breakers();
        let open: Vec<(String, String)> = named
            .map(|(rollout, arm)| (part(rollout), part(arm)))
            .collect();
        let before = core::mem::take(&mut self.open);
        for (key, step) in [(&open, &before, 1), (&before, &open, -1)]
            .into_iter()
            .flat_map(|(these, those, step)| {
                let only_these = these.iter().filter(|key| !those.contains(key));
                only_these.map(move |key| (key, step))
            })
        {
            let (rollout, arm) = key;
            let name = format!("serinus.breakers_open.rollout.{rollout}.arm.{arm}");
            if let Some(id) = self.id(MetricType::Gauge, &name) {
                let _ = hostcalls::increment_metric(id, step);
            }
        }
        self.open = open;
    }

    fn add(&mut self, name: &str, count: u64) {
        // Envoy refuses to add nothing to a counter, and the SDK then panics.
        if let Ok(count @ 1..) = i64::try_from(count)
            && let Some(id) = self.id(MetricType::Counter, name)
        {
            let _ = hostcalls::increment_metric(id, count);
        }
    }

    fn id(&mut self, kind: MetricType, name: &str) -> Option<u32> {
        if let Some((_, id)) = self.ids.iter().find(|(known, _)| known == name) {
            return Some(*id);
        }
        if self.ids.len() >= MOST_METRICS {
            return None;
        }
        let id = hostcalls::define_metric(kind, name).ok()?;
        self.ids.push((name.to_owned(), id));
        if self.ids.len() == MOST_METRICS {
            host::warn("serinus: there are too many metrics; newer ones are not shown");
        }
        Some(id)
    }
}

/// A name as one part of a dotted name.
fn part(name: &str) -> String {
    name.replace('.', "_")
}
