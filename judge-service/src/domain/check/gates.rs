//! Whether gates make sense.

use super::urls::is_callable;
use super::{Problems, within};
use crate::domain::spec::{AskGate, Gates, QueryGate, RolloutSpec, Window};
use serinus_core::json::FieldError;
use serinus_core::plan::compiled::check_name;

const MAX_GATES: usize = 32;

pub fn check(spec: &RolloutSpec, problems: &mut Problems) {
    let Gates {
        ask,
        windows,
        queries,
    } = &spec.gates;
    for (field, count) in [
        ("gates.ask", ask.len()),
        ("gates.windows", windows.len()),
        ("gates.queries", queries.len()),
    ] {
        if count > MAX_GATES {
            let problem = format!("are {count}; at most {MAX_GATES} are right");
            // Each of so many by itself would be read by nobody.
            return problems.add(FieldError::new(field, problem));
        }
    }
    check_names(&spec.gates, problems);
    for (at, gate) in ask.iter().enumerate() {
        check_ask(&format!("gates.ask[{at}]"), gate, problems);
    }
    for (at, window) in windows.iter().enumerate() {
        problems.look(check_window(&format!("gates.windows[{at}]"), window));
    }
    for (at, gate) in queries.iter().enumerate() {
        check_query(&format!("gates.queries[{at}]"), gate, problems);
    }
}

fn check_names(gates: &Gates, problems: &mut Problems) {
    let mut names: Vec<&str> = Vec::new();
    let asked = gates.ask.iter().map(|gate| &gate.name);
    let asked = asked.zip((0..).map(|at| format!("ask[{at}]")));
    let queried = gates.queries.iter().map(|gate| &gate.name);
    let queried = queried.zip((0..).map(|at| format!("queries[{at}]")));
    for (name, place) in asked.chain(queried) {
        let field = format!("gates.{place}.name");
        problems.look(check_name(&field, name));
        if names.contains(&name.as_str()) {
            problems.add(FieldError::new(field, format!("`{name}` names two gates")));
        }
        names.push(name);
    }
}

fn check_ask(field: &str, gate: &AskGate, problems: &mut Problems) {
    let url = &gate.url;
    if !is_callable(url) {
        problems.add(FieldError::new(
            format!("{field}.url"),
            format!("is `{url}`; a URL such as `https://changes.example/may-go-on` is right"),
        ));
    }
    let field = format!("{field}.timeout_ms");
    problems.look(within(&field, gate.timeout_ms, 10, 60_000));
}

fn check_query(field: &str, gate: &QueryGate, problems: &mut Problems) {
    let field = |name: &str| format!("{field}.{name}");
    if gate.query.trim().is_empty() {
        problems.add(FieldError::new(
            field("query"),
            "is empty; a query of Prometheus is right",
        ));
    }
    let bounds = [("at_least", gate.at_least), ("at_most", gate.at_most)];
    if bounds.iter().all(|(_, bound)| bound.is_none()) {
        problems.add(FieldError::new(
            field("at_most"),
            "is missing, and `at_least` too; one of the two says what is right",
        ));
    }
    for (name, bound) in bounds {
        if bound.is_some_and(|bound| !bound.is_finite()) {
            problems.add(FieldError::new(field(name), "is no finite number"));
        }
    }
    if let (Some(least), Some(most)) = (gate.at_least, gate.at_most)
        && least > most
    {
        problems.add(FieldError::new(
            field("at_least"),
            format!("is {least}, which is above at_most = {most}"),
        ));
    }
    problems.look(within(&field("checks"), gate.checks, 1, 1_000));
    let every = gate.every_seconds;
    problems.look(within(&field("every_seconds"), every, 1.0, 86_400.0));
}

fn check_window(field: &str, window: &Window) -> Result<(), FieldError> {
    let minutes = |name: &str, text: &str| {
        minutes(text).ok_or_else(|| {
            FieldError::new(
                format!("{field}.{name}"),
                format!("is `{text}`; a time such as `09:30` is right, from 00:00 to 24:00"),
            )
        })
    };
    let (from, to) = (minutes("from", &window.from)?, minutes("to", &window.to)?);
    if from >= to {
        return Err(FieldError::new(
            format!("{field}.to"),
            format!(
                "is {}, not after from = {}; a night is two windows, until 24:00 and from 00:00",
                window.to, window.from
            ),
        ));
    }
    if let Err(error) = jiff::tz::TimeZone::get(&window.zone) {
        return Err(FieldError::new(
            format!("{field}.zone"),
            format!(
                "is `{}`, which is not known here ({error}); a name such as `Europe/Zurich` is right",
                window.zone
            ),
        ));
    }
    Ok(())
}

/// Of the day, from `HH:MM`.
pub(crate) fn minutes(text: &str) -> Option<u32> {
    let (hours, minutes) = text.split_once(':')?;
    let two_digits = |digits: &str| {
        let are = digits.len() == 2 && digits.bytes().all(|byte| byte.is_ascii_digit());
        are.then(|| digits.parse::<u32>().ok()).flatten()
    };
    let (hours, minutes) = (two_digits(hours)?, two_digits(minutes)?);
    let all = hours * 60 + minutes;
    (minutes < 60 && all <= 24 * 60).then_some(all)
}

#[cfg(test)]
mod tests {
    use super::super::tests::{spec, spec_json};
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn every_error_names_its_field() {
        let ask = |gate: Value| json!({"ask": [gate]});
        let window = |gate: Value| json!({"windows": [gate]});
        let query = |gate: Value| json!({"queries": [gate]});
        let cases = [
            (
                ask(json!({"name": "a b", "url": "http://x"})),
                "gates.ask[0].name",
            ),
            (
                ask(json!({"name": "a", "url": "ftp://x"})),
                "gates.ask[0].url",
            ),
            (
                ask(json!({"name": "a", "url": "http://x", "timeout_ms": 0})),
                "gates.ask[0].timeout_ms",
            ),
            (window(json!({"from": "9:00"})), "gates.windows[0].from"),
            (window(json!({"to": "24:01"})), "gates.windows[0].to"),
            (
                window(json!({"from": "18:00", "to": "06:00"})),
                "gates.windows[0].to",
            ),
            (
                window(json!({"zone": "Europe/Zuerich"})),
                "gates.windows[0].zone",
            ),
            (
                window(json!({"days": ["monday"]})),
                "gates.windows[0].days[0]",
            ),
            (
                query(json!({"name": "q", "query": " ", "at_most": 1})),
                "gates.queries[0].query",
            ),
            (
                query(json!({"name": "q", "query": "up"})),
                "gates.queries[0].at_most",
            ),
            (
                query(json!({"name": "q", "query": "up", "at_least": 2, "at_most": 1})),
                "gates.queries[0].at_least",
            ),
            (
                query(json!({"name": "q", "query": "up", "at_most": 1, "checks": 0})),
                "gates.queries[0].checks",
            ),
            (
                json!({"ask": [{"name": "q", "url": "http://x"}], "queries": [{"name": "q", "query": "up", "at_most": 1}]}),
                "gates.queries[0].name",
            ),
        ];
        for (gates, field) in cases {
            let mut document = spec_json();
            document["gates"] = gates.clone();
            assert_eq!(spec(&document).unwrap_err().field, field, "{gates}");
        }
    }

    #[test]
    fn times_of_the_day_are_read() {
        assert_eq!(minutes("00:00"), Some(0));
        assert_eq!(minutes("09:30"), Some(570));
        assert_eq!(minutes("24:00"), Some(1_440));
        for wrong in [
            "", "9:30", "09:60", "24:01", "-1:00", "09:3", "0930", "+9:30",
        ] {
            assert_eq!(minutes(wrong), None, "{wrong}");
        }
    }
}
