//! What tests look at, and the parts of the proxy that they set.

use std::collections::BTreeMap;

use super::Host;
use super::metrics::Metric;
use super::state::Log;

impl Host {
    pub fn logs(&self) -> &[Log] {
        &self.state().logs
    }

    /// Logs at warn and above.
    pub fn complaints(&self) -> Vec<&str> {
        self.logs()
            .iter()
            .filter(|log| log.level >= 3)
            .map(|log| log.text.as_str())
            .collect()
    }

    pub fn metrics(&self) -> &BTreeMap<String, Metric> {
        self.state().metrics.values()
    }

    /// A counter's or gauge's value; zero when it was never defined.
    pub fn metric(&self, name: &str) -> u64 {
        match self.metrics().get(name) {
            Some(Metric::Counter(value) | Metric::Gauge(value)) => *value,
            _ => 0,
        }
    }

    pub fn metric_definitions(&self) -> usize {
        self.state().metrics.definitions()
    }

    /// Host calls by name.
    pub fn calls(&self) -> &BTreeMap<&'static str, u64> {
        &self.state().calls
    }

    pub fn call_count(&self, name: &str) -> u64 {
        self.calls().get(name).copied().unwrap_or(0)
    }

    /// Entries into the VM by export.
    pub fn entries(&self) -> &BTreeMap<String, u64> {
        &self.state().entries
    }

    /// Guest instructions (wasmtime's fuel) by export.
    pub fn instructions(&self) -> &BTreeMap<String, u64> {
        &self.state().instructions
    }

    pub fn memory_bytes(&mut self) -> usize {
        let memory = self.instance.get_memory(&mut self.store, "memory");
        memory.map_or(0, |memory| memory.data_size(&self.store))
    }

    pub fn root_contexts(&self) -> usize {
        self.state().roots.len()
    }

    pub fn open_streams(&self) -> usize {
        self.state().streams.len()
    }

    /// Root contexts that ended while their timer ran.
    pub fn leaked_timers(&self) -> u32 {
        self.state().leaked_timers
    }

    pub fn is_dead(&self) -> bool {
        self.dead.is_some()
    }

    pub fn set_property(&mut self, path: &str, value: &[u8]) {
        self.state_mut()
            .properties
            .insert(path.to_owned(), value.to_vec());
    }

    /// An older Envoy without the function.
    pub fn forget_foreign_function(&mut self, name: &str) {
        self.state_mut().foreign_functions.remove(name);
    }
}
