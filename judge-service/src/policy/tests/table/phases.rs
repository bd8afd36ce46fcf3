//! What is automatic in each phase, and how a watch ends.

use super::{check, waiting};
use crate::domain::Action::{Finish, Hold, RollBack, Start};
use crate::domain::Phase;
use crate::domain::evidence::Workers;
use crate::policy::tests::situation::Situation;
use serde_json::json;

#[test]
#[rustfmt::skip]
fn phases_say_what_is_automatic() {
    check(&[
        ("paused and good", |s| s.phase = Some(Phase::Paused), Hold, "only a rollback is automatic"),
        ("rolled back", |s| s.phase = Some(Phase::RolledBack), Hold, "the rollout is rolled back"),
        ("rolled back, and errors still come in", |s| { s.phase = Some(Phase::RolledBack); s.both(|arm| arm.errors(0.5)) }, Hold, "the rollout is rolled back"),
        ("aborted", |s| s.phase = Some(Phase::Aborted), Hold, "the rollout is aborted"),
        ("superseded", |s| s.phase = Some(Phase::Superseded), Hold, "the rollout is superseded"),
        ("finished", |s| { s.step = 3; s.phase = Some(Phase::Finished) }, Hold, "the rollout is finished"),
        ("waiting for a version to be ready", |s| { waiting(s); s.not_ready = Some("it was not asked yet") }, Hold, "canary is not ready: it was not asked yet"),
        ("waiting for hours", |s| { waiting(s); s.not_ready = Some("it is down"); s.seconds_in_step = 1_000_000 }, Hold, "canary is not ready"),
        ("every version is ready", waiting, Start, "every arm is ready"),
        ("watching", |s| { s.spec = json!({"holdback_percent": 5}); s.step = 3 }, Hold, "watching against the 5% held back for 5 min of 86400 s"),
        ("watched for a day", |s| { s.spec = json!({"holdback_percent": 5}); s.step = 3; s.seconds_in_step = 86_400 }, Finish, "no harm was found"),
        ("watched for a day, in which hardly anybody was held back", |s| {
            s.spec = json!({"holdback_percent": 5});
            s.step = 3;
            s.seconds_in_step = 86_400;
            s.users = 2_000;
        }, Hold, "did not show enough"),
        ("watched for four days, in which hardly anybody was held back", |s| {
            s.spec = json!({"holdback_percent": 5});
            s.step = 3;
            s.seconds_in_step = 4 * 86_400;
            s.users = 2_000;
        }, Finish, "did not show enough"),
        ("watched for a day, and latency was never learned", |s| {
            s.spec = json!({"holdback_percent": 5});
            s.step = 3;
            s.seconds_in_step = 86_400;
            s.warm = false;
        }, Hold, "did not show enough"),
        ("watched for as long as was asked", |s| { s.spec = json!({"holdback_percent": 1, "watch": {"seconds": 200}}); s.step = 3 }, Finish, "watched for 200 s against the 1%"),
        ("the watch is over, and half of the workers are silent", |s| { watched(s); s.workers = Workers { serving: 2, silent: 1, ..Workers::default() } }, Hold, "1 of 2 workers are silent"),
        ("the watch is over, and one of many workers is on its way out", |s| { watched(s); s.workers = Workers { serving: 20, silent: 1, ..Workers::default() } }, Finish, "no harm was found"),
        ("the watch is over, and a worker refuses the plan", |s| { watched(s); s.workers = Workers { serving: 20, refused: 1, ..Workers::default() } }, Hold, "refuse the plan"),
        ("the watch is over, and a worker took the old version off", |s| { watched(s); s.trip = Some("control") }, Finish, "no harm was found"),
        ("the watch is over, and nobody is heard of any more", |s| { watched(s); s.workers = Workers::default() }, Hold, "no worker is heard of"),
        ("the watch is over, and users are missing", |s| { watched(s); s.arriving = 0.9 }, Hold, "planned ratio"),
        ("the watch is over, and both versions are one cluster", |s| { watched(s); s.clusters = Some(["v1", "v1"]) }, Hold, "both served by"),
        ("the watch is over, and it is worse than tolerated, yet within the margin", |s| {
            watched(s);
            s.users = 4_000_000;
            s.control(|arm| arm.errors(0.02));
            s.canary(|arm| arm.errors(0.025));
        }, Hold, "a person is to `finish` or `abort`"),
        ("the same before the watch is over", |s| {
            watched(s);
            s.seconds_in_step = 100;
            s.users = 4_000_000;
            s.control(|arm| arm.errors(0.02));
            s.canary(|arm| arm.errors(0.025));
        }, Hold, "worse than tolerated"),
        ("blue and green, with some held back", |s| s.spec = json!({"steps": [{"weights": {"canary": 100}}], "holdback_percent": 10}), Hold, "watching against the 10%"),
        ("blue and green, and green is broken", |s| {
            s.spec = json!({"steps": [{"weights": {"canary": 100}}], "holdback_percent": 10});
            s.canary(|arm| arm.errors(0.05));
        }, RollBack, "with an error"),
        ("blue and green with nobody held back, and a breaker opened", |s| { s.spec = json!({"steps": [{"weights": {"canary": 100}}]}); s.trip = Some("canary") }, RollBack, "breaker"),
    ]);
}

/// Promoted, and the watch is over.
fn watched(s: &mut Situation) {
    s.spec = json!({"holdback_percent": 5, "watch": {"seconds": 200}});
    s.step = 3;
}
