//! Every path of the API: what answers it, and what is said of that.

use super::decisions::DecisionSummary;
use super::feedback::{self, FeedbackBody};
use super::guard::Guarded;
use super::openapi::{self, Operation, delete, get, post};
use super::rollouts::Reason;
use super::{alive, decisions, events, fleet, judge, metrics, ready, rollouts, session, workers};
use crate::access::Needs;
use crate::books::Counted;
use crate::domain::audit::Audited;
use crate::domain::decision::{Deed, Sealed};
use crate::domain::{Phase, RolloutSpec};
use crate::service::status::Status;
use crate::service::{
    AnswersStatus, Counters, Draft, Example, Point, ProxyState, Received, Service, Taken,
    WebhookState, WorkerState,
};
use axum::Extension;
use axum::http::header;
use axum::routing::{self, MethodRouter};
use serde_json::{Value, json};
use serinus_core::plan::Plan;
use serinus_core::report::Report;
use serinus_core::sample::SampleBatch;
use std::sync::Arc;

pub struct Route {
    pub path: &'static str,
    pub handlers: MethodRouter<Arc<Service>>,
    /// One for each method.
    pub operations: Vec<Operation>,
}

/// All paths, with what answers them.
pub fn all() -> Vec<Route> {
    let mut all = vec![
        route(
            "/v1/rollouts",
            routing::get(rollouts::list).post(rollouts::create),
            [list(), create()],
        ),
        route(
            "/v1/rollouts/{id}",
            routing::get(rollouts::read).delete(rollouts::delete),
            [read(), remove()],
        ),
    ];
    all.extend(deeds());
    all.extend(looks());
    all.extend(for_others());
    all.extend(for_workers());
    all.extend(about_the_judge());
    all
}

fn route<const N: usize>(
    path: &'static str,
    handlers: MethodRouter<Arc<Service>>,
    operations: [Operation; N],
) -> Route {
    Route {
        path,
        handlers,
        operations: operations.into(),
    }
}

const VERSION: &str = "The version of the rollout; another one after each decision.";

fn a_limit() -> Value {
    json!({"type": "integer", "minimum": 1, "maximum": u32::MAX})
}

fn phases() -> Value {
    let one = Phase::ALL.map(Phase::name).join("|");
    json!({"type": "string", "pattern": format!("^({one})(,({one}))*$")})
}

fn list() -> Operation {
    get("listRollouts", "Rollouts in the order of their creation")
        .query("phase", "Names of phases with commas between", phases())
        .query(
            "after",
            "The id after which the list goes on",
            json!({"type": "string"}),
        )
        .refuses(&[404])
        .query("limit", "Rollouts on one page", a_limit())
        .gives::<Vec<Status>>(200, "The rollouts, or a page of them")
        .with_header(
            "Link",
            "Where the next page is, if there is one: `<...>; rel=\"next\"`",
        )
}

fn create() -> Operation {
    post("createRollout", "Start a rollout")
        .query(
            "dry_run",
            "Only say what would be kept, or why it would be refused",
            json!({"type": "boolean"}),
        )
        .idempotent()
        .takes::<RolloutSpec>()
        .such_as(json!({
            "id": "digits",
            "match": {"path_prefix": "/v2/models/digits/"},
            "unit": [{"header": "x-user-id"}],
            "arms": [{"name": "control", "version": "v1"}, {"name": "canary", "version": "v2"}],
        }))
        .gives::<Draft>(200, "With `dry_run`: what would be kept")
        .gives::<Status>(201, "It has begun, or waits until its arms are ready")
        .with_header("Location", "Where it is")
        .with_header("ETag", VERSION)
        .refuses(&[409])
}

fn read() -> Operation {
    get("getRollout", "How a rollout stands")
        .if_none_match()
        .gives::<Status>(200, "As of now")
        .with_header("ETag", VERSION)
        .gives_nothing(304, "Nothing was decided since")
        .refuses(&[404])
}

fn remove() -> Operation {
    delete("deleteRollout", "Forget a rollout that is over")
        .if_match()
        .may_take::<Reason>()
        .gives_nothing(
            204,
            "It is forgotten, with the secret of its users' pseudonyms",
        )
        .refuses(&[404, 409])
}

fn deeds() -> [Route; 9] {
    let said = |id, summary| {
        post(id, summary)
            .if_match()
            .idempotent()
            .may_take::<Reason>()
            .gives::<Status>(200, "It is done, and on its way to the workers")
            .with_header("ETag", VERSION)
            .refuses(&[404, 409])
    };
    let deed = |path, deed, id, summary| route(path, rollouts::doing(deed), [said(id, summary)]);
    [
        deed(
            "/v1/rollouts/{id}/promote",
            Deed::Promote,
            "promoteRollout",
            "Go on to the next step, without waiting for evidence",
        ),
        deed(
            "/v1/rollouts/{id}/approve",
            Deed::Approve,
            "approveRollout",
            "Say yes to the next step of a rollout that asks for it (`awaits_approval`)",
        ),
        deed(
            "/v1/rollouts/{id}/pause",
            Deed::Pause,
            "pauseRollout",
            "Keep the weights; only a rollback is still automatic",
        ),
        deed(
            "/v1/rollouts/{id}/resume",
            Deed::Resume,
            "resumeRollout",
            "Let the judge promote again",
        ),
        deed(
            "/v1/rollouts/{id}/abort",
            Deed::Abort,
            "abortRollout",
            "Take everybody back to the baseline",
        ),
        deed(
            "/v1/rollouts/{id}/finish",
            Deed::Finish,
            "finishRollout",
            "End the watch over a promoted version",
        ),
        route(
            "/v1/rollouts/{id}/arms/{arm}/drop",
            routing::post(rollouts::drop_arm),
            [said("dropArm", "Take one arm back while the others go on")],
        ),
        deed(
            "/v1/rollouts/{id}/sampling/stop",
            Deed::StopSampling,
            "stopSampling",
            "Copy no more requests and answers, and forget those that were kept",
        ),
        deed(
            "/v1/rollouts/{id}/sampling/start",
            Deed::StartSampling,
            "startSampling",
            "Copy requests and answers again",
        ),
    ]
}

fn looks() -> [Route; 8] {
    let look = |id, summary| get(id, summary).refuses(&[404]);
    [
        route(
            "/v1/rollouts/{id}/events",
            routing::get(events::one),
            [
                look("watchRollout", "What changes of a rollout, as it changes").gives_events(
                    200,
                    "Events `listed`, `rollout` (a Status), `decision` and `deleted`",
                ),
            ],
        ),
        route(
            "/v1/rollouts/{id}/series",
            routing::get(rollouts::series),
            [
                look("getSeries", "Traffic and evidence over the last half hour")
                    .query(
                        "after_ms",
                        "Only later points",
                        json!({"type": "integer", "minimum": 0, "maximum": u64::MAX}),
                    )
                    .gives::<Vec<Point>>(200, "About one point a second"),
            ],
        ),
        route(
            "/v1/rollouts/{id}/examples",
            routing::get(rollouts::examples),
            [
                look("getExamples", "Answers that the model's file does not give")
                    .gives::<Vec<Example>>(200, "The newest first"),
            ],
        ),
        route(
            "/v1/rollouts/{id}/answers",
            routing::get(rollouts::answers),
            [look(
                "getAnswers",
                "What users were answered at this step, and what the models say of it",
            )
            .gives::<AnswersStatus>(200, "Distributions, differences, outcomes, causes")],
        ),
        route(
            "/v1/rollouts/{id}/chain",
            routing::get(decisions::chain),
            [look(
                "getChain",
                "All decisions with their evidence, for `serinus replay`",
            )
            .gives::<Vec<Sealed>>(
                200,
                "The oldest first, each with the hash of the one before",
            )],
        ),
        route(
            "/v1/rollouts/{id}/decisions",
            routing::get(decisions::list),
            [
                look("listDecisions", "All decisions, without their evidence")
                    .gives::<Vec<DecisionSummary>>(200, "The oldest first"),
            ],
        ),
        route(
            "/v1/rollouts/{id}/decisions/{sequence}",
            routing::get(decisions::one),
            [look(
                "getDecision",
                "One decision with its evidence, for `serinus replay`",
            )
            .gives::<Sealed>(200, "As it was sealed")],
        ),
        route(
            "/v1/events",
            routing::get(events::all),
            [get(
                "watchRollouts",
                "What changes of all rollouts, as it changes",
            )
            .gives_events(
                200,
                "Events `listed`, `rollout` (a Status), `decision` and `deleted`",
            )],
        ),
    ]
}

fn for_workers() -> [Route; 3] {
    [
        route(
            "/v1/plan",
            routing::get(workers::plan),
            [get("getPlan", "The plan by which filters route")
                .query(
                    "revision",
                    "The one that is known, such as 1.42: the answer waits for another",
                    json!({"type": "string", "pattern": "^[0-9]{1,15}\\.[0-9]{1,15}$"}),
                )
                .query(
                    "wait",
                    "Seconds to wait at most; more than 30 are as good as 30",
                    json!({"type": "integer", "minimum": 0, "maximum": u64::MAX}),
                )
                .query("session", "The worker that asks", json!({"type": "string"}))
                .query(
                    "source",
                    "`config` for a worker whose plan comes another way",
                    json!({"type": "string"}),
                )
                .needs(Needs::ProxyOrOperator)
                .gives::<Plan>(200, "The plan")
                .gives_nothing(204, "There is no other")],
        ),
        route(
            "/v1/reports",
            routing::post(workers::report),
            [post("postReport", "What a worker counted")
                .needs(Needs::Proxy)
                .takes_tolerantly::<Report>()
                .gives::<Counted>(200, "It is counted, and on disk")
                .refuses(&[404, 409, 429])],
        ),
        route(
            "/v1/samples",
            routing::post(workers::samples),
            [post(
                "postSamples",
                "Requests and answers to compare with the models",
            )
            .needs(Needs::Proxy)
            .takes_tolerantly::<SampleBatch>()
            .gives::<Taken>(200, "What became of them")
            .refuses(&[404, 429])],
        ),
    ]
}

fn for_others() -> [Route; 1] {
    [route(
        "/v1/feedback",
        routing::post(feedback::tell),
        [post(
            "postFeedback",
            "Outcomes that became known later: one, a list, or one on each line",
        )
        // Whoever tells outcomes is a program, and need not be one that decides.
        .needs(Needs::ProxyOrOperator)
        .takes::<FeedbackBody>()
        .gives::<Received>(200, "What became of each")
        .refuses(&[413])],
    )]
}

fn about_the_judge() -> [Route; 11] {
    let health = |id, summary| {
        get(id, summary)
            .needs(Needs::Nothing)
            .gives::<super::Health>(200, "It is well")
    };
    [
        route(
            session::PATH,
            session::methods(),
            [
                get("getSession", "Who asks, as the judge sees it")
                    .needs(Needs::Anybody)
                    .gives::<session::Session>(200, "The name and the role of the token"),
                post(
                    "beginSession",
                    "Keep the token of this request in a cookie, for the page",
                )
                // A proxy's would show it nothing.
                .needs(Needs::Viewer)
                .gives::<session::Session>(200, "The name and the role of the token")
                .with_header(
                    "Set-Cookie",
                    "The token, for this site alone and for no script",
                )
                .refuses(&[409]),
                delete("endSession", "Forget the cookie")
                    .needs(Needs::Nothing)
                    .gives_nothing(204, "It is forgotten"),
            ],
        ),
        route(
            "/v1/audit",
            routing::get(judge::audit),
            [get("listAudit", "Who did what to which rollout, and why")
                .query(
                    "after",
                    "Only records after this number",
                    json!({"type": "integer", "minimum": 0, "maximum": u64::MAX}),
                )
                .query("limit", "Records at once, 1000 at most", a_limit())
                .gives::<Vec<Audited>>(
                    200,
                    "The oldest first, each with the hash of the one before",
                )],
        ),
        route(
            "/v1/workers",
            routing::get(fleet::workers),
            [get("listWorkers", "Workers, and the plan that each has")
                .query("limit", "At most so many", a_limit())
                .query(
                    "sort",
                    "`state` for those without the newest plan first, on one page",
                    json!({"enum": ["node", "state"]}),
                )
                .query(
                    "after",
                    "Where the page before ended, from its `Link`",
                    json!({"type": "string"}),
                )
                .gives::<Vec<WorkerState>>(200, "Those that were heard lately, by their nodes")
                .with_header(
                    "Link",
                    "Where the next page is, if there is one: `<...>; rel=\"next\"`",
                )],
        ),
        route(
            "/v1/plan/public",
            routing::get(judge::public_plan),
            [get(
                "getPublicPlan",
                "The plan without the secrets of users' pseudonyms: what says which arm a user has",
            )
            .gives::<Plan>(200, "The plan; each `identity_key` is zeros")
            .refuses(&[503])],
        ),
        route(
            "/v1/proxies",
            routing::get(judge::proxies),
            [get("listProxies", "Proxies that get their plan by ECDS")
                .gives::<Vec<ProxyState>>(200, "All that were heard lately")],
        ),
        route(
            "/v1/webhooks",
            routing::get(judge::webhooks),
            [get(
                "listWebhooks",
                "Who is told of decisions, and whether it works",
            )
            .gives::<Vec<WebhookState>>(200, "One for each that was told or is to be")],
        ),
        route(
            "/v1/counters",
            routing::get(judge::counters),
            [get(
                "getCounters",
                "What was counted and refused since the judge started",
            )
            .gives::<Counters>(200, "As of now")],
        ),
        route(
            metrics::PATH,
            routing::get(metrics::alone),
            [
                get("getMetrics", "What a Prometheus reads of this judge").gives_text(
                    200,
                    "application/openmetrics-text",
                    "OpenMetrics, as of now",
                ),
            ],
        ),
        route(
            "/health/live",
            routing::get(alive),
            [health("isAlive", "Whether the judge runs")],
        ),
        route(
            "/health/ready",
            routing::get(ready),
            [health(
                "isReady",
                "Whether the judge takes reports and keeps them",
            )],
        ),
        route(
            "/v1/openapi.json",
            routing::get(async |Extension(Guarded(admission)): Extension<Guarded>| {
                let kind = [(header::CONTENT_TYPE, "application/json")];
                (kind, openapi::served(admission.is_guarded()))
            }),
            [get("getDescription", "This description")
                .needs(Needs::Nothing)
                .gives::<Value>(200, "OpenAPI 3.1")],
        ),
    ]
}
