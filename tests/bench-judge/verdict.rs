//! From a verdict to the last thread of a real Envoy that has its plan, while reports
//! arrive.

use crate::bench::{Bench, Kind};
use crate::cores::Cores;
use crate::http::Connection;
use crate::load::{Load, Sequences};
use crate::report::Template;
use crate::tap::Tap;
use reqwest::Method;
use serde_json::{Value, json};
use serinus_tests::envoy::{Envoy, Settings, Upstreams};
use serinus_tests::failure::Result;
use serinus_tests::{artefacts, ports, wait};
use std::time::Duration;

/// Envoy's workers; its main thread polls, too, and is waited for as well.
pub const WORKERS: u8 = 4;

pub const VERDICTS: usize = 100;

const LIMIT: Duration = Duration::from_secs(60);

pub struct Found {
    /// Milliseconds from each decision to the last thread, ascending.
    pub times_ms: Vec<f64>,
    pub reports_per_second: f64,
}

/// `rate`: reports a second of other rollouts meanwhile.
pub async fn measure(cores: &Cores, rate: f64, progress: impl Fn(usize)) -> Result<Found> {
    let bench = Bench::start(Kind::Sqlite, cores).await?;
    let rollouts = bench.rollouts(50).await?;
    let tap = Tap::start(bench.judge.port()).await?;
    let folder = tempfile::tempdir()?;
    let wasm = artefacts::wasm()?;
    // Nobody serves there: no request is sent.
    let nobody = ports::free()?;
    let settings = Settings {
        upstreams: Upstreams {
            control: nobody,
            canary: nobody,
            shadow: nobody,
            judge: tap.port,
        },
        wasm: &wasm,
        concurrency: WORKERS,
        edits: &[],
    };
    let _envoy = Envoy::start(folder.path(), &settings).await?;
    wait::until("every thread of Envoy to poll", LIMIT, async || {
        Ok((tap.sessions() == usize::from(WORKERS) + 1).then_some(()))
    })
    .await?;
    let load = Load {
        port: bench.judge.port(),
        rollouts,
        sessions: 10_000,
        connections: 200,
        users: 1_000_000,
        rate: Some(rate),
    };
    let sequences = Sequences::default();
    let mut failing = Connection::open(bench.judge.port()).await?;
    let verdicts = async {
        let mut times_ms = Vec::new();
        for number in 0..VERDICTS {
            times_ms.push(one(&bench, &tap, &mut failing, number).await?);
            progress(number + 1);
        }
        Ok::<_, serinus_tests::failure::Failure>(times_ms)
    };
    // Longer than the verdicts take; what is left of it is not waited for.
    let running = load.run(Duration::from_secs(3_600), &sequences);
    let start = std::time::Instant::now();
    let before = counted(&bench).await?;
    let mut times_ms = tokio::select! {
        times_ms = verdicts => times_ms?,
        ended = running => return Err(format!("the load ended: {:?}", ended.err()).into()),
    };
    let reports = counted(&bench).await? - before;
    times_ms.sort_by(f64::total_cmp);
    Ok(Found {
        times_ms,
        reports_per_second: reports / start.elapsed().as_secs_f64(),
    })
}

/// One bad canary: created, reported, judged, taken back, seen by all.
async fn one(bench: &Bench, tap: &Tap, failing: &mut Connection, number: usize) -> Result<f64> {
    let judge = &bench.judge;
    let id = format!("bad-{number}");
    let spec = json!({
        "id": id,
        "match": {"path_prefix": format!("/bad/{number}/")},
        "unit": [{"header": "x-user-id"}],
        "arms": [{"name": "control", "version": "v1"}, {"name": "canary", "version": "v2"}],
    });
    judge.create(&spec).await?;
    let mut template = Template::new(&id, bench.epoch(&id).await?, true);
    let session = 1_000_000 + number as u64;
    let mut user = 0;
    let mut sequence = 0;
    let decision: Value = wait::until("the bad canary to be taken back", LIMIT, async || {
        sequence += 1;
        let report = template.write(session, sequence, || {
            user += 1;
            user
        });
        let answer = failing.ask(report).await?;
        if answer.status == 429 {
            sequence -= 1;
        } else if answer.status != 200 {
            return Err(format!("a report of a bad canary was answered {}", answer.status).into());
        }
        let path = format!("/v1/rollouts/{id}/decisions");
        let decisions = judge.call(Method::GET, &path, None).await?.body;
        let all = decisions.as_array().cloned().unwrap_or_default();
        Ok(all
            .into_iter()
            .find(|decision| decision["action"] == "roll_back"))
    })
    .await?;
    let counter = bench.plan().await?["revision"]["counter"].as_u64();
    let counter = counter.ok_or("the plan has no revision")?;
    let last = wait::until("every thread to have the plan", LIMIT, async || {
        Ok(tap.last_to_have(counter))
    })
    .await?;
    judge
        .call(Method::DELETE, &format!("/v1/rollouts/{id}"), None)
        .await?;
    let decided = decision["at_ms"].as_f64().ok_or("a decision has no time")?;
    Ok(last - decided)
}

async fn counted(bench: &Bench) -> Result<f64> {
    let counters = bench.judge.call(Method::GET, "/v1/counters", None).await?;
    let counted = counters.body["reports_counted"].as_f64();
    counted.ok_or_else(|| "the judge counts no reports".into())
}
