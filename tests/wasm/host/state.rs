//! Everything that the fake Envoy remembers, apart from the guest itself.

use std::collections::{BTreeMap, BTreeSet};

use super::callouts::Callouts;
use super::metrics::Metrics;
use super::streams::Stream;

/// The ABI's result of a host call.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    Ok = 0,
    NotFound = 1,
    BadArgument = 2,
    CasMismatch = 8,
    InternalFailure = 10,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// 0 trace, 1 debug, 2 info, 3 warn, 4 error, 5 critical.
    pub level: u32,
    pub text: String,
}

/// A root context: one plugin configuration in this VM.
#[derive(Debug, Default)]
pub struct Root {
    pub configuration: Vec<u8>,
    pub tick_period: u64,
    pub next_tick: u64,
    /// Replaced by a newer configuration; ends with its last stream.
    pub retiring: bool,
    /// Its `on_done` was called, and it waits for `proxy_done`.
    pub draining: bool,
}

pub struct State {
    /// Nanoseconds since 1970; moved by the test alone.
    pub now: u64,
    /// What the wall clock shows beyond that, once somebody has set it. Timers and
    /// time-outs do not go by it.
    pub clock_set_by: i64,
    pub seed: u64,
    random: u64,
    pub vm_configuration: Vec<u8>,
    pub roots: BTreeMap<u32, Root>,
    pub streams: BTreeMap<u32, Stream>,
    pub next_context: u32,
    /// The context of the running entry into the VM.
    pub current: u32,
    /// Set by `proxy_set_effective_context`, for the rest of that entry.
    pub effective: u32,
    /// Contexts whose `proxy_done` was called.
    pub done: BTreeSet<u32>,
    pub leaked_timers: u32,
    pub logs: Vec<Log>,
    pub calls: BTreeMap<&'static str, u64>,
    pub entries: BTreeMap<String, u64>,
    pub instructions: BTreeMap<String, u64>,
    pub metrics: Metrics,
    pub callouts: Callouts,
    pub shared_data: BTreeMap<Vec<u8>, (Vec<u8>, u32)>,
    /// Properties of the proxy: node, plugin name and so on.
    pub properties: BTreeMap<String, Vec<u8>>,
    pub foreign_functions: BTreeSet<&'static str>,
}

// === impl State ===

impl State {
    pub fn new(seed: u64, now: u64) -> State {
        State {
            now,
            clock_set_by: 0,
            seed,
            random: seed,
            vm_configuration: Vec::new(),
            roots: BTreeMap::new(),
            streams: BTreeMap::new(),
            next_context: 1,
            current: 0,
            effective: 0,
            done: BTreeSet::new(),
            leaked_timers: 0,
            logs: Vec::new(),
            calls: BTreeMap::new(),
            entries: BTreeMap::new(),
            instructions: BTreeMap::new(),
            metrics: Metrics::default(),
            callouts: Callouts::default(),
            shared_data: BTreeMap::new(),
            properties: BTreeMap::new(),
            foreign_functions: BTreeSet::from(["clear_route_cache"]),
        }
    }

    /// What the guest is told.
    pub fn wall_clock(&self) -> u64 {
        self.now.saturating_add_signed(self.clock_set_by)
    }

    pub fn context_exists(&self, id: u32) -> bool {
        self.roots.contains_key(&id) || self.streams.contains_key(&id)
    }

    /// The context that a host call acts on.
    pub fn context(&self) -> u32 {
        if self.context_exists(self.effective) {
            self.effective
        } else {
            self.current
        }
    }

    pub fn stream(&mut self) -> Option<&mut Stream> {
        let id = self.context();
        self.streams.get_mut(&id)
    }

    pub fn root_id(&self) -> u32 {
        let id = self.context();
        self.streams.get(&id).map_or(id, |stream| stream.root)
    }

    /// SplitMix64: reproducible from the seed.
    pub fn random_bytes(&mut self, size: u32) -> Vec<u8> {
        let words = std::iter::repeat_with(|| {
            self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut word = self.random;
            word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            word ^ (word >> 31)
        });
        words
            .flat_map(u64::to_le_bytes)
            .take(size as usize)
            .collect()
    }

    // === properties ===

    /// The value of an attribute path; what the test set comes first.
    pub fn property(&mut self, path: &[u8]) -> Option<Vec<u8>> {
        let path = String::from_utf8_lossy(path).replace('\0', ".");
        let now = self.now;
        if let Some(stream) = self.stream()
            && let Some(value) = stream.property(&path, now)
        {
            return Some(value);
        }
        self.properties.get(&path).cloned()
    }

    // === shared data ===

    /// A zero `cas` writes whatever is there, as in Envoy.
    pub fn set_shared(&mut self, key: Vec<u8>, value: Vec<u8>, cas: u32) -> Result<(), Status> {
        let held = self
            .shared_data
            .get(&key)
            .map_or(0, |(_, version)| *version);
        if cas != 0 && cas != held {
            return Err(Status::CasMismatch);
        }
        self.shared_data.insert(key, (value, held + 1));
        Ok(())
    }
}
