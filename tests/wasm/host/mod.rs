//! A fake Envoy around the filter's artefact: proxy-wasm ABI 0.2.1 on wasmtime.
//!
//! It keeps the state that Envoy keeps (headers, bodies, callouts, metrics,
//! timers, root contexts), so that tests assert effects and not sequences of
//! host calls. Where a filter's mistake would only show in Envoy as a strange
//! request, this fake is stricter and says so. A trap ends the VM, as in Envoy,
//! and is an error for the test.
//!
//! It knows no judge and no plan: those belong to the tests. It does not model
//! gRPC calls, shared queues, and TCP streams.

mod abi;
mod artefact;
mod callouts;
mod drive;
mod headers;
mod inspect;
mod memory;
mod metrics;
mod request;
mod state;
mod streams;
mod wasi;

use std::path::Path;
use std::time::Duration;

use wasmtime::{Instance, Result, Store, Val, bail};

pub use artefact::Artefact;
pub use callouts::{Callout, Failure};
pub use headers::Headers;
pub use request::{Request, Response};
pub use streams::{Action, flags};

use state::{Root, State};

/// 2027-01-15T08:00:00Z: any fixed time, so that a failure repeats.
pub const START: u64 = 1_800_000_000 * 1_000_000_000;

#[derive(Clone, Debug)]
pub struct Options {
    /// Seeds `random_get`.
    pub seed: u64,
    /// The plugin's `allow_on_headers_stop_iteration`: with it, pausing in the
    /// request headers' callback still delivers the body.
    pub allow_on_headers_stop_iteration: bool,
    /// Envoy's buffer limit for a paused body; beyond it the client gets 413.
    pub buffer_limit: usize,
    /// Guest instructions for one entry into the VM: an endless loop is an
    /// error, and not a test that hangs.
    pub instructions_per_entry: u64,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            seed: 1,
            allow_on_headers_stop_iteration: true,
            buffer_limit: 1 << 20,
            instructions_per_entry: 2_000_000_000,
        }
    }
}

/// One VM: a worker thread of Envoy with the plugin in it.
pub struct Host {
    artefact: Artefact,
    store: Store<State>,
    instance: Instance,
    pub options: Options,
    /// The root context that new streams belong to.
    root: u32,
    dead: Option<String>,
}

// === impl Host: life of the VM ===

impl Host {
    /// A VM with the built filter, not yet configured.
    pub fn new() -> Host {
        match Host::of(Artefact::built(), Options::default()) {
            Ok(host) => host,
            Err(error) => panic!("{error:?}"),
        }
    }

    pub fn load(path: impl AsRef<Path>) -> Result<Host> {
        Host::of(&Artefact::compile(path.as_ref())?, Options::default())
    }

    pub fn of(artefact: &Artefact, options: Options) -> Result<Host> {
        let engine = artefact.instance.module().engine();
        let mut store = Store::new(engine, State::new(options.seed, START));
        store.set_fuel(options.instructions_per_entry)?;
        let instance = artefact.instance.instantiate(&mut store)?;
        let mut host = Host {
            artefact: artefact.clone(),
            store,
            instance,
            options,
            root: 0,
            dead: None,
        };
        // A reactor has `_initialize`, a command `_start`; Envoy knows both.
        if host.enter("_initialize", 0, &[])?.is_none() {
            host.enter("_start", 0, &[])?;
        }
        Ok(host)
    }

    /// Creates a root context with this plugin configuration, as Envoy does for
    /// the first configuration and for each later one. False is a refusal.
    pub fn start(&mut self, configuration: &str) -> Result<bool> {
        let id = self.new_context();
        let root = Root {
            configuration: configuration.into(),
            ..Root::default()
        };
        self.state_mut().roots.insert(id, root);
        self.enter("proxy_on_context_create", id, &[0])?;
        let vm_size = self.state().vm_configuration.len() as u32;
        let started = self.enter("proxy_on_vm_start", id, &[vm_size])?;
        let accepted = started != Some(0)
            && self.enter("proxy_on_configure", id, &[configuration.len() as u32])? != Some(0);
        if accepted {
            self.root = id;
        }
        Ok(accepted)
    }

    /// A new plugin configuration: tried in a cloned VM first, where a refusal
    /// leaves everything as it was. Then a new root context takes the new
    /// streams, and the old one ends with its last stream.
    pub fn reconfigure(&mut self, configuration: &str) -> Result<bool> {
        let mut trial = Host::of(&self.artefact, self.options.clone())?;
        trial.state_mut().now = self.now();
        if !trial.start(configuration)? {
            return Ok(false);
        }
        let old = self.root;
        if !self.start(configuration)? {
            bail!("the worker refused a configuration that the trial accepted");
        }
        if let Some(root) = self.state_mut().roots.get_mut(&old) {
            root.retiring = true;
        }
        self.end_retired(old)?;
        Ok(true)
    }

    /// The plugin configuration of an older root context, which a stream keeps alive,
    /// comes back: Envoy takes that root again, and tells it nothing.
    pub fn configure_back(&mut self, configuration: &str) -> Result<()> {
        let mut retiring =
            self.state().roots.iter().filter(|(_, root)| {
                root.retiring && root.configuration == configuration.as_bytes()
            });
        let Some(id) = retiring.next().map(|(id, _)| *id) else {
            bail!("no root context that is alive has this configuration");
        };
        let old = std::mem::replace(&mut self.root, id);
        for (id, retiring) in [(id, false), (old, true)] {
            if let Some(root) = self.state_mut().roots.get_mut(&id) {
                root.retiring = retiring;
            }
        }
        self.end_retired(old)
    }

    fn new_context(&mut self) -> u32 {
        let state = self.state_mut();
        let id = state.next_context;
        state.next_context += 1;
        id
    }

    /// Ends a replaced root context when no stream of it is left.
    fn end_retired(&mut self, id: u32) -> Result<()> {
        let state = self.state();
        let retiring = state
            .roots
            .get(&id)
            .is_some_and(|root| root.retiring && !root.draining);
        if !retiring || state.streams.values().any(|stream| stream.root == id) {
            return Ok(());
        }
        let done = self.enter("proxy_on_done", id, &[])?;
        match self.state_mut().roots.get_mut(&id) {
            Some(root) if done == Some(0) => root.draining = true,
            _ => self.delete_root(id)?,
        }
        self.delete_drained()
    }

    fn delete_root(&mut self, id: u32) -> Result<()> {
        self.enter("proxy_on_delete", id, &[])?;
        let state = self.state_mut();
        state.callouts.cancel_all_of(id);
        if state
            .roots
            .remove(&id)
            .is_some_and(|root| root.tick_period != 0)
        {
            state.leaked_timers += 1;
        }
        Ok(())
    }

    /// A root that answered false to `on_done` ends when it calls `done`.
    fn delete_drained(&mut self) -> Result<()> {
        let state = self.state();
        let drained: Vec<u32> = state
            .roots
            .iter()
            .filter(|(id, root)| root.draining && state.done.contains(id))
            .map(|(id, _)| *id)
            .collect();
        drained.into_iter().try_for_each(|id| self.delete_root(id))
    }

    /// Enters the VM by an export; `None` when the module has no such export,
    /// in which case Envoy does not enter either.
    fn enter(&mut self, name: &str, context: u32, arguments: &[u32]) -> Result<Option<u32>> {
        if let Some(why) = &self.dead {
            bail!("the VM is dead since {why}");
        }
        let Some(function) = self.instance.get_func(&mut self.store, name) else {
            return Ok(None);
        };
        let fuel = self.options.instructions_per_entry;
        self.store.set_fuel(fuel)?;
        let state = self.store.data_mut();
        (state.current, state.effective) = (context, 0);
        *state.entries.entry(name.to_owned()).or_default() += 1;
        let initializing = matches!(name, "_initialize" | "_start");
        let parameters: Vec<Val> = std::iter::once(&context)
            .filter(|_| !initializing)
            .chain(arguments)
            .map(|argument| Val::I32(argument.cast_signed()))
            .collect();
        let mut results = vec![Val::I32(0); function.ty(&self.store).results().len()];
        let outcome = function.call(&mut self.store, &parameters, &mut results);
        let used = fuel - self.store.get_fuel()?;
        let state = self.store.data_mut();
        state.current = 0;
        *state.instructions.entry(name.to_owned()).or_default() += used;
        if let Err(error) = outcome {
            let seed = state.seed;
            let logs: Vec<&str> = state
                .logs
                .iter()
                .rev()
                .take(5)
                .map(|log| log.text.as_str())
                .collect();
            let why = format!("a trap in {name}({context}), seed {seed}, last logs {logs:?}");
            self.dead = Some(why.clone());
            return Err(error.context(why));
        }
        Ok(Some(
            results
                .first()
                .and_then(Val::i32)
                .unwrap_or(1)
                .cast_unsigned(),
        ))
    }

    fn state(&self) -> &State {
        self.store.data()
    }

    fn state_mut(&mut self) -> &mut State {
        self.store.data_mut()
    }
}

// === impl Host: time ===

impl Host {
    pub fn now(&self) -> u64 {
        self.state().now
    }

    /// Moves the clock without running what falls due: it runs at the next
    /// `advance`, late, as behind a busy worker.
    pub fn pass(&mut self, time: Duration) {
        self.state_mut().now += time.as_nanos() as u64;
    }

    /// Somebody sets the wall clock, by so many seconds.
    pub fn set_clock(&mut self, by_seconds: i64) {
        self.state_mut().clock_set_by += by_seconds * 1_000_000_000;
    }

    /// Moves the clock, running timers and timing out callouts when they fall due.
    pub fn advance(&mut self, time: Duration) -> Result<()> {
        let end = self.now() + time.as_nanos() as u64;
        loop {
            let state = self.state();
            let ticking = state.roots.iter().filter(|(_, root)| root.tick_period != 0);
            let tick = ticking.map(|(id, root)| (root.next_tick, *id)).min();
            let tick = tick.filter(|(at, _)| *at <= end);
            let overdue = state.callouts.overdue(end);
            match (tick, overdue) {
                (None, None) => break,
                (Some((at, id)), other) if other.is_none_or(|(over, _)| at <= over) => {
                    self.state_mut().now = at.max(self.now());
                    self.tick_root(id)?;
                }
                (_, Some((at, id))) => {
                    self.state_mut().now = at.max(self.now());
                    self.fail(id, Failure::Timeout)?;
                }
                (Some(_), None) => bail!("a tick is due before nothing"),
            }
        }
        self.state_mut().now = end;
        Ok(())
    }

    /// Runs the timer of the current root context now, whatever the clock says.
    pub fn tick(&mut self) -> Result<()> {
        self.tick_root(self.root)
    }

    fn tick_root(&mut self, id: u32) -> Result<()> {
        self.enter("proxy_on_tick", id, &[])?;
        let state = self.state_mut();
        let now = state.now;
        if let Some(root) = state.roots.get_mut(&id) {
            root.next_tick = now + root.tick_period;
        }
        self.delete_drained()
    }

    pub fn tick_period(&self) -> Duration {
        let root = self.state().roots.get(&self.root);
        Duration::from_nanos(root.map_or(0, |root| root.tick_period))
    }
}
