//! `make bench-judge`: reports a second that one core takes, what waiting workers and
//! many rollouts cost in memory, and how fast a plan is everywhere.
//!
//! The judge is pinned to the first core; its load, and PostgreSQL where it is used, have
//! the others. Writes `target/bench/judge.json`.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a benchmark that cannot measure stops and says why"
)]

mod bare;
mod bench;
mod cores;
mod http;
mod load;
mod pollers;
mod report;
mod samples;
mod scenario;
mod tap;
mod verdict;

use bench::Kind;
use cores::Cores;
use scenario::{Found, Scenario};
use serde_json::{Value, json};
use serinus_tests::artefacts;
use serinus_tests::failure::{During, Result};
use std::path::Path;
use std::time::Duration;

/// The load that the figures are of.
const FULL: Scenario = Scenario {
    kind: Kind::Sqlite,
    workers: 10_000,
    rollouts: 50,
    users: 1_000_000,
    length: Duration::from_secs(20),
    changes: 5,
};

fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let tasks = tokio::task::LocalSet::new();
    if let Err(error) = runtime.block_on(tasks.run_until(run())) {
        eprintln!("bench-judge: {error}");
        std::process::exit(1);
    }
}

/// What is measured, each by itself.
const PARTS: [&str; 6] = ["full", "postgres", "tls", "verdict", "samples", "growth"];

async fn run() -> Result<()> {
    // One part only, and another build, for who works on them.
    let mut arguments = std::env::args().skip(1);
    let only = arguments.next().filter(|part| part != "all");
    if only.as_deref() == Some(bare::SERVE) {
        return bare::serve().await;
    }
    if let Some(part) = &only
        && !PARTS.contains(&part.as_str())
    {
        return Err(format!("`{part}` is no part; {} are", PARTS.join(", ")).into());
    }
    let release = artefacts::root().join("target/release/serinus");
    let cores = Cores::part(arguments.next().map_or(release, Into::into))?;
    let wanted = |part: &str| only.as_deref().is_none_or(|only| only == part);
    // Of a run of one part, the others stay as they were measured before.
    let folder = artefacts::root().join("target/bench");
    let file = folder.join("judge.json");
    let before = std::fs::read(&file).ok().filter(|_| only.is_some());
    let before = before.and_then(|bytes| serde_json::from_slice::<Value>(&bytes).ok());
    let mut out = before.unwrap_or_else(|| json!({"figures": {}}));
    let mut figures = out["figures"].take();
    out["loads"] = loads();
    if wanted("full") {
        let bare = bare::measure(&cores, FULL.length / 2).await?;
        println!("an endpoint that reads reports and keeps nothing: {bare:.0} a second");
        let found = measured("SQLite", &FULL, &cores).await?;
        figures["reports_to_bare_endpoint_sqlite"] =
            json!((found.reports_per_second / bare * 100.0).round() / 100.0);
        out["bare_endpoint_per_second"] = json!(bare.round());
        figures["reports_per_second_sqlite"] = json!(found.reports_per_second.round());
        figures["report_p99_ms"] = json!(found.p99_ms);
        figures["memory_mb_10000_workers_50_rollouts"] = json!(found.memory_most_mb.round());
        figures["change_to_last_of_10000_pollers_ms"] = json!(found.change_ms_worst);
        out["sqlite"] = found.to_json();
    }
    if wanted("postgres") {
        let scenario = Scenario {
            kind: Kind::Postgres,
            ..FULL
        };
        let found = measured("PostgreSQL", &scenario, &cores).await?;
        figures["reports_per_second_postgres"] = json!(found.reports_per_second.round());
        out["postgres"] = found.to_json();
    }
    if wanted("tls") {
        // The same load a minute apart, since machines have moods.
        let plain = Scenario {
            workers: 1_000,
            rollouts: 10,
            users: 100_000,
            length: Duration::from_secs(15),
            changes: 1,
            ..FULL
        };
        let secured = Scenario {
            kind: Kind::Tls,
            ..plain
        };
        let (mut without, mut with) = (Vec::new(), Vec::new());
        for _ in 0..3 {
            without.push(measured("plain", &plain, &cores).await?);
            with.push(measured("TLS", &secured, &cores).await?);
        }
        let median = |found: &[Found], of: fn(&Found) -> f64| {
            let mut all: Vec<f64> = found.iter().map(of).collect();
            all.sort_by(f64::total_cmp);
            all[all.len() / 2]
        };
        let cost = |found: &Found| found.cpu_us_per_report;
        figures["reports_per_second_tls"] =
            json!(median(&with, |found| found.reports_per_second).round());
        figures["tls_adds_to_cpu_of_a_report"] =
            json!(((median(&with, cost) / median(&without, cost) - 1.0) * 100.0).round() / 100.0);
        out["tls"] = json!({
            "plain": without.iter().map(Found::to_json).collect::<Vec<_>>(),
            "tls": with.iter().map(Found::to_json).collect::<Vec<_>>(),
        });
    }
    if wanted("verdict") {
        let sustained = figures["reports_per_second_sqlite"].as_f64();
        let rate = sustained.unwrap_or(10_000.0).min(10_000.0) / 2.0;
        println!(
            "verdicts: {} of them, with {rate:.0} reports/s meanwhile",
            verdict::VERDICTS
        );
        let found = verdict::measure(&cores, rate, |number| {
            if number % 20 == 0 {
                println!("  {number} of {}", verdict::VERDICTS);
            }
        })
        .await?;
        let at = |share: f64| {
            found.times_ms[(share * (found.times_ms.len() - 1) as f64).round() as usize]
        };
        println!(
            "  to the last worker: median {:.1} ms, p99 {:.1} ms",
            at(0.5),
            at(0.99)
        );
        figures["verdict_to_last_worker_p99_ms"] = json!(tenths(at(0.99)));
        out["verdict_to_last_worker"] = json!({
            "verdicts": found.times_ms.len(),
            "envoy_workers": verdict::WORKERS,
            "reports_per_second_meanwhile": found.reports_per_second.round(),
            "median_ms": tenths(at(0.5)), "p99_ms": tenths(at(0.99)), "most_ms": tenths(at(1.0)),
        });
    }
    if wanted("samples") {
        let found = samples::measure(&cores).await?;
        println!(
            "samples: {:.0} a second, in the statistics after {} us at p50, {} us at p99",
            found.per_second, found.p50_us, found.p99_us
        );
        let to_statistics = json!(tenths(found.p99_us as f64 / 1_000.0));
        figures["sample_to_statistics_p99_ms"] = to_statistics.clone();
        among_inference(&folder, to_statistics)?;
        out["samples"] = json!({
            "per_second": found.per_second.round(), "compared": found.compared, "shed": found.shed,
            "p50_us": found.p50_us, "p99_us": found.p99_us,
        });
    }
    if only.as_deref() == Some("quick") {
        let scenario = Scenario {
            workers: 1_000,
            rollouts: 10,
            users: 100_000,
            length: Duration::from_secs(8),
            changes: 1,
            ..FULL
        };
        out["quick"] = measured("quick", &scenario, &cores).await?.to_json();
    }
    if wanted("growth") {
        let mut rows = Vec::new();
        let grows = [
            (100, 10),
            (1_000, 10),
            (10_000, 10),
            (1_000, 1),
            (1_000, 100),
        ];
        for (workers, rollouts) in grows {
            let scenario = Scenario {
                workers,
                rollouts,
                users: 100_000,
                length: Duration::from_secs(8),
                changes: 3,
                ..FULL
            };
            let name = format!("{workers} workers, {rollouts} rollouts");
            rows.push(measured(&name, &scenario, &cores).await?.to_json());
        }
        out["growth"] = json!(rows);
    }
    out["figures"] = figures;
    std::fs::create_dir_all(&folder).during("make target/bench")?;
    std::fs::write(&file, serde_json::to_string_pretty(&out)?).during("write judge.json")?;
    println!("{}", serde_json::to_string_pretty(&out["figures"])?);
    println!("written: target/bench/judge.json");
    Ok(())
}

/// The figure belongs to inference too, whose others `inference.py` measures.
fn among_inference(folder: &Path, to_statistics: Value) -> Result<()> {
    let file = folder.join("inference.json");
    let before = std::fs::read(&file).ok();
    let before = before.and_then(|bytes| serde_json::from_slice::<Value>(&bytes).ok());
    let mut out = before.unwrap_or_else(|| json!({}));
    out["figures"]["sample_to_statistics_p99_ms"] = to_statistics;
    std::fs::create_dir_all(folder).during("make target/bench")?;
    std::fs::write(&file, serde_json::to_string_pretty(&out)?).during("write inference.json")
}

async fn measured(name: &str, scenario: &Scenario, cores: &Cores) -> Result<Found> {
    println!(
        "{name}: {} workers, {} rollouts, {} users, {} s of reports",
        scenario.workers,
        scenario.rollouts,
        scenario.users,
        scenario.length.as_secs()
    );
    let found = scenario.measure(cores).await?;
    println!(
        "  {:.0} reports/s ({} us of CPU each, {} of the core), p50 {} ms, p99 {} ms, {} postponed; {:.0} MB at most; a change is everywhere in {} to {} ms",
        found.reports_per_second,
        found.cpu_us_per_report,
        found.core_share,
        found.p50_ms,
        found.p99_ms,
        found.postponed,
        found.memory_most_mb,
        found.change_ms_best,
        found.change_ms_worst,
    );
    Ok(found)
}

/// What the numbers are of, in words.
fn loads() -> Value {
    let template = report::Template::new("model-000", 1, false);
    json!({
        "report": {
            "slots": report::SLOTS,
            "unit_hashes": report::UNITS,
            "bytes_of_json": template.body_bytes(),
            "units": "10 new users, 6 first outcomes, 2 first errors, 2 first slow answers; drawn at random from the users of the rollout, so that at the start nearly all are new",
        },
        "reports": "1,024 keep-alive connections, each sends the next report when the last one is acknowledged, which is when it is on disk; sessions and rollouts in turn",
        "bare_endpoint": "the peer: axum on the same core, which reads the body of the same reports and answers",
        "workers": "as many connections on long poll, which stay through the reports, and as many sessions that report",
        "cores": "the judge has core 0 to itself (release profile); the load, and PostgreSQL's server with its default settings, have the others",
        "memory": "VmHWM of the judge, at the end of all that",
        "change": "a person pauses or resumes a rollout, while everybody polls and nobody reports; from the sending of that to the last poller that has the whole plan",
        "samples": "1,000 a second of the digits models for 20 s, ten to a batch, each read, answered by both arms' model files and counted on the judge's own core",
        "verdict": "a canary that fails every request is created, reported, judged and taken back; from the decision's time to the last of Envoy's threads that asks for the next plan",
    })
}

pub fn tenths(number: f64) -> f64 {
    (number * 10.0).round() / 10.0
}
