//! One release of a bad version, until its last request.

use crate::case::Case;
use crate::peers::{self, Verdict};
use serde_json::{Value, json};
use serinus_tests::digits;
use serinus_tests::failure::Result;
use serinus_tests::judge::status::Phase;
use serinus_tests::lab::{CANARY, CANARY_MODEL, CONTROL, CONTROL_MODEL, Lab, Settings, VERSIONS};
use serinus_tests::load::{Answer, Arm, Load, MODEL, Outcome, USER_HEADER};
use serinus_tests::model_server::Counts;
use serinus_tests::peers::{Observed, SLOW_MS, STEPS, Second};
use serinus_tests::wait;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// The model servers' median answer, in milliseconds: short, so that what is measured is
/// not how long a request takes.
const LATENCY_MS: f64 = 2.0;

/// Between two looks at a release.
const LOOK: Duration = Duration::from_millis(50);

/// So long without a request, its last one is over: at the lower load 40 would have come.
const QUIET: Duration = Duration::from_secs(2);

const LIMIT: Duration = Duration::from_secs(60);

pub struct Bench {
    lab: Lab,
    load: Load,
    rate: u32,
    seed: u64,
    /// What the new version's model file says of each image.
    labels: Vec<u8>,
}

/// How one release went; seconds are since its first bad answer.
#[derive(Debug)]
pub struct Release {
    /// Until the last request that the new version got; `None` when it was not taken back
    /// while it was watched.
    pub seconds: Option<f64>,
    /// Until the judge decided.
    pub decided_s: Option<f64>,
    /// Until all workers had that, since it was decided.
    pub delivered_ms: Option<u64>,
    /// What the judge said first of why.
    pub reason: String,
    pub canary_requests: u64,
    pub bad_answers: u64,
    /// Users who had a bad answer, by their keys.
    pub users_hurt: u64,
    /// Requests a second that were answered while it went on.
    pub answered_a_second: f64,
    /// Requests that failed because of Serinus or Envoy.
    pub our_failures: u64,
    pub flagger: Verdict,
    pub argo_rollouts: Verdict,
}

impl Bench {
    pub async fn start(rate: u32, users: u32, seed: u64) -> Result<Self> {
        let settings = Settings {
            latency_ms: LATENCY_MS,
            ..Settings::default()
        };
        let lab = Lab::start(&settings).await?;
        let load = lab.load(rate, users)?;
        let labels = digits::expected_labels(CANARY_MODEL, &lab.images)?;
        Ok(Self {
            lab,
            load,
            rate,
            seed,
            labels,
        })
    }

    /// Releases a version that is bad from its first request on, to 10% of the users.
    pub async fn release(&self, case: Case, number: u32) -> Result<Release> {
        let Lab {
            judge,
            control,
            canary,
            ..
        } = &self.lab;
        let id = format!("{}-{}-{number}", case.name(), self.seed);
        let host = format!("{id}.bench");
        control
            .set_faults(&json!({"error_rate": case.base_errors()}))
            .await?;
        canary.set_faults(&case.faults()).await?;
        self.load.set_host(&host);
        canary.reset().await?;
        let first_outcome = self.load.count();
        let begun = Instant::now();
        judge.create(&spec(&id, &host)).await?;

        let mut seconds: Vec<Second> = Vec::new();
        let mut counted = Counts::default();
        let mut status = judge.status(&id).await?;
        while status.phase == Phase::Running && begun.elapsed() < case.watched() {
            sleep(LOOK).await;
            if begun.elapsed() >= Duration::from_secs(seconds.len() as u64 + 1) {
                let now = canary.counts().await?;
                seconds.push(second(counted, now));
                counted = now;
            }
            status = judge.status(&id).await?;
        }
        let took = begun.elapsed();
        let answered = self.load.count() - first_outcome;
        let over = status.phase == Phase::RolledBack;
        let decisions = judge.decisions(&id).await?;
        let last = decisions.last().filter(|_| over);
        if !over {
            judge.act(&id, "abort", "watched for long enough").await?;
        }
        self.quiet().await?;
        seconds.push(second(counted, canary.counts().await?));

        let units = canary.units().await?;
        let outcomes = self.load.outcomes_from(first_outcome);
        let wrong = || outcomes.iter().filter(|outcome| self.is_wrong(outcome));
        let first_bad_ms = match case {
            Case::Wrong => wrong()
                .map(|outcome| outcome.sent_ms + u64::from(outcome.latency_us) / 1_000)
                .min(),
            Case::Errors50 | Case::Errors5 => {
                units.values().filter_map(|unit| unit.first_error_ms).min()
            }
        };
        let (Some(first_bad_ms), Some(last_ms), Some(first_ms)) = (
            first_bad_ms,
            units.values().map(|unit| unit.last_ms).max(),
            units.values().map(|unit| unit.first_ms).min(),
        ) else {
            return Err(format!("{id}: the new version gave no bad answer").into());
        };
        let counts = canary.counts().await?;
        let (bad_answers, users_hurt) = match case {
            Case::Wrong => {
                let mut users: Vec<u32> = wrong().map(|outcome| outcome.user).collect();
                let answers = users.len() as u64;
                users.sort_unstable();
                users.dedup();
                (answers, users.len() as u64)
            }
            Case::Errors50 | Case::Errors5 => {
                let hurt = units.values().filter(|unit| unit.errors > 0).count();
                (counts.errors, hurt as u64)
            }
        };
        let canarys = f64::from(self.rate) * STEPS[0] / 100.0;
        let slow = outcomes.iter().filter(|outcome| is_slow(outcome)).count();
        let then = Second {
            requests: canarys,
            errors: canarys * case.errors(),
            slow: canarys * slow as f64 / counts.requests.max(1) as f64,
        };
        let before_first = seconds
            .iter()
            .take_while(|second| second.requests == 0.0)
            .count();
        let observed = Observed::new(
            peers::gone_on(
                seconds.get(before_first..).unwrap_or_default(),
                then,
                self.seed + u64::from(number),
            ),
            then,
        );
        // Peers count from the canary's first traffic.
        let good_s = first_bad_ms.saturating_sub(first_ms) as f64 / 1_000.0;
        let since_bad = |ms: u64| ms.saturating_sub(first_bad_ms) as f64 / 1_000.0;
        let delivered = judge.status(&id).await?.delivery;
        let release = Release {
            seconds: over.then(|| since_bad(last_ms)),
            decided_s: last.map(|decision| since_bad(decision.at_ms)),
            delivered_ms: last.and(delivered.decided_to_last_worker_ms),
            reason: last
                .and_then(|decision| decision.reasons.first().cloned())
                .unwrap_or_else(|| format!("it is {:?}", status.phase)),
            canary_requests: counts.requests,
            bad_answers,
            users_hurt,
            answered_a_second: answered as f64 / took.as_secs_f64(),
            our_failures: outcomes
                .iter()
                .filter(|outcome| outcome.answer.is_our_fault())
                .count() as u64,
            flagger: Verdict::of_flagger(&observed, good_s),
            argo_rollouts: Verdict::of_argo_rollouts(&observed, good_s),
        };
        let path = format!("/v1/rollouts/{id}");
        judge.call(reqwest::Method::DELETE, &path, None).await?;
        Ok(release)
    }

    /// Waits until the new version has no more requests, though the load goes on.
    async fn quiet(&self) -> Result<()> {
        let mut last = (Instant::now(), u64::MAX);
        wait::until("the new version's last request", LIMIT, async || {
            let requests = self.lab.canary.counts().await?.requests;
            if requests != last.1 {
                last = (Instant::now(), requests);
            }
            Ok((last.0.elapsed() >= QUIET).then_some(()))
        })
        .await
    }

    fn is_wrong(&self, outcome: &Outcome) -> bool {
        let right = self.labels.get(usize::from(outcome.image)).copied();
        matches!(outcome.answer, Answer::Served { arm: Arm::Canary, label } if Some(label) != right)
    }
}

fn is_slow(outcome: &Outcome) -> bool {
    let by_canary = matches!(
        outcome.answer,
        Answer::Served {
            arm: Arm::Canary,
            ..
        }
    );
    by_canary && outcome.latency_us > SLOW_MS * 1_000
}

/// What the new version did since the last look.
fn second(before: Counts, now: Counts) -> Second {
    Second {
        requests: (now.requests - before.requests) as f64,
        errors: (now.errors - before.errors) as f64,
        slow: 0.0,
    }
}

/// What a person writes who leaves everything else at its default.
fn spec(id: &str, host: &str) -> Value {
    json!({
        "id": id,
        "match": {"host": host, "path_prefix": format!("/v2/models/{MODEL}/")},
        "unit": [{"header": USER_HEADER}],
        "arms": [
            {"name": CONTROL, "version": VERSIONS.control, "model": CONTROL_MODEL},
            {"name": CANARY, "version": VERSIONS.canary, "model": CANARY_MODEL},
        ],
    })
}

impl Release {
    pub fn in_words(&self) -> String {
        let time = self.seconds.map_or("not taken back".to_owned(), |seconds| {
            format!("{seconds:.2} s")
        });
        format!(
            "{time} ({} requests, {} bad answers, {} users hurt; {:.0} requests/s): {}",
            self.canary_requests,
            self.bad_answers,
            self.users_hurt,
            self.answered_a_second,
            self.reason
        )
    }

    /// # Errors
    /// When a request failed because of Serinus or Envoy: then it was no measurement.
    pub fn all_as_they_should<'a>(releases: impl Iterator<Item = &'a Self>) -> Result<()> {
        let failures: u64 = releases.map(|release| release.our_failures).sum();
        if failures == 0 {
            Ok(())
        } else {
            Err(format!("{failures} requests failed because of Serinus or Envoy").into())
        }
    }
}
