//! Envoy's metrics, as a module sees them.

use std::collections::BTreeMap;

use super::state::Status;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Metric {
    Counter(u64),
    Gauge(u64),
    /// Every recorded value, in order.
    Histogram(Vec<u64>),
}

/// Ids are per definition, values per name: defining a name twice gives two ids
/// of one metric, as in Envoy.
#[derive(Debug, Default)]
pub struct Metrics {
    names: BTreeMap<u32, String>,
    values: BTreeMap<String, Metric>,
}

impl Metrics {
    pub fn values(&self) -> &BTreeMap<String, Metric> {
        &self.values
    }

    /// How many ids were handed out: a filter must not define a metric again
    /// for every configuration.
    pub fn definitions(&self) -> usize {
        self.names.len()
    }

    pub fn define(&mut self, kind: u32, name: String) -> Result<u32, Status> {
        let fresh = match kind {
            0 => Metric::Counter(0),
            1 => Metric::Gauge(0),
            2 => Metric::Histogram(Vec::new()),
            _ => return Err(Status::BadArgument),
        };
        // Envoy keeps the kind in the two low bits of the id.
        let id = (self.names.len() as u32 + 1) * 4 + kind;
        self.names.insert(id, name.clone());
        self.values.entry(name).or_insert(fresh);
        Ok(id)
    }

    fn of(&mut self, id: u32) -> Result<&mut Metric, Status> {
        let name = self.names.get(&id).ok_or(Status::NotFound)?;
        self.values.get_mut(name).ok_or(Status::NotFound)
    }

    pub fn increment(&mut self, id: u32, offset: i64) -> Result<(), Status> {
        match self.of(id)? {
            Metric::Counter(_) if offset <= 0 => return Err(Status::BadArgument),
            Metric::Counter(value) => *value += offset.unsigned_abs(),
            Metric::Gauge(value) => *value = value.saturating_add_signed(offset),
            Metric::Histogram(_) => return Err(Status::BadArgument),
        }
        Ok(())
    }

    pub fn record(&mut self, id: u32, value: u64) -> Result<(), Status> {
        match self.of(id)? {
            Metric::Counter(held) => *held += value,
            Metric::Gauge(held) => *held = value,
            Metric::Histogram(values) => values.push(value),
        }
        Ok(())
    }

    pub fn get(&mut self, id: u32) -> Result<u64, Status> {
        match self.of(id)? {
            Metric::Counter(value) | Metric::Gauge(value) => Ok(*value),
            Metric::Histogram(_) => Err(Status::BadArgument),
        }
    }
}
