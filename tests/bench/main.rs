//! `make bench-filter`: what the filter adds to a request's CPU time, beside native
//! sticky routing, Lua and ext_proc doing the same job; in one run, interleaved.
//!
//! Writes `target/bench/filter.json`.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a benchmark that cannot measure stops and says why"
)]

mod bootstrap;
mod counts;
mod cpu;
#[path = "../wasm/host/mod.rs"]
#[allow(
    dead_code,
    unused_imports,
    reason = "the fake proxy of the wasm tests, in part"
)]
mod host;
mod judge;
mod load;
mod message;
mod statistics;
mod upstream;
#[path = "../wasm/judge.rs"]
#[allow(dead_code, reason = "the fake judge of the wasm tests, in part")]
mod wasm_judge;

use bootstrap::{Filter, Ports, bootstrap};
use load::{KINDS, Kind, Load};
use serde_json::{Value, json};
use serinus_tests::artefacts;
use serinus_tests::envoy::Envoy;
use serinus_tests::failure::Result;
use serinus_tests::process::Process;
use statistics::Spread;
use std::path::PathBuf;
use tokio::process::Command;

const ROUNDS: usize = 21;
/// Each variant has its requests of a round in slices, between those of the others: a
/// machine that is slower for some seconds is so for all of them.
const SLICES: usize = 5;
const REQUESTS: u64 = 3_000;
const WARM_UP: u64 = 6_000;
const CONNECTIONS: usize = 4;
const USERS: u64 = 20_000;

const LUA: &str = include_str!("sticky.lua");

/// One Envoy, and what works for it beside it.
struct Variant {
    name: &'static str,
    /// Runs as long as this lives.
    _envoy: Envoy,
    load: Load,
    processes: Vec<u32>,
    /// Microseconds of CPU a request, by kind and round.
    costs: [Vec<f64>; 2],
}

fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let tasks = tokio::task::LocalSet::new();
    if let Err(error) = runtime.block_on(tasks.run_until(run())) {
        eprintln!("bench-filter: {error}");
        std::process::exit(1);
    }
}

async fn run() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let upstreams = [
        upstream::Upstream::start().await?,
        upstream::Upstream::start().await?,
    ];
    let program = artefacts::root().join("target/release/bench-ext-proc");
    let ready = "listening on ";
    let (processor, address) =
        Process::start_until("ext-proc", Command::new(program), folder.path(), ready).await?;
    let ports = Ports {
        control: upstreams[0].port,
        canary: upstreams[1].port,
        judge: judge::start().await?,
        ext_proc: serinus_tests::ports::of(&address)?,
    };
    let wasm = artefacts::wasm()?;
    let empty = folder.path().join("empty.wasm");
    std::fs::write(&empty, wat::parse_str(include_str!("empty.wat"))?)?;
    let mut variants = Vec::new();
    for (name, filter) in [
        ("none", Filter::None),
        ("native", Filter::WeightedClusters),
        ("serinus", Filter::Wasm(&wasm)),
        ("empty wasm", Filter::Wasm(&empty)),
        ("lua", Filter::Lua(LUA)),
        ("ext_proc", Filter::ExtProc),
    ] {
        eprintln!("bench-filter: starting Envoy: {name}");
        let own = folder.path().join(name.replace(' ', "-"));
        std::fs::create_dir(&own)?;
        let envoy = Envoy::with(&own, &bootstrap(&filter, ports), 1).await?;
        let mut processes = vec![envoy.process().id().ok_or("Envoy has no id")?];
        if let Filter::ExtProc = filter {
            processes.push(processor.id().ok_or("the processor has no id")?);
        }
        let load = Load::new(envoy.address(), CONNECTIONS, USERS);
        for kind in KINDS {
            load.run(kind, WARM_UP).await?;
        }
        variants.push(Variant {
            name,
            _envoy: envoy,
            load,
            processes,
            costs: [Vec::new(), Vec::new()],
        });
    }
    both_arms_answer(&upstreams)?;
    for round in 0..ROUNDS {
        eprint!("\rbench-filter: round {} of {ROUNDS} ", round + 1);
        for (index, kind) in KINDS.into_iter().enumerate() {
            let mut spent = vec![0; variants.len()];
            for slice in 0..SLICES {
                for step in 0..variants.len() {
                    // Another one first each time.
                    let place = (step + slice + round) % variants.len();
                    spent[place] += variants[place].spend(kind).await?;
                }
            }
            for (variant, spent) in variants.iter_mut().zip(spent) {
                variant.costs[index].push(spent as f64 / 1_000.0 / REQUESTS as f64);
            }
        }
    }
    eprintln!();
    let document = document(&variants, &wasm)?;
    let path = artefacts::root().join("target/bench/filter.json");
    std::fs::create_dir_all(path.parent().unwrap())?;
    std::fs::write(&path, serde_json::to_string_pretty(&document)? + "\n")?;
    println!("written to target/bench/filter.json");
    Ok(())
}

/// A filter that sends all users to one arm would be cheap.
fn both_arms_answer(upstreams: &[upstream::Upstream; 2]) -> Result<()> {
    let counts = upstreams.each_ref().map(upstream::Upstream::answered);
    if counts.iter().any(|&count| count < WARM_UP) {
        return Err(format!("an arm had hardly a request: {counts:?}").into());
    }
    Ok(())
}

impl Variant {
    /// Nanoseconds of CPU for one slice.
    async fn spend(&self, kind: Kind) -> Result<u64> {
        let before = self.cpu()?;
        self.load.run(kind, REQUESTS / SLICES as u64).await?;
        Ok(self.cpu()? - before)
    }

    fn cpu(&self) -> Result<u64> {
        self.processes.iter().map(|&process| cpu::of(process)).sum()
    }

    /// What it adds to the Envoy without a filter of the same round.
    fn added(&self, none: &Self, kind: usize) -> Spread {
        let rounds = self.costs[kind].iter().zip(&none.costs[kind]);
        let added: Vec<f64> = rounds.map(|(own, none)| own - none).collect();
        Spread::of(&added)
    }
}

fn document(variants: &[Variant], wasm: &PathBuf) -> Result<Value> {
    let none = &variants[0];
    let added = |name: &str, kind: usize| {
        let variant = variants.iter().find(|variant| variant.name == name);
        variant.unwrap().added(none, kind).median
    };
    let counts = KINDS.map(counts::of);
    let mut rows = Vec::new();
    println!("\nCPU microseconds added to a request, one worker, median of {ROUNDS} rounds");
    println!("(quartiles), and Lua's as 1:\n");
    println!("| filter | GET | | POST 1 KB | |\n| --- | --- | --- | --- | --- |");
    for variant in &variants[1..] {
        let spreads = [0, 1].map(|kind| variant.added(none, kind));
        let cell = |kind: usize| {
            let spread = spreads[kind];
            format!(
                "{:.1} ({:.1} to {:.1}) | {:.2}",
                spread.median,
                spread.lower_quartile,
                spread.upper_quartile,
                spread.median / added("lua", kind)
            )
        };
        println!("| {} | {} | {} |", variant.name, cell(0), cell(1));
        rows.push(
            json!({"variant": variant.name, "added_us": {"get": spreads[0], "post": spreads[1]}}),
        );
    }
    let whole = [0, 1].map(|kind| Spread::of(&none.costs[kind]));
    println!(
        "\nOf Envoy without a filter: GET {:.1}, POST {:.1}. The filter, exactly: {counts:?}",
        whole[0].median, whole[1].median
    );
    Ok(json!({
        "rounds": ROUNDS,
        "requests_a_round": REQUESTS,
        "note": "CPU of ext_proc is Envoy's and the server's; reports to the judge are included in the filter's",
        "without_filter_us": {"get": whole[0], "post": whole[1]},
        "variants": rows,
        "instructions": {"get": counts[0].instructions, "post": counts[1].instructions},
        "figures": {
            "added_cpu_to_lua_get": added("serinus", 0) / added("lua", 0),
            "added_cpu_to_lua_post": added("serinus", 1) / added("lua", 1),
            "added_cpu_to_ext_proc_get": added("serinus", 0) / added("ext_proc", 0),
            "added_cpu_to_ext_proc_post": added("serinus", 1) / added("ext_proc", 1),
            "added_us_get": added("serinus", 0),
            "added_us_post": added("serinus", 1),
            "native_added_us_get": added("native", 0),
            "vm_entries_get": counts[0].entries,
            "host_calls_get": counts[0].host_calls,
            "vm_entries_post": counts[1].entries,
            "host_calls_post": counts[1].host_calls,
            "artefact_bytes": std::fs::metadata(wasm)?.len(),
        },
    }))
}
