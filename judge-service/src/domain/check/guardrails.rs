//! Whether what is tolerated makes sense.

use super::within;
use crate::domain::spec::{AnswerTolerance, Guardrails, RolloutSpec, ValueGuardrail};
use serinus_core::json::FieldError;

pub fn check(spec: &RolloutSpec) -> Result<(), FieldError> {
    let guardrails = &spec.guardrails;
    for (name, tolerated, floor) in [
        (
            "errors",
            guardrails.errors.tolerated_ratio,
            guardrails.errors.floor,
        ),
        (
            "latency",
            guardrails.latency.tolerated_ratio,
            guardrails.latency.floor,
        ),
        (
            "agreement",
            guardrails.agreement.tolerated_ratio,
            guardrails.agreement.floor,
        ),
    ] {
        within(
            &format!("guardrails.{name}.tolerated_ratio"),
            tolerated,
            1.0,
            100.0,
        )?;
        within(&format!("guardrails.{name}.floor"), floor, 0.0, 0.5)?;
    }
    within(
        "guardrails.errors.margin_ratio",
        guardrails.errors.margin_ratio,
        1.01,
        100.0,
    )?;
    if guardrails.errors.margin_ratio <= guardrails.errors.tolerated_ratio {
        return Err(FieldError::new(
            "guardrails.errors.margin_ratio",
            format!(
                "is {}, which is not above tolerated_ratio = {}",
                guardrails.errors.margin_ratio, guardrails.errors.tolerated_ratio
            ),
        ));
    }
    within(
        "guardrails.errors.margin_absolute",
        guardrails.errors.margin_absolute,
        1e-5,
        0.5,
    )?;
    within(
        "guardrails.latency.slowdown",
        guardrails.latency.slowdown,
        0.01,
        10.0,
    )?;
    within(
        "guardrails.latency.tolerated_slowdown",
        guardrails.latency.tolerated_slowdown,
        0.0,
        10.0,
    )?;
    if guardrails.latency.slowdown < guardrails.latency.tolerated_slowdown {
        return Err(FieldError::new(
            "guardrails.latency.slowdown",
            format!(
                "is {}, which is below tolerated_slowdown = {}",
                guardrails.latency.slowdown, guardrails.latency.tolerated_slowdown
            ),
        ));
    }
    within(
        "guardrails.agreement.margin_absolute",
        guardrails.agreement.margin_absolute,
        1e-5,
        0.5,
    )?;
    answered(spec)
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

/// Guardrails on what models answer.
fn answered(spec: &RolloutSpec) -> Result<(), FieldError> {
    let Guardrails {
        agreement,
        difference,
        drift,
        outcomes,
        value,
        pairs,
        ..
    } = &spec.guardrails;
    tolerance("guardrails.agreement.tolerance", &agreement.tolerance)?;
    let needs_models = |field: &str| {
        if spec.compares_models() {
            return Ok(());
        }
        Err(FieldError::new(
            field,
            "compares models' answers to sampled inputs: every arm has to name its `model`, and `sampling` to be on",
        ))
    };
    if let Some(difference) = difference {
        needs_models("guardrails.difference")?;
        within(
            "guardrails.difference.margin",
            difference.margin,
            1e-5,
            0.999,
        )?;
        tolerance("guardrails.difference.tolerance", &difference.tolerance)?;
    }
    if let Some(drift) = drift {
        needs_models("guardrails.drift")?;
        within("guardrails.drift.tolerated", drift.tolerated, 0.0, 1.0)?;
    }
    if let Some(outcomes) = outcomes {
        within(
            "guardrails.outcomes.tolerated_ratio",
            outcomes.tolerated_ratio,
            1.0,
            100.0,
        )?;
        within("guardrails.outcomes.floor", outcomes.floor, 0.0, 0.5)?;
        belongs_to_users("guardrails.outcomes", spec)?;
    }
    if let Some(value) = value {
        self::value(value)?;
        belongs_to_users("guardrails.value", spec)?;
    }
    if let Some(pairs) = pairs {
        needs_models("guardrails.pairs")?;
        within(
            "guardrails.pairs.tolerated_ratio",
            pairs.tolerated_ratio,
            1.0,
            100.0,
        )?;
        let Some(pairing) = &spec.pairing else {
            return Err(FieldError::new(
                "guardrails.pairs",
                "judge requests that both arms answer, and there is no `pairing`",
            ));
        };
        let asked = spec.matches.methods.iter().map(String::as_str);
        let mut asked = asked.chain(spec.matches.methods.is_empty().then_some("POST"));
        if !asked.any(|method| pairing.methods.iter().any(|again| again == method)) {
            return Err(FieldError::new(
                "guardrails.pairs",
                "judge requests that both arms answer, and `pairing.methods` allows none that models are asked by; `methods: [POST]` is right where asking twice changes nothing",
            ));
        }
    }
    Ok(())
}

fn tolerance(field: &str, tolerance: &AnswerTolerance) -> Result<(), FieldError> {
    within(&format!("{field}.absolute"), tolerance.absolute, 0.0, 1e9)?;
    within(&format!("{field}.relative"), tolerance.relative, 0.0, 1.0)?;
    let cosine = tolerance.cosine.unwrap_or_default();
    within(&format!("{field}.cosine"), cosine, 0.0, 2.0)
}
