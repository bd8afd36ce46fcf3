//! What models answer, and what became of it.

use super::check;
use crate::domain::Action::{Hold, Pause, Promote, RollBack};
use crate::domain::sums::{ArmSums, Outcomes, Pairs, Values};
use crate::policy::tests::situation::{GOOD, Situation};
use serde_json::json;

/// Of control's 9,000 and canary's 1,000 sampled users, those with each label, in percent.
fn served(arms: &mut [ArmSums], labels: [[u64; 3]; 2]) {
    for ((arm, labels), users) in arms.iter_mut().zip(labels).zip([9_000, 1_000]) {
        let labels = (0..).zip(labels).filter(|(_, share)| *share > 0);
        arm.answers.labels = labels
            .map(|(label, share)| (label, users * share / 100))
            .collect();
    }
}

/// Outcomes of control's and canary's users, and of those the wrong ones.
fn told(arms: &mut [ArmSums], outcomes: [(u64, u64); 2]) {
    for (arm, (users, bad)) in arms.iter_mut().zip(outcomes) {
        arm.answers.told.insert(0, Outcomes { users, bad });
        arm.answers.wrong.insert(0, bad);
    }
}

/// Users with a value, and what each was worth; and what the bet against canary has won.
fn worth(arms: &mut [ArmSums], told: [(u64, f64); 2], log_wealth: f64) {
    for (arm, (users, each)) in arms.iter_mut().zip(told) {
        arm.answers.values = Values {
            users,
            sum: users as f64 * each,
            sum_of_squares: users as f64 * each * each,
        };
    }
    arms[1].answers.bet.log_wealth = log_wealth;
}

fn differing(arms: &mut [ArmSums], users: u64, bad: u64) {
    arms[1].answers.differences = Outcomes { users, bad };
}

fn paired(arms: &mut [ArmSums], only_arm_wrong: u64, only_control_wrong: u64) {
    arms[1].answers.pairs = Pairs {
        users: 5_000,
        differing: 300,
        only_arm_wrong,
        only_control_wrong,
        // As many of those whose users got them as are split.
        only_arm_wrong_live: only_arm_wrong / 10,
        only_control_wrong_live: only_control_wrong / 10 * 9,
    };
}

/// Nobody gets canary at the first step: the models are compared.
fn models_first(s: &mut Situation) {
    s.spec = json!({
        "steps": [{"look_first": true}, {"weights": {"canary": 10}}, {"weights": {"canary": 100}}],
        "guardrails": {"difference": {"margin": 0.1}},
    });
}

fn in_pairs(s: &mut Situation) {
    let endpoints = json!({"control": "http://a:1", "canary": "http://b:1"});
    let pairing = json!({"endpoints": endpoints, "methods": ["POST"]});
    s.spec = json!({"pairing": pairing, "guardrails": {"pairs": {}}});
}

/// Control has 80% of users, of whom half are paired with each of the other two.
fn three_in_pairs(s: &mut Situation) {
    in_pairs(s);
    let arm = |name: &str| json!({"name": name, "model": format!("{name}.safetensors")});
    s.spec["arms"] = json!(["control", "canary", "third"].map(arm));
    s.spec["pairing"]["endpoints"]["third"] = json!("http://c:1");
    s.spec["steps"] =
        json!([{"weights": {"canary": 10, "third": 10}}, {"weights": {"canary": 100}}]);
    s.arms = vec![GOOD; 3];
}

/// Pairs whose first answer alone was wrong.
fn live(arms: &mut [ArmSums], only_arm_wrong: u64, only_control_wrong: u64) {
    for arm in &mut arms[1..] {
        arm.answers.pairs = Pairs {
            users: 5_000,
            differing: 1_000,
            only_arm_wrong,
            only_control_wrong,
            only_arm_wrong_live: only_arm_wrong,
            only_control_wrong_live: only_control_wrong,
        };
    }
}

#[test]
#[rustfmt::skip]
fn what_models_answer_and_what_became_of_it() {
    check(&[
        ("the models differ for most, and nobody said how much may be", |s| s.answers = |arms| differing(arms, 4_000, 3_900), Promote, "error rate is surely"),
        ("the models differ for few", |s| {
            s.spec = json!({"guardrails": {"difference": {"margin": 0.1}}});
            s.answers = |arms| differing(arms, 4_000, 40);
        }, Promote, "surely answer differently for under 10% of users"),
        ("the models differ for more than may be", |s| {
            s.spec = json!({"guardrails": {"difference": {"margin": 0.1}}});
            s.answers = |arms| differing(arms, 4_000, 800);
        }, RollBack, "surely answer differently for more than 10% of users"),
        ("the models differ for about as many as may be", |s| {
            s.spec = json!({"guardrails": {"difference": {"margin": 0.1}}});
            s.answers = |arms| differing(arms, 1_000, 100);
        }, Hold, "100 of 1000 sampled users differently"),
        ("no input was answered by both models, and they must not differ", |s| s.spec = json!({"guardrails": {"difference": {"margin": 0.1}}}), Hold, "0 of 0 sampled users"),
        ("models are looked at before anybody has canary", |s| { models_first(s); s.answers = |arms| differing(arms, 4_000, 40) }, Pause, "look first"),
        ("few inputs were looked at before anybody has canary", |s| { models_first(s); s.answers = |arms| differing(arms, 100, 0) }, Hold, "100 of at least 500 sampled users' inputs"),
        ("the models were found to differ before anybody has canary", |s| { models_first(s); s.answers = |arms| differing(arms, 4_000, 2_000) }, RollBack, "surely answer differently for more than 10%"),
        ("the models were looked at, with nobody to look at what was found", |s| {
            models_first(s);
            s.spec["steps"][0] = json!({});
            s.answers = |arms| differing(arms, 4_000, 40);
        }, Promote, "nobody had the new version"),
        ("after the models, users, who are served badly", |s| {
            models_first(s);
            s.step = 1;
            s.answers = |arms| differing(arms, 4_000, 40);
            s.canary(|arm| arm.errors(0.05));
        }, RollBack, "with an error"),
        ("answers are distributed alike", |s| {
            s.spec = json!({"guardrails": {"drift": {}}});
            s.answers = |arms| served(arms, [[50, 30, 20]; 2]);
        }, Promote, "error rate is surely"),
        ("answers are distributed otherwise, and nobody said how much may be", |s| s.answers = |arms| served(arms, [[50, 30, 20], [20, 30, 50]]), Promote, "error rate is surely"),
        ("answers are distributed otherwise", |s| {
            s.spec = json!({"guardrails": {"drift": {}}});
            s.answers = |arms| served(arms, [[50, 30, 20], [20, 30, 50]]);
        }, RollBack, "would have to change to be distributed as control's"),
        ("answers surely differ, by less than is tolerated", |s| {
            s.spec = json!({"guardrails": {"drift": {"tolerated": 0.5}}});
            s.answers = |arms| served(arms, [[50, 30, 20], [20, 30, 50]]);
        }, Promote, "error rate is surely"),
        ("canary answers nothing but one class", |s| {
            s.spec = json!({"guardrails": {"drift": {}}});
            s.answers = |arms| served(arms, [[50, 30, 20], [100, 0, 0]]);
        }, RollBack, "PSI"),
        ("outcomes are as good on canary", |s| {
            s.spec = json!({"guardrails": {"outcomes": {"minimum_users": 500}}});
            s.answers = |arms| told(arms, [(9_000, 900), (1_000, 100)]);
        }, Promote, "canary was wrong for 100 of 1000 users"),
        ("outcomes are worse on canary", |s| {
            s.spec = json!({"guardrails": {"outcomes": {}}});
            s.answers = |arms| told(arms, [(9_000, 900), (1_000, 250)]);
        }, RollBack, "a wrong answer, as was told later"),
        ("outcomes are worse on canary, and are only to be shown", |s| s.answers = |arms| told(arms, [(9_000, 900), (1_000, 250)]), Promote, "error rate is surely"),
        ("too few outcomes are known", |s| {
            s.spec = json!({"guardrails": {"outcomes": {"minimum_users": 500}}});
            s.answers = |arms| told(arms, [(900, 90), (100, 10)]);
        }, Hold, "500 of each are needed"),
        ("no outcome is known, and none is asked for", |s| s.spec = json!({"guardrails": {"outcomes": {}}}), Promote, "error rate is surely"),
        ("wrong answers of canary alone are told", |s| {
            s.spec = json!({"guardrails": {"outcomes": {}}});
            s.answers = |arms| told(arms, [(100, 10), (1_000, 250)]);
        }, Hold, "cannot be compared"),
        ("users are worth less on canary", |s| {
            s.spec = json!({"guardrails": {"value": {"highest": 10, "tolerated_loss": 0.5}}});
            s.answers = |arms| worth(arms, [(9_000, 5.0), (1_000, 3.0)], 20.0);
        }, RollBack, "canary's users were worth 3.0000 on average, control's 5.0000"),
        ("users are worth less on canary, by chance as it may be", |s| {
            s.spec = json!({"guardrails": {"value": {"highest": 10}}});
            s.answers = |arms| worth(arms, [(9_000, 5.0), (1_000, 4.9)], 3.0);
        }, Promote, "error rate is surely"),
        ("users are worth less on canary, which is only to be shown", |s| s.answers = |arms| worth(arms, [(9_000, 5.0), (1_000, 3.0)], 20.0), Promote, "error rate is surely"),
        ("too few values are known", |s| {
            s.spec = json!({"guardrails": {"value": {"highest": 10, "minimum_users": 500}}});
            s.answers = |arms| worth(arms, [(900, 5.0), (100, 5.0)], 0.0);
        }, Hold, "500 of each are needed"),
        ("values of canary alone are told", |s| {
            s.spec = json!({"guardrails": {"value": {"highest": 10}}});
            s.answers = |arms| worth(arms, [(100, 5.0), (1_000, 3.0)], 20.0);
        }, Hold, "cannot be compared"),
        ("of requests that both answered, canary's answer is wrong more often", |s| { in_pairs(s); s.answers = |arms| paired(arms, 240, 40) }, RollBack, "only canary's was not its model's for 240"),
        ("canary's answer is wrong more often, and nobody has canary yet", |s| {
            in_pairs(s);
            s.spec["steps"] = json!([{}, {"weights": {"canary": 10}}, {"weights": {"canary": 100}}]);
            s.answers = |arms| paired(arms, 240, 40);
        }, RollBack, "only canary's was not its model's for 240"),
        ("of requests that both answered, both are wrong as often", |s| { in_pairs(s); s.answers = |arms| paired(arms, 30, 30) }, Promote, "error rate is surely"),
        ("of users who got a wrong answer a fifth had canary, as of those whose pair it is", |s| {
            three_in_pairs(s);
            s.answers = |arms| live(arms, 200, 800);
        }, Promote, "error rate is surely"),
        ("two fifths of them had canary", |s| {
            three_in_pairs(s);
            s.answers = |arms| live(arms, 400, 600);
        }, RollBack, "only canary's was not its model's for 400"),
        ("canary's answer is wrong more often, and pairs are only to be shown", |s| { in_pairs(s); s.spec["guardrails"] = json!({}); s.answers = |arms| paired(arms, 240, 40) }, Promote, "error rate is surely"),
        ("no request was answered by both, and pairs are to decide", |s| in_pairs(s), Hold, "no request was answered by both canary and control yet"),
        ("few requests were answered by both, and pairs are to decide", |s| {
            in_pairs(s);
            s.answers = |arms| arms[1].answers.pairs = Pairs { users: 99, differing: 1, ..Pairs::default() };
        }, Hold, "100 are needed"),
        ("no request was answered by both while it only looks", |s| {
            in_pairs(s);
            s.spec["steps"] = json!([{}, {"weights": {"canary": 10}}, {"weights": {"canary": 100}}]);
            s.answers = |arms| differing(arms, 4_000, 40);
        }, Hold, "no request was answered by both"),
        ("no answer was sampled, and drift is to decide", |s| s.spec = json!({"guardrails": {"drift": {}}}), Hold, "too few to compare"),
        ("few answers were sampled, and drift is to decide", |s| {
            s.spec = json!({"guardrails": {"drift": {}}});
            s.answers = |arms| { served(arms, [[50, 30, 20]; 2]); arms[1].answers.labels = [(0, 30), (1, 15), (2, 10)].into(); arms[0].answers.labels = [(0, 270), (1, 135), (2, 90)].into() };
        }, Hold, "100 of each are needed"),
    ]);
}
