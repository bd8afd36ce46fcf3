//! What a judge knows, as metrics.

use super::page::{Labels, Page, label};
use crate::domain::Millis;
use crate::service::status::Status;
use crate::service::{Delivery, Service, Standing};

/// What the one that judges knows.
pub async fn leader(page: &mut Page, service: &Service) {
    page.gauge("leader", "Whether this judge judges", 1.0);
    counted(page, service);
    delivery(page, service.delivery(), service.now());
    let measures = service.measures();
    page.family(
        "decisions",
        "Decisions that are on disk, by what was decided and by whom",
        &measures.decisions,
    );
    page.histogram(
        "commit_seconds",
        "From the beginning of a commit until it is on disk",
        &measures.commit,
    );
    page.histogram(
        "look_seconds",
        "One look at all rollouts, without waiting",
        &measures.look,
    );
    page.histogram(
        "delivery_seconds",
        "From a decision to the last of the workers that served then",
        &measures.delivery,
    );
    page.histogram(
        "inference_seconds",
        "One sample against the file of its model",
        &measures.inference,
    );
    // A store that fails is a metric too, and the rest is known without it.
    let Ok(size) = service.size().await else {
        page.gauge(
            "store_ready",
            "Whether the store keeps what is counted",
            0.0,
        );
        return;
    };
    page.gauge(
        "store_ready",
        "Whether the store keeps what is counted",
        1.0,
    );
    page.gauge("rollouts", "Rollouts that are known", size.rollouts as f64);
    page.gauge("units", "Users that are remembered", size.units as f64);
    page.gauge(
        "sessions",
        "Workers' sessions that are remembered",
        size.sessions as f64,
    );
    if let Ok(statuses) = service.statuses().await {
        rollouts(page, &statuses);
    }
}

/// What a judge knows that does not judge.
pub fn follower(page: &mut Page, delivery: &Delivery, now: Millis) {
    page.gauge("leader", "Whether this judge judges", 0.0);
    self::delivery(page, delivery, now);
}

/// What each judge knows of itself.
pub fn of_every_judge(page: &mut Page) {
    page.gauges(
        "build_info",
        "The version that runs",
        [(label("version", env!("CARGO_PKG_VERSION")), 1.0)],
    );
}

fn counted(page: &mut Page, service: &Service) {
    let counters = service.counters();
    page.counters(
        "reports",
        "Reports of workers, by what became of them",
        [
            ("counted", counters.reports_counted),
            ("duplicate", counters.reports_duplicate),
            ("refused", counters.reports_refused),
            ("postponed", counters.reports_postponed),
        ]
        .map(|(outcome, count)| (label("outcome", outcome), count)),
    );
    page.counter(
        "reports_missing",
        "Reports that never arrived, by the gaps in their numbers",
        counters.reports_missing,
    );
    page.counter(
        "reports_claimed",
        "Reports under a name that another report has",
        counters.reports_claimed,
    );
    page.counter(
        "report_parts_unknown",
        "Parts of reports for rollouts or epochs that are not known",
        counters.report_parts_unknown,
    );
    page.counter(
        "requests_malformed",
        "Requests that made no sense",
        counters.requests_malformed,
    );
    page.counters(
        "samples",
        "Sampled answers, by what became of them",
        [
            ("compared", counters.samples_compared),
            ("unreadable", counters.samples_unreadable),
            ("shed", counters.samples_shed),
        ]
        .map(|(outcome, count)| (label("outcome", outcome), count)),
    );
    page.counters(
        "feedback",
        "Outcomes that were told, by what became of them",
        counters
            .feedback
            .iter()
            .map(|(&outcome, &count)| (label("outcome", outcome), count)),
    );
    page.counters(
        "ecds_configurations",
        "Filter configurations by ECDS, and what proxies said of them",
        [
            ("sent", counters.ecds_sent),
            ("accepted", counters.ecds_accepted),
            ("refused", counters.ecds_refused),
        ]
        .map(|(outcome, count)| (label("outcome", outcome), count)),
    );
    page.counter(
        "store_errors",
        "Commits that failed; what they had was taken back",
        service.store_failures(),
    );
    page.gauge(
        "ingest_queue_bytes",
        "Bytes of reports that wait to be counted",
        service.waiting_bytes() as f64,
    );
    page.gauge(
        "watchers",
        "Those who watch by server-sent events",
        service.watchers() as f64,
    );
}

fn delivery(page: &mut Page, delivery: &Delivery, now: Millis) {
    let (mut states, mut idle) = ([0_u32; 4], 0_u32);
    let standings = Standing::ALL;
    for worker in delivery.workers(now) {
        if !worker.serves_traffic && worker.state != Standing::Refused {
            idle += 1;
            continue;
        }
        let counts = standings.iter().zip(&mut states);
        for (_, count) in counts.filter(|(standing, _)| **standing == worker.state) {
            *count += 1;
        }
    }
    let workers = standings.iter().map(|standing| standing.name()).zip(states);
    page.gauges(
        "workers",
        "Workers by whether they have the newest plan; idle ones serve no traffic",
        workers
            .chain([("idle", idle)])
            .map(|(state, count)| (label("state", state), f64::from(count))),
    );
    let proxies = delivery.proxies().states(now);
    let connected = proxies.iter().filter(|proxy| proxy.connected).count();
    page.gauge(
        "xds_proxies",
        "Proxies with an ECDS stream",
        connected as f64,
    );
    let revision = delivery.revision();
    page.gauges(
        "plan_revision",
        "The revision of the plan that is out",
        [
            ("generation", revision.generation),
            ("counter", revision.counter),
        ]
        .map(|(part, number)| (label("part", part), number as f64)),
    );
}

fn rollouts(page: &mut Page, statuses: &[Status]) {
    let of = |status: &Status, more: &[(&'static str, &str)]| -> Labels {
        let more = more
            .iter()
            .map(|(name, value)| (*name, (*value).to_owned()));
        [("rollout", status.id.clone())]
            .into_iter()
            .chain(more)
            .collect()
    };
    page.gauges(
        "rollout_phase",
        "1 for the phase that a rollout is in",
        statuses
            .iter()
            .map(|status| (of(status, &[("phase", status.phase.name())]), 1.0)),
    );
    page.gauges(
        "rollout_step",
        "The step that a rollout is at, from 1",
        statuses
            .iter()
            .map(|status| (of(status, &[]), (status.step + 1) as f64)),
    );
    page.gauges(
        "rollout_decisions",
        "Decisions on a rollout since it was created",
        statuses
            .iter()
            .map(|status| (of(status, &[]), status.decisions as f64)),
    );
    page.gauges(
        "rollout_verdict",
        "1 for what the last look came to",
        statuses.iter().filter_map(|status| {
            let action = status.evaluation.as_ref()?.action;
            Some((of(status, &[("verdict", action.name())]), 1.0))
        }),
    );
    page.gauges(
        "rollout_notices",
        "What a person should know of a rollout",
        statuses
            .iter()
            .map(|status| (of(status, &[]), status.notices.len() as f64)),
    );
    page.gauges(
        "rollout_share",
        "The share of users that an arm has now",
        statuses.iter().flat_map(|status| {
            let arms = status.arms.iter();
            arms.map(move |arm| {
                (
                    of(status, &[("arm", arm.name.as_str())]),
                    arm.weight / 100.0,
                )
            })
        }),
    );
    let traffic = || {
        statuses
            .iter()
            .flat_map(|status| status.traffic.iter().map(move |of| (status, of)))
    };
    page.counters(
        "rollout_exposures",
        "Requests that were given an arm, since the rollout was created",
        traffic().map(|(status, arm)| (of(status, &[("arm", arm.arm.as_str())]), arm.exposures)),
    );
    page.counters(
        "rollout_requests",
        "Requests of an arm that ended, since the rollout was created",
        traffic().map(|(status, arm)| (of(status, &[("arm", arm.arm.as_str())]), arm.finished)),
    );
    page.counters(
        "rollout_errors",
        "Those that were errors",
        traffic().map(|(status, arm)| (of(status, &[("arm", arm.arm.as_str())]), arm.errors)),
    );
}
