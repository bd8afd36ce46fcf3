//! When a person is asked, and what a deadline does.

use super::check;
use crate::domain::Action::{Hold, Pause, Promote, RollBack};
use crate::domain::Phase;
use crate::domain::evidence::Workers;
use crate::policy::tests::situation::Situation;
use serde_json::json;

#[test]
#[rustfmt::skip]
fn people_are_asked_where_the_spec_or_the_evidence_says_so() {
    check(&[
        ("undecided at a deadline, resumed, and the next one has not come", |s| {
            s.users = 1_000;
            s.spec = json!({"deadline": {"seconds": 200}});
            (s.phase, s.phase_since_ms) = (Some(Phase::Running), 250_000);
        }, Hold, "not yet surely"),
        ("resumed, and the deadline has passed again", |s| {
            s.users = 1_000;
            s.spec = json!({"deadline": {"seconds": 200}});
            (s.phase, s.phase_since_ms) = (Some(Phase::Running), 90_000);
        }, Pause, "deadline of 200 s has passed"),
        ("a deadline that goes on, and users are missing", |s| { goes_on(s); s.arriving = 0.75 }, Pause, "planned ratio"),
        ("a deadline that goes on, and canary has no route", |s| { goes_on(s); s.clusters = Some(["v1", "v1"]) }, Pause, "both served by"),
        ("a deadline that goes on, and all workers are silent", |s| { goes_on(s); s.workers = Workers { serving: 3, silent: 3, ..Workers::default() } }, Hold, "3 of 3 workers are silent"),
        ("a deadline that goes on, and nobody is heard of any more", |s| { goes_on(s); s.users = 1_000; s.workers = Workers::default() }, Hold, "no worker is heard of any more"),
        ("a deadline that goes on, and nobody ever came", |s| { goes_on(s); s.users = 0; s.workers = Workers::default() }, Promote, "deadline of 100 s"),
        ("a deadline that goes on, users are missing, and a gate is closed", |s| {
            goes_on(s);
            s.arriving = 0.75;
            s.closed = Some(("board", "answered 403"));
        }, Hold, "planned ratio"),
        ("a deadline that goes on, and a worker refuses the plan", |s| { goes_on(s); s.workers = Workers { serving: 20, refused: 1, ..Workers::default() } }, Hold, "refuse the plan"),
        ("a deadline that goes on, and a worker is a plan behind", |s| { goes_on(s); s.users = 1_000; s.workers = Workers { serving: 20, lagging: 1, ..Workers::default() } }, Promote, "deadline of 100 s"),
        ("worse than tolerated, and surely within the margin", |s| {
            s.users = 2_000_000;
            s.control(|arm| arm.errors(0.02));
            s.canary(|arm| arm.errors(0.025));
        }, Pause, "ask a person"),
        ("the same while paused", |s| {
            s.users = 2_000_000;
            s.phase = Some(Phase::Paused);
            s.control(|arm| arm.errors(0.02));
            s.canary(|arm| arm.errors(0.025));
        }, Hold, "only a rollback is automatic"),
        ("good, and a person is to look first", look_first, Pause, "a person is to look first"),
        ("a person is to look first, and it is too early to", |s| { look_first(s); s.users = 1_000 }, Hold, "not yet surely"),
        ("a person is to look first, and it is broken", |s| { look_first(s); s.canary(|arm| arm.errors(0.05)) }, RollBack, "with an error"),
        ("undecided at a deadline that pauses", |s| { s.users = 1_000; s.spec = json!({"deadline": {"seconds": 100, "then": "pause"}}) }, Pause, "deadline of 100 s has passed"),
        ("undecided at a deadline that rolls back", |s| { s.users = 1_000; s.spec = json!({"deadline": {"seconds": 100, "then": "roll_back"}}) }, RollBack, "deadline of 100 s has passed"),
        ("undecided at a deadline that goes on, and a person is to look first", |s| {
            look_first(s);
            s.users = 1_000;
            s.spec["deadline"] = json!({"seconds": 100, "then": "proceed"});
        }, Pause, "undecided at its deadline, and a person is to look first"),
        ("undecided at a deadline that goes on", |s| { s.users = 1_000; s.spec = json!({"deadline": {"seconds": 100, "then": "proceed"}}) }, Promote, "deadline of 100 s has passed"),
        ("undecided, and the deadline is a second away", |s| { s.users = 1_000; s.spec = json!({"deadline": {"seconds": 301}}) }, Hold, "not yet surely"),
        ("a deadline that goes on, and canary is not ready", |s| {
            s.spec = json!({"deadline": {"seconds": 100, "then": "proceed"}});
            s.not_ready = Some("it is down");
        }, Pause, "canary is not ready"),
        ("users are missing at a deadline that pauses", |s| { s.arriving = 0.75; s.spec = json!({"deadline": {"seconds": 100}}) }, Pause, "planned ratio"),
        ("a deadline that goes on, at the last step", |s| {
            s.users = 1_000;
            s.step = 1;
            s.spec = json!({
                "steps": [{"weights": {"canary": 10}}, {"weights": {"canary": 50}}],
                "deadline": {"seconds": 100, "then": "proceed"},
            });
        }, Hold, "deadline of 100 s has passed"),
        ("a deadline while paused", |s| { s.phase = Some(Phase::Paused); s.spec = json!({"deadline": {"seconds": 100, "then": "roll_back"}}) }, Hold, "paused"),
        ("a deadline while warming up", |s| { s.warm = false; s.spec = json!({"deadline": {"seconds": 100}}) }, Pause, "warming up"),
    ]);
}

/// Past a deadline at which it goes on.
fn goes_on(s: &mut Situation) {
    s.spec = json!({"deadline": {"seconds": 100, "then": "proceed"}});
}

fn look_first(s: &mut Situation) {
    s.spec = json!({"steps": [
        {"weights": {"canary": 10}, "look_first": true}, {"weights": {"canary": 100}}]});
}
