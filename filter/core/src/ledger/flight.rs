//! Requests that are under way.

use super::Exposure;
use crate::plan::CompiledRollout;
use std::rc::Rc;

/// A randomised request between its decision and its end. It keeps the rollout it was
/// decided under, whatever plan comes meanwhile.
#[derive(Debug, Clone)]
pub struct Flight {
    pub rollout: Rc<CompiledRollout>,
    pub exposure: Exposure,
    pub started_us: u64,
    /// When its answer began, where that ends its duration.
    answered_us: Option<u64>,
    /// Latency edges that it was already listed as slower than.
    listed: u8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FlightId(usize);

/// As many as streams that Envoy has open: each has one at most, and its end is
/// counted when Envoy deletes its context, whatever became of it.
#[derive(Debug, Default)]
pub struct Flights {
    places: Vec<Option<Flight>>,
    free: Vec<usize>,
}

impl Flights {
    pub fn begin(
        &mut self,
        rollout: &Rc<CompiledRollout>,
        exposure: Exposure,
        now_us: u64,
    ) -> FlightId {
        let flight = Some(Flight {
            rollout: Rc::clone(rollout),
            exposure,
            started_us: now_us,
            answered_us: None,
            listed: 0,
        });
        let reused = self.free.pop();
        if let Some(place) = reused.and_then(|at| self.places.get_mut(at)) {
            *place = flight;
        } else {
            self.places.push(flight);
        }
        FlightId(reused.unwrap_or(self.places.len().saturating_sub(1)))
    }

    pub fn get(&self, id: FlightId) -> Option<&Flight> {
        self.places.get(id.0)?.as_ref()
    }

    pub fn get_mut(&mut self, id: FlightId) -> Option<&mut Flight> {
        self.places.get_mut(id.0)?.as_mut()
    }

    pub fn end(&mut self, id: FlightId) -> Option<Flight> {
        let flight = self.places.get_mut(id.0)?.take()?;
        self.free.push(id.0);
        Some(flight)
    }

    /// Those that by now exceed more latency edges than they were listed for, which
    /// from here on they are.
    pub fn newly_slow(&mut self, now_us: u64) -> Vec<(Rc<CompiledRollout>, Exposure, u8)> {
        let mut slow = Vec::new();
        for flight in self.places.iter_mut().flatten() {
            let level = flight.level(now_us);
            if level > flight.listed {
                flight.listed = level;
                slow.push((Rc::clone(&flight.rollout), flight.exposure, level));
            }
        }
        slow
    }
}

impl Flight {
    /// Its duration ends here: with the first byte of a streamed answer, or with the
    /// answer to an upgrade.
    pub fn answered(&mut self, now_us: u64) {
        self.answered_us = Some(now_us);
    }

    /// How long it took, or takes so far.
    #[must_use]
    pub fn duration_us(&self, now_us: u64) -> u64 {
        self.answered_us
            .unwrap_or(now_us)
            .saturating_sub(self.started_us)
    }

    /// How many latency edges it exceeds by now.
    #[must_use]
    pub fn level(&self, now_us: u64) -> u8 {
        let duration_us = self.duration_us(now_us);
        let edges = self.rollout.latency_edges_us.iter();
        let exceeded = edges.take_while(|&&edge| duration_us > edge).count();
        // A plan has at most 12 edges.
        u8::try_from(exceeded).unwrap_or(u8::MAX)
    }
}
