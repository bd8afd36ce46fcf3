//! What the judge does, situation by situation: each a sentence, the action, and what
//! the reasons say.

mod answers;
mod asking;
mod phases;

use super::situation::{Arm, GOOD, Situation};
use crate::domain::Action::{self, Drop, Hold, Pause, Promote, RollBack};
use crate::domain::Phase;
use crate::domain::evidence::Workers;
use serde_json::json;

type Case = (&'static str, fn(&mut Situation), Action, &'static str);

#[track_caller]
fn check(cases: &[Case]) {
    for &(sentence, change, action, reason) in cases {
        let mut situation = Situation::default();
        change(&mut situation);
        let verdict = situation.judge();
        assert_eq!(verdict.action, action, "{sentence}: {:#?}", verdict.reasons);
        assert!(
            verdict.reasons.iter().any(|words| words.contains(reason)),
            "{sentence}: no reason says `{reason}`: {:#?}",
            verdict.reasons
        );
        assert_eq!(
            verdict.asks_for_approval,
            verdict.reasons[0].contains("a person is to look first"),
            "{sentence}"
        );
    }
    let mut situations: Vec<String> = Vec::new();
    for &(sentence, change, ..) in cases {
        let mut situation = Situation::default();
        change(&mut situation);
        let bundle = serde_json::to_string(&situation.bundle()).unwrap();
        assert!(
            !situations.contains(&bundle),
            "{sentence}: it is there already"
        );
        situations.push(bundle);
    }
    // Each table says how it grows.
    let sentences: std::collections::BTreeSet<&str> = cases.iter().map(|case| case.0).collect();
    assert_eq!(sentences.len(), cases.len(), "a sentence stands twice");
}

#[test]
#[rustfmt::skip]
fn what_is_surely_good_enough_goes_on() {
    check(&[
        ("as good as control", |_| {}, Promote, "error rate is surely"),
        ("no error at all in either arm", |s| { s.users = 20_000; s.both(|arm| arm.errors(0.0)) }, Promote, "surely under 1%"),
        ("fewer errors than control", |s| { s.users = 20_000; s.control(|arm| arm.errors(0.02)) }, Promote, "error rate"),
        ("much faster than control", |s| s.canary(|arm| arm.slower(0.1)), Promote, "p95 is surely less than"),
        ("both arms fail alike: not the model", |s| { s.users = 20_000; s.both(|arm| arm.errors(0.3)) }, Promote, "surely below 1.5 times control's"),
        ("at the second step", |s| s.step = 1, Promote, "surely"),
        ("at the third step, where canary has more users than control", |s| s.step = 2, Promote, "surely"),
        ("half and half", |s| s.spec = json!({"steps": [{"weights": {"canary": 50}}, {"weights": {"canary": 100}}]}), Promote, "surely"),
        ("each user came once", |s| { s.users = 200_000; s.both(|arm| arm.requests(1)) }, Promote, "surely"),
        ("each user came a hundred times", |s| { s.users = 20_000; s.both(|arm| arm.requests(100)) }, Promote, "surely"),
        ("a tenth more errors, which is tolerated", |s| { s.users = 400_000; s.canary(|arm| arm.errors(0.0055)) }, Promote, "surely"),
        ("twice the errors, where that much is tolerated", |s| {
            s.users = 400_000;
            s.spec = json!({"guardrails": {"errors": {"tolerated_ratio": 2.5, "margin_ratio": 3}}});
            s.canary(|arm| arm.errors(0.01));
        }, Promote, "error rate is surely"),
        ("five times the errors, all of them fewer than the floor", |s| {
            s.users = 2_000_000;
            s.control(|arm| arm.errors(0.0001));
            s.canary(|arm| arm.errors(0.0005));
        }, Promote, "surely under 1%"),
        ("no model is named, so no answer is compared", |s| {
            s.spec = json!({"arms": [{"name": "control"}, {"name": "canary"}]});
            s.both(|arm| arm.unsampled());
        }, Promote, "error rate"),
        ("few answers that the model file does not give", |s| { s.users = 400_000; s.both(|arm| arm.mismatches(0.003)) }, Promote, "surely disagrees"),
        ("as soon as the minimum is over", |s| s.seconds_in_step = 60, Promote, "surely"),
        ("no minimum time is asked for", |s| { s.spec = json!({"minimum": {"seconds": 0}}); s.seconds_in_step = 6; }, Promote, "surely"),
        ("long before the deadline, though that says to roll back", |s| s.spec = json!({"deadline": {"seconds": 1000, "then": "roll_back"}}), Promote, "surely"),
        ("past the deadline, and good enough", |s| s.spec = json!({"deadline": {"seconds": 100}}), Promote, "surely"),
        ("one silent worker in a large fleet", |s| s.workers = Workers { serving: 20, silent: 1, ..Workers::default() }, Promote, "surely"),
        ("arms in one cluster that tells them apart", |s| { s.spec = json!({"same_cluster": true}); s.clusters = Some(["models", "models"]) }, Promote, "surely"),
        ("arms in clusters of their own", |s| s.clusters = Some(["v1", "v2"]), Promote, "surely"),
        ("canary is ahead by a few requests under way", |s| s.canary(|arm| arm.under_way(0.001)), Promote, "surely"),
        ("requests under way in both arms alike", |s| s.both(|arm| arm.under_way(0.01)), Promote, "surely"),
        ("a tenth of many requests under way in both arms, as where answers take long", |s| { s.users = 1_000_000; s.both(|arm| arm.under_way(0.1)) }, Promote, "surely"),
        ("gold, split half and half, is good too", |s| s.gold = Some((10_000, [GOOD; 2])), Promote, "surely"),
    ]);
}

#[test]
#[rustfmt::skip]
fn what_is_surely_worse_than_tolerated_is_taken_back() {
    check(&[
        ("ten times the errors", |s| { s.users = 20_000; s.canary(|arm| arm.errors(0.05)) }, RollBack, "users with an error at this step"),
        ("twice the errors", |s| { s.users = 400_000; s.canary(|arm| arm.errors(0.01)) }, RollBack, "with an error"),
        ("a total outage is seen in ten users", |s| { s.users = 100; s.canary(|arm| arm.errors(1.0)) }, RollBack, "10 of 11 users"),
        ("canary has nothing but errors, and control none", |s| { s.users = 200; s.control(|arm| arm.errors(0.0)); s.canary(|arm| arm.errors(1.0)) }, RollBack, "20 of 20 users"),
        ("twice as often above every threshold", |s| { s.users = 20_000; s.canary(|arm| arm.slower(2.0)) }, RollBack, "users with an answer slower than"),
        ("only the slowest in a hundred are slower", |s| s.canary(|arm| arm.over([0.5, 0.3, 0.1, 0.05, 0.02, 0.04, 0.02])), RollBack, "slower than"),
        ("only the slowest in a thousand are slower", |s| { s.users = 1_000_000; s.canary(|arm| arm.over([0.5, 0.3, 0.1, 0.05, 0.02, 0.01, 0.004])) }, RollBack, "slower than"),
        ("the median is as it was, and the spread is not", |s| s.canary(|arm| arm.over([0.5, 0.4, 0.25, 0.2, 0.1, 0.05, 0.01])), RollBack, "slower than"),
        ("the typical answer is slower", |s| s.canary(|arm| arm.over([0.9, 0.6, 0.1, 0.05, 0.02, 0.01, 0.001])), RollBack, "slower than"),
        ("wrong but 200", |s| { s.users = 20_000; s.canary(|arm| arm.mismatches(0.5)) }, RollBack, "an answer that their version's model file does not give"),
        ("wrong for one user in fifty", |s| s.canary(|arm| arm.mismatches(0.02)), RollBack, "model file does not give"),
        ("a worker's breaker opened", |s| s.trip = Some("canary"), RollBack, "breaker took canary's users back"),
        ("a breaker opened, and all else is unknown", |s| { s.trip = Some("canary"); s.users = 0 }, RollBack, "breaker"),
        ("no minimum time delays a rollback", |s| { s.users = 1_000; s.seconds_in_step = 1; s.canary(|arm| arm.errors(0.5)) }, RollBack, "with an error"),
        ("no warm-up delays a rollback for errors", |s| { s.warm = false; s.canary(|arm| arm.errors(0.05)) }, RollBack, "with an error"),
        ("no sample ratio alarm stops a rollback", |s| { s.arriving = 0.75; s.canary(|arm| arm.errors(0.2)) }, RollBack, "with an error"),
        ("no silent worker stops a rollback", |s| {
            s.workers = Workers { serving: 3, silent: 2, ..Workers::default() };
            s.canary(|arm| arm.errors(0.05));
        }, RollBack, "with an error"),
        ("no missing readiness stops a rollback", |s| { s.not_ready = Some("it is down"); s.canary(|arm| arm.errors(0.05)) }, RollBack, "with an error"),
        ("broken while paused", |s| { s.phase = Some(Phase::Paused); s.canary(|arm| arm.errors(0.05)) }, RollBack, "with an error"),
        ("broken at the third step", |s| { s.step = 2; s.canary(|arm| arm.errors(0.05)) }, RollBack, "with an error"),
        ("broken after the promotion, against those held back", |s| {
            s.spec = json!({"holdback_percent": 5});
            s.step = 3;
            s.canary(|arm| arm.errors(0.05));
        }, RollBack, "with an error"),
        ("a breaker opened after the promotion", |s| { s.spec = json!({"holdback_percent": 5}); s.step = 3; s.trip = Some("canary") }, RollBack, "breaker"),
        ("broken for gold alone", |s| s.gold = Some((1_000, [GOOD, GOOD.errors(0.1)])), RollBack, "in segment gold: "),
        ("slow for gold alone", |s| s.gold = Some((4_000, [GOOD, GOOD.slower(3.0)])), RollBack, "in segment gold: "),
        ("harm is named though the deadline has passed too", |s| {
            s.spec = json!({"deadline": {"seconds": 100, "then": "proceed"}});
            s.canary(|arm| arm.errors(0.05));
        }, RollBack, "with an error"),
        ("both arms fail, and canary far more", |s| { s.control(|arm| arm.errors(0.1)); s.canary(|arm| arm.errors(0.3)) }, RollBack, "with an error"),
        ("canary fails, and control has as many requests under way as it", |s| {
            s.both(|arm| arm.under_way(0.01));
            s.canary(|arm| arm.errors(0.05));
        }, RollBack, "with an error"),
        ("both new versions are broken", |s| { three(s); s.arms[1] = GOOD.errors(0.05); s.arms[2] = GOOD.errors(0.05) }, RollBack, "were on third"),
        ("the other one was dropped before, and this one is broken too", |s| { three(s); s.dropped = &["canary"]; s.arms[2] = GOOD.errors(0.05) }, RollBack, "were on third"),
        ("the one that won is broken, though a segment has the other one", |s| {
            three(s);
            s.spec["holdback_percent"] = json!(5);
            s.spec["segments"] = json!([{"name": "gold", "when": [{"header": "x"}], "weights": {"third": 50}}]);
            s.step = 1;
            s.canary(|arm| arm.errors(0.05));
        }, RollBack, "were on canary"),
        ("the one whose steps are left is broken", |s| {
            three(s);
            s.spec["steps"] = json!([{"weights": {"canary": 10, "third": 10}}, {"weights": {"canary": 50}}]);
            s.step = 1;
            s.canary(|arm| arm.errors(0.05));
        }, RollBack, "were on canary"),
        ("worse than a fresh copy of the old version", |s| { against_a_copy(s); s.canary(|arm| arm.errors(0.05)) }, RollBack, "were on canary, which has 50% of the users of copy and canary"),
        ("broken late in a step of millions of good requests", |s| {
            s.users = 20_000_000;
            s.late = Some((20_000, [GOOD, GOOD.errors(0.02)]));
            s.seconds_in_step = 80;
        }, RollBack, "users with an error in the last 16 s were on canary, which has 10% of users"),
        ("slow late in a step of millions of good requests", |s| {
            s.users = 20_000_000;
            s.late = Some((20_000, [GOOD, GOOD.slower(2.0)]));
        }, RollBack, "in the last 3 min"),
        ("wrong late in a step of millions of good requests", |s| {
            s.users = 20_000_000;
            s.late = Some((20_000, [GOOD, GOOD.mismatches(0.05)]));
        }, RollBack, "model file does not give in the last 3 min"),
    ]);
}

#[test]
#[rustfmt::skip]
fn one_of_several_is_dropped_and_the_others_go_on() {
    check(&[
        ("one of two new versions is broken", |s| { three(s); s.arms[2] = GOOD.errors(0.05) }, Drop, "control gets the users of third; canary goes on"),
        ("the other one is, and each has a part of the users of two", |s| { three(s); s.arms[1] = GOOD.errors(0.05) }, Drop, "were on canary, which has 11.1% of the users of control and canary"),
        ("one of two new versions is slow", |s| { three(s); s.arms[1] = GOOD.slower(2.0) }, Drop, "control gets the users of canary"),
        ("one is broken for gold alone", |s| { three(s); gold_for_canary(s, GOOD.errors(0.1)) }, Drop, "in segment gold: "),
        ("a worker's breaker took one off", |s| { three(s); s.trip = Some("third") }, Drop, "took third's users back by itself"),
        ("a worker's breaker took one off, and the other is broken", |s| {
            three(s);
            s.trip = Some("third");
            s.canary(|arm| arm.errors(0.05));
        }, RollBack, "were on canary"),
        ("one is broken while a person has paused", |s| { three(s); s.phase = Some(Phase::Paused); s.arms[2] = GOOD.errors(0.05) }, Drop, "were on third"),
        ("one is broken, and the other is worse than tolerated but acceptable", |s| {
            three(s);
            s.users = 4_000_000;
            s.control(|arm| arm.errors(0.02));
            s.canary(|arm| arm.errors(0.025));
            s.arms[2] = GOOD.errors(0.1);
        }, Drop, "control gets the users of third; canary goes on"),
        ("one was dropped, and the other is worse than tolerated, yet within the margin", |s| {
            three(s);
            s.dropped = &["third"];
            s.users = 4_000_000;
            s.control(|arm| arm.errors(0.02));
            s.canary(|arm| arm.errors(0.025));
        }, Pause, "users with an error at this step were on canary, which has 10% of"),
        ("one was dropped, and the other is good", |s| { three(s); s.dropped = &["third"] }, Promote, "canary's error rate is surely"),
        ("one was dropped for a breaker, whose report is still there", |s| { three(s); s.dropped = &["third"]; s.trip = Some("third") }, Promote, "canary's error rate is surely"),
        ("one was dropped, and the other is not proven", |s| { three(s); s.dropped = &["third"]; s.users = 1_000 }, Hold, "canary"),
        ("one was dropped, and users of the other are missing", |s| { three(s); s.dropped = &["third"]; s.arriving = 0.75 }, Hold, "planned ratio"),
        ("users are missing, and a version's turn has not come", |s| {
            three(s);
            s.spec["steps"] = json!([{"weights": {"canary": 10}}, {"weights": {"canary": 10, "third": 10}}]);
            s.arriving = 0.75;
        }, Hold, "planned ratio"),
        ("users of one are missing, which was dropped", |s| { three(s); s.dropped = &["canary"]; s.spec["steps"][1] = json!({"weights": {"third": 100}}); s.arriving = 0.5 }, Promote, "third's error rate is surely"),
        ("what comes next is for the one that was dropped", |s| { three(s); s.dropped = &["canary"] }, Pause, "gives users only to arms that were dropped"),
        ("the same at a deadline that goes on", |s| {
            three(s);
            s.dropped = &["canary"];
            s.users = 1_000;
            s.spec["deadline"] = json!({"seconds": 100, "then": "proceed"});
        }, Pause, "gives users only to arms that were dropped"),
        ("weights that stay, and nobody has won", |s| {
            three(s);
            s.spec["steps"] = json!([{"weights": {"canary": 50, "third": 50}}]);
            s.spec["holdback_percent"] = json!(10);
        }, Hold, "this is the last step"),
        ("weights that stay, and one of them is broken", |s| {
            three(s);
            s.spec["steps"] = json!([{"weights": {"canary": 30, "third": 30}}]);
            s.arms[2] = GOOD.errors(0.05);
        }, Drop, "canary goes on"),
        ("weights that stay, and nobody is left to compare with", |s| {
            three(s);
            s.spec["steps"] = json!([{"weights": {"canary": 50, "third": 50}}]);
        }, Hold, "control had 0 of at least 500"),
        ("the copy of the old version is broken, and a worker took it off", |s| { against_a_copy(s); s.trip = Some("copy") }, Pause, "what the others are compared with is broken"),
    ]);
}

/// Half of a segment is on canary, which does this to it.
fn gold_for_canary(s: &mut Situation, canary: Arm) {
    s.gold = Some((1_000, [GOOD, canary]));
}

/// Two new versions beside the old one, a tenth of the users each.
fn three(s: &mut Situation) {
    s.spec = json!({
        "arms": [{"name": "control"}, {"name": "canary"}, {"name": "third"}],
        "steps": [{"weights": {"canary": 10, "third": 10}}, {"weights": {"canary": 100}}],
    });
    s.arms = vec![GOOD; 3];
}

/// The old version, the new one, and a fresh copy of the old one.
fn against_a_copy(s: &mut Situation) {
    s.spec = json!({
        "arms": [{"name": "control"}, {"name": "canary"}, {"name": "copy"}],
        "compare_to": "copy",
    });
    s.arms = vec![GOOD; 3];
}

/// Copies first, then a tenth.
fn shadow_first(s: &mut Situation) {
    s.spec = json!({
        "shadow": {"cluster": "v2"},
        "steps": [{}, {"weights": {"canary": 10}}, {"weights": {"canary": 100}}],
    });
}

#[test]
#[rustfmt::skip]
fn what_is_not_decided_is_held() {
    check(&[
        ("nothing happened yet", |s| s.users = 0, Hold, "control had 0 of at least 500"),
        ("too few users", |s| s.users = 1_000, Hold, "not yet surely"),
        ("before the minimum time", |s| s.seconds_in_step = 30, Hold, "30 s of at least 60 s"),
        ("a clock that went back", |s| s.seconds_in_step = 0, Hold, "0 s of at least 60 s"),
        ("more time is asked for", |s| s.spec = json!({"minimum": {"seconds": 3600}}), Hold, "5 min of at least 3600 s"),
        ("an arm with hardly any traffic", |s| s.users = 900, Hold, "canary had 180 of at least 500 requests"),
        ("more requests are asked for", |s| s.spec = json!({"minimum": {"exposures": 50000}}), Hold, "canary had 20000 of at least 50000"),
        ("warming up", |s| s.warm = false, Hold, "warming up"),
        ("warming up, and errors are left out too", |s| {
            s.warm = false;
            s.spec = json!({"warm_up": {"leaves_out": "everything"}});
            s.canary(|arm| arm.errors(0.05));
        }, Hold, "warming up"),
        ("just at the latency margin", |s| { s.users = 20_000; s.canary(|arm| arm.over([0.5, 0.5, 0.1, 0.05, 0.05, 0.01, 0.001])) }, Hold, "not yet sure that canary's p50 is less than 25% slower"),
        ("p95 alone is at its margin", |s| { s.users = 20_000; s.canary(|arm| arm.over([0.5, 0.3, 0.1, 0.05, 0.05, 0.01, 0.001])) }, Hold, "not yet sure that canary's p95"),
        ("as bad as control, at a rate where the bound is no help, and few users", |s| { s.users = 2_000; s.both(|arm| arm.errors(0.03)) }, Hold, "error rate is not yet surely"),
        ("errors between what is tolerated and the margin, and few users", |s| { s.users = 4_000; s.control(|arm| arm.errors(0.02)); s.canary(|arm| arm.errors(0.028)) }, Hold, "error"),
        ("control disagrees with its own model file", |s| { s.users = 20_000; s.both(|arm| arm.mismatches(0.5)) }, Hold, "the reference is unusable"),
        ("no answer of canary was sampled", |s| s.canary(|arm| arm.unsampled()), Hold, "0 of 0 sampled users"),
        ("mismatches near their margin", |s| { s.users = 4_000; s.both(|arm| arm.mismatches(0.008)) }, Hold, "disagreed with its model file"),
        ("a quarter of canary's users are missing", |s| s.arriving = 0.75, Hold, "planned ratio"),
        ("a quarter too many of canary's users", |s| s.arriving = 1.25, Hold, "planned ratio"),
        ("canary is not ready", |s| s.not_ready = Some("GET http://v2/ready answered 503"), Hold, "canary is not ready: GET"),
        ("two of three workers are silent", |s| s.workers = Workers { serving: 3, silent: 2, ..Workers::default() }, Hold, "2 of 3 workers are silent"),
        ("the only worker is silent", |s| s.workers = Workers { serving: 1, silent: 1, ..Workers::default() }, Hold, "1 of 1 workers are silent"),
        ("a worker refuses the plan", |s| s.workers = Workers { serving: 20, refused: 1, ..Workers::default() }, Hold, "1 of 20 workers refuse the plan"),
        ("a worker routes by an older plan", |s| s.workers = Workers { serving: 20, lagging: 1, ..Workers::default() }, Hold, "have not taken the plan"),
        ("canary has no route of its own", |s| s.clusters = Some(["v1", "v1"]), Hold, "both served by Envoy's cluster `v1`"),
        ("control's time-outs are still to come, and canary fails at once", |s| {
            s.users = 1_000;
            s.control(|arm| arm.errors(0.0).under_way(0.3));
            s.canary(|arm| arm.errors(0.3));
        }, Hold, "error"),
        ("a tenth of all requests under way in both arms, which may hide some that hang", |s| s.both(|arm| arm.under_way(0.1)), Hold, "95 under way may hang"),
        ("one in twenty of canary's requests hangs, and none of control's", |s| s.canary(|arm| arm.under_way(0.05)), Hold, "under way may hang"),
        ("one of three versions is not proven", |s| { three(s); s.arms[2] = GOOD.over([0.5, 0.5, 0.1, 0.05, 0.05, 0.01, 0.001]) }, Hold, "third's p50"),
        ("the copy of the old version has hardly any traffic", |s| { against_a_copy(s); s.users = 1_000 }, Hold, "copy had 200 of at least 500"),
        ("gold has a few errors more, as chance has it", |s| s.gold = Some((400, [GOOD, GOOD.errors(0.01)])), Promote, "surely"),
        ("the last step is good, and leaves control some", |s| {
            s.spec = json!({"steps": [{"weights": {"canary": 10}}, {"weights": {"canary": 50}}]});
            s.step = 1;
        }, Hold, "this is the last step"),
        ("promoted with nobody held back", |s| s.step = 3, Hold, "not testable any more"),
        ("broken with nobody held back, which nothing shows", |s| { s.step = 3; s.canary(|arm| arm.errors(0.05)) }, Hold, "not testable any more"),
    ]);
}

/// No user comes twice, because there are none.
fn drawn(s: &mut Situation) {
    s.spec = json!({"unit": ["each_request"]});
    s.users = 200_000;
    s.both(|arm| arm.requests(1));
}

#[test]
#[rustfmt::skip]
fn each_request_may_be_a_unit() {
    check(&[
        ("each request's arm was drawn, and canary is as good", drawn, Promote, "surely under 1%, if requests fail independently of each other"),
        ("each request's arm was drawn, and canary's answers are its model's", |s| { drawn(s); s.both(|arm| arm.errors(0.002)) }, Promote, "under 1% of requests, if requests fail independently"),
        ("each request's arm was drawn, and canary is broken", |s| { drawn(s); s.canary(|arm| arm.errors(0.05)) }, RollBack, "requests with an error at this step were on canary, which has 10% of requests"),
        ("each request's arm was drawn, and canary is slow", |s| { drawn(s); s.canary(|arm| arm.slower(2.0)) }, RollBack, "requests with an answer slower than"),
        ("each request's arm was drawn, and control's slow answers are still to come", |s| {
            drawn(s);
            s.users = 4_000;
            s.control(|arm| arm.slower(0.0).under_way(0.6));
            s.canary(|arm| arm.slower(1.0));
        }, Hold, "not yet surely"),
        ("each request's arm was drawn, and there were few", |s| { drawn(s); s.users = 10_000 }, Hold, "requests had an error first"),
        ("each request's arm was drawn, and some of canary's are missing", |s| { drawn(s); s.arriving = 0.75 }, Hold, "planned ratio"),
    ]);
}

#[test]
#[rustfmt::skip]
fn copies_versions_and_copies_of_versions() {
    check(&[
        ("copies were sent for long enough", shadow_first, Promote, "nobody saw their answers"),
        ("copies were sent for a moment", |s| { shadow_first(s); s.seconds_in_step = 10 }, Hold, "10 s of at least 60 s"),
        ("few copies were sent", |s| { shadow_first(s); s.users = 100 }, Hold, "about 200 of at least 500 requests were copied"),
        ("copies of a hundredth", |s| {
            shadow_first(s);
            s.spec["shadow"]["share"] = json!(0.01);
            s.users = 10_000;
        }, Hold, "about 200 of at least 500"),
        ("copies were sent, and nobody is on canary to warm up", |s| { shadow_first(s); s.warm = false }, Promote, "copies were sent"),
        ("copies were sent, and a person is to look", |s| {
            shadow_first(s);
            s.spec["steps"][0]["look_first"] = json!(true);
        }, Pause, "look first"),
        ("copies were sent, and canary is not ready for users", |s| { shadow_first(s); s.not_ready = Some("it is down") }, Hold, "not ready"),
        ("copies were not enough at the deadline", |s| { shadow_first(s); s.users = 100; s.spec["deadline"] = json!({"seconds": 100}) }, Pause, "deadline"),
        ("after the copies, users, who are served well", |s| { shadow_first(s); s.step = 1 }, Promote, "error rate"),
        ("after the copies, users, who are served badly", |s| { shadow_first(s); s.step = 1; s.canary(|arm| arm.errors(0.05)) }, RollBack, "with an error"),
        ("three versions, all of them good", three, Promote, "third's error rate is surely"),
        ("a version whose turn has not come is not waited for", |s| {
            three(s);
            s.spec["steps"] = json!([{"weights": {"canary": 10}}, {"weights": {"canary": 10, "third": 10}}]);
        }, Promote, "canary's error rate is surely"),
        ("as good as a fresh copy of the old version", against_a_copy, Promote, "surely"),
        ("slower than the warm old version, and as fast as its copy", |s| {
            against_a_copy(s);
            s.arms[1] = GOOD.slower(1.9);
            s.arms[2] = GOOD.slower(1.9);
        }, Promote, "surely"),
        ("worse than the copy, and as bad as the old version", |s| {
            against_a_copy(s);
            s.arms[0] = GOOD.errors(0.05);
            s.arms[1] = GOOD.errors(0.05);
        }, RollBack, "with an error"),
        ("the copy serves from control's cluster, which is its right", |s| { against_a_copy(s); s.spec["same_cluster"] = json!(true) }, Promote, "surely"),
        ("promoted from a trial against a copy, watched against those held back", |s| {
            against_a_copy(s);
            s.spec["holdback_percent"] = json!(5);
            s.step = 3;
        }, Hold, "watching against the 5%"),
    ]);
}

fn waiting(s: &mut Situation) {
    s.spec = json!({"arms": [
        {"name": "control"}, {"name": "canary", "ready": "http://v2/v2/health/ready"}]});
}

#[test]
#[rustfmt::skip]
fn gates_have_a_voice_against_and_none_for() {
    check(&[
        ("somebody says no", |s| s.closed = Some(("board", "answered 403")), Hold, "gate board is closed: answered 403"),
        ("somebody says no to a bad version", |s| { s.closed = Some(("board", "answered 403")); s.canary(|arm| arm.errors(0.05)) }, RollBack, "with an error"),
        ("somebody still says no at the deadline, and the step was to go on", |s| {
            s.closed = Some(("board", "answered 403"));
            s.spec = json!({"deadline": {"seconds": 100, "then": "proceed"}});
        }, Hold, "deadline"),
        ("somebody still says no at the deadline", |s| { s.closed = Some(("board", "answered 403")); s.spec = json!({"deadline": {"seconds": 100}}) }, Pause, "deadline"),
        ("every version is ready, and its hours are not yet", |s| { waiting(s); s.closed = Some(("windows", "it is Friday")) }, Hold, "gate windows is closed: it is Friday"),
        ("a number is out of its bounds before the first step", |s| {
            waiting(s);
            (s.closed, s.breached) = (Some(("cpu", "is 2")), Some(("cpu", "is 2")));
        }, Hold, "gate cpu is closed: is 2"),
        ("a gate is closed and a version is not ready", |s| {
            waiting(s);
            (s.closed, s.not_ready) = (Some(("board", "answered 403")), Some("it is down"));
        }, Hold, "canary is not ready: it is down"),
        ("a number is out of its bounds for too long", |s| s.breached = Some(("cpu", "is 2")), RollBack, "gate cpu takes it back: is 2"),
        ("a number is out of its bounds while it is paused", |s| { s.breached = Some(("cpu", "is 2")); s.phase = Some(Phase::Paused) }, RollBack, "gate cpu"),
        ("a number is out of its bounds and it is over", |s| { s.breached = Some(("cpu", "is 2")); s.phase = Some(Phase::Aborted) }, Hold, "the rollout is aborted"),
    ]);
}
