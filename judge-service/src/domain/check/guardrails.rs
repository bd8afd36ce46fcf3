//! Whether what is tolerated makes sense.

use super::{Problems, within};
use crate::domain::spec::{
    AnswerTolerance, ErrorGuardrail, Guardrails, LatencyGuardrail, RolloutSpec, ValueGuardrail,
};
use serinus_core::json::FieldError;

pub fn check(spec: &RolloutSpec, problems: &mut Problems) {
    let Guardrails {
        errors,
        latency,
        agreement,
        ..
    } = &spec.guardrails;
    let tolerated = [
        ("errors", errors.tolerated_ratio, errors.floor),
        ("latency", latency.tolerated_ratio, latency.floor),
        ("agreement", agreement.tolerated_ratio, agreement.floor),
    ];
    for (name, ratio, floor) in tolerated {
        let field = |field: &str| format!("guardrails.{name}.{field}");
        problems.look(within(&field("tolerated_ratio"), ratio, 1.0, 100.0));
        problems.look(within(&field("floor"), floor, 0.0, 0.5));
    }
    for (name, margin) in [
        ("errors", errors.margin_absolute),
        ("agreement", agreement.margin_absolute),
    ] {
        let field = format!("guardrails.{name}.margin_absolute");
        problems.look(within(&field, margin, 1e-5, 0.5));
    }
    problems.look(margin(errors));
    problems.look(slowdown(latency));
    let field = "guardrails.agreement.tolerance";
    tolerance(field, &agreement.tolerance, problems);
    answered(spec, problems);
    problems.look(can_agree(spec));
}

fn margin(errors: &ErrorGuardrail) -> Result<(), FieldError> {
    let (field, margin) = ("guardrails.errors.margin_ratio", errors.margin_ratio);
    within(field, margin, 1.01, 100.0)?;
    if margin <= errors.tolerated_ratio {
        let tolerated = errors.tolerated_ratio;
        let problem = format!("is {margin}, which is not above tolerated_ratio = {tolerated}");
        return Err(FieldError::new(field, problem));
    }
    Ok(())
}

fn slowdown(latency: &LatencyGuardrail) -> Result<(), FieldError> {
    let (slowdown, tolerated) = (latency.slowdown, latency.tolerated_slowdown);
    within("guardrails.latency.slowdown", slowdown, 0.01, 10.0)?;
    let field = "guardrails.latency.tolerated_slowdown";
    within(field, tolerated, 0.0, 10.0)?;
    if slowdown < tolerated {
        let problem = format!("is {slowdown}, which is below tolerated_slowdown = {tolerated}");
        return Err(FieldError::new("guardrails.latency.slowdown", problem));
    }
    Ok(())
}

fn belongs_to_users(field: &str, spec: &RolloutSpec) -> Result<(), FieldError> {
    if !spec.each_request() {
        return Ok(());
    }
    Err(FieldError::new(
        field,
        "is told of users, whose arm can be computed again; with unit = [\"each_request\"] arms are drawn",
    ))
}

fn value(guardrail: &ValueGuardrail) -> Result<(), FieldError> {
    let ValueGuardrail {
        lowest,
        highest,
        tolerated_loss,
        ..
    } = *guardrail;
    for (field, number) in [("lowest", lowest), ("highest", highest)] {
        within(&format!("guardrails.value.{field}"), number, -1e15, 1e15)?;
    }
    if highest <= lowest {
        return Err(FieldError::new(
            "guardrails.value.highest",
            format!("is {highest}, which is not above lowest = {lowest}"),
        ));
    }
    within(
        "guardrails.value.tolerated_loss",
        tolerated_loss,
        0.0,
        highest - lowest,
    )
}

/// Where a new version and control have models, no step ends before sampled answers agree
/// with them.
fn can_agree(spec: &RolloutSpec) -> Result<(), FieldError> {
    let has_model = |name: &str| {
        let mut arms = spec.arms.iter();
        arms.any(|arm| arm.name == name && arm.model.is_some())
    };
    let judged = spec.treatments().any(|arm| arm.model.is_some());
    if !(judged && has_model(spec.control())) {
        return Ok(());
    }
    let (field, wrong) = match &spec.sampling {
        None => ("sampling", "is off"),
        Some(sampling) if sampling.share <= 0.0 => ("sampling.share", "is 0"),
        Some(_) => return Ok(()),
    };
    Err(FieldError::new(
        field,
        format!(
            "{wrong}, and the arms' models are compared with sampled answers before a step ends: a share above 0 such as 1 is right, or arms without `model`"
        ),
    ))
}

/// Guardrails on what models answer.
fn answered(spec: &RolloutSpec, problems: &mut Problems) {
    let Guardrails {
        difference,
        drift,
        outcomes,
        value,
        pairs,
        ..
    } = &spec.guardrails;
    if let Some(difference) = difference {
        let field = |field: &str| format!("guardrails.difference.{field}");
        problems.look(needs_models("guardrails.difference", spec));
        problems.look(within(&field("margin"), difference.margin, 1e-5, 0.999));
        tolerance(&field("tolerance"), &difference.tolerance, problems);
    }
    if let Some(drift) = drift {
        problems.look(needs_models("guardrails.drift", spec));
        let field = "guardrails.drift.tolerated";
        problems.look(within(field, drift.tolerated, 0.0, 1.0));
    }
    if let Some(outcomes) = outcomes {
        let field = |field: &str| format!("guardrails.outcomes.{field}");
        let ratio = outcomes.tolerated_ratio;
        problems.look(within(&field("tolerated_ratio"), ratio, 1.0, 100.0));
        problems.look(within(&field("floor"), outcomes.floor, 0.0, 0.5));
        problems.look(belongs_to_users("guardrails.outcomes", spec));
    }
    if let Some(value) = value {
        problems.look(self::value(value));
        problems.look(belongs_to_users("guardrails.value", spec));
    }
    if let Some(pairs) = pairs {
        problems.look(needs_models("guardrails.pairs", spec));
        let field = "guardrails.pairs.tolerated_ratio";
        problems.look(within(field, pairs.tolerated_ratio, 1.0, 100.0));
        problems.look(has_pairs(spec));
    }
}

fn needs_models(field: &str, spec: &RolloutSpec) -> Result<(), FieldError> {
    if spec.compares_models() {
        return Ok(());
    }
    Err(FieldError::new(
        field,
        "compares models' answers to sampled inputs: every arm has to name its `model`, and `sampling` to be on",
    ))
}

fn has_pairs(spec: &RolloutSpec) -> Result<(), FieldError> {
    let Some(pairing) = &spec.pairing else {
        return Err(FieldError::new(
            "guardrails.pairs",
            "judge requests that both arms answer, and there is no `pairing`",
        ));
    };
    let asked = spec.matches.methods.iter().map(String::as_str);
    let mut asked = asked.chain(spec.matches.methods.is_empty().then_some("POST"));
    if asked.any(|method| pairing.methods.iter().any(|again| again == method)) {
        return Ok(());
    }
    Err(FieldError::new(
        "guardrails.pairs",
        "judge requests that both arms answer, and `pairing.methods` allows none that models are asked by; `methods: [POST]` is right where asking twice changes nothing",
    ))
}

fn tolerance(field: &str, tolerance: &AnswerTolerance, problems: &mut Problems) {
    let cosine = tolerance.cosine.unwrap_or_default();
    for (name, value, most) in [
        ("absolute", tolerance.absolute, 1e9),
        ("relative", tolerance.relative, 1.0),
        ("cosine", cosine, 2.0),
    ] {
        problems.look(within(&format!("{field}.{name}"), value, 0.0, most));
    }
}
