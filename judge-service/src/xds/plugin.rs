//! What the judge has to be told of the proxies, as a JSON file: where they have the
//! module, and the filter's settings. The judge adds the plan.

use serde_json::{Map, Value};
use serinus_core::json::{self, FieldError};
use serinus_core::read_fields;

/// One plugin, for all proxies that ask this judge.
///
/// ```json
/// {
///   "wasm": "/etc/serinus/serinus_filter.wasm",
///   "configuration": {"judge": {"cluster": "judge"}, "hold_bodies": true}
/// }
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Plugin {
    /// The filter's name in Envoy's list of HTTP filters, by which proxies ask.
    pub filter: String,
    /// The path of the module where the proxies run; the judge does not read it.
    pub wasm: String,
    /// Envoy's name for the plugin, in its logs and statistics.
    pub plugin_name: String,
    pub root_id: String,
    pub vm_id: String,
    /// As in Envoy's configuration: false for an Envoy before 1.35, which does not know
    /// the field, and then without `hold_bodies` in `configuration`.
    pub allow_on_headers_stop_iteration: bool,
    /// The filter's settings as in envoy/serinus.yaml, without a plan. They are passed
    /// on unread, since a proxy's filter may be of another version than this judge.
    pub configuration: Map<String, Value>,
}

read_fields!(Plugin {
    filter = usual(),
    wasm,
    plugin_name = usual(),
    root_id = usual(),
    vm_id = usual(),
    allow_on_headers_stop_iteration = true,
    configuration,
});

fn usual() -> String {
    "serinus".to_owned()
}

/// The longest path or name of these, in bytes.
const LONGEST: usize = 4_096;

impl Plugin {
    /// # Errors
    /// The field that is wrong, and what would be right.
    pub fn read(bytes: &[u8]) -> Result<Self, FieldError> {
        let plugin: Self = json::read_strict(bytes)?;
        for (field, text) in [
            ("filter", &plugin.filter),
            ("wasm", &plugin.wasm),
            ("plugin_name", &plugin.plugin_name),
            ("root_id", &plugin.root_id),
            ("vm_id", &plugin.vm_id),
        ] {
            let longest = if field == "filter" {
                super::stream::LONGEST_NAME
            } else {
                LONGEST
            };
            if text.is_empty() || text.len() > longest {
                return Err(FieldError::new(
                    field,
                    format!("has {} bytes; 1 to {longest} are right", text.len()),
                ));
            }
        }
        check_settings("configuration", &plugin.configuration)?;
        Ok(plugin)
    }
}

/// The filter's settings from a file of their own.
///
/// # Errors
/// The field that is wrong, and what would be right.
pub fn settings(bytes: &[u8]) -> Result<Map<String, Value>, FieldError> {
    let settings: Map<String, Value> = json::read_tolerant(bytes)?.0;
    check_settings("", &settings)?;
    Ok(settings)
}

fn check_settings(within: &str, settings: &Map<String, Value>) -> Result<(), FieldError> {
    let field = |name: &str| match within {
        "" => name.to_owned(),
        within => format!("{within}.{name}"),
    };
    if settings.contains_key("plan") {
        return Err(FieldError::new(
            field("plan"),
            "stands there; the judge puts its own plan in this place",
        ));
    }
    let cluster = settings.get("judge").and_then(|judge| judge.get("cluster"));
    if !cluster.is_some_and(|cluster| cluster.as_str().is_some_and(|name| !name.is_empty())) {
        return Err(FieldError::new(
            field("judge.cluster"),
            "is missing; name the cluster by which the proxy reaches this judge",
        ));
    }
    Ok(())
}

/// The plugin configuration, as the filter reads it: these settings and this plan,
/// which is JSON as workers get it from `/v1/plan`.
///
/// # Errors
/// A plan that is no JSON.
pub fn configuration(
    settings: &Map<String, Value>,
    plan: &[u8],
) -> Result<String, serde_json::Error> {
    let mut whole = settings.clone();
    whole.insert("plan".to_owned(), serde_json::from_slice(plan)?);
    serde_json::to_string(&whole)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_needed_is_little() {
        let plugin =
            Plugin::read(br#"{"wasm": "f.wasm", "configuration": {"judge": {"cluster": "j"}}}"#)
                .unwrap();
        assert_eq!(
            (&*plugin.filter, &*plugin.root_id, &*plugin.vm_id),
            ("serinus", "serinus", "serinus")
        );
        assert!(plugin.allow_on_headers_stop_iteration);
    }

    #[test]
    fn what_is_wrong_is_named() {
        let good = json!({
            "wasm": "/f.wasm",
            "configuration": {"judge": {"cluster": "judge"}, "whatever": [1]},
        });
        let with = |pointer: &str, value: Value| {
            let mut bad = good.clone();
            match bad.pointer_mut(pointer) {
                Some(place) => *place = value,
                None => bad[pointer.trim_start_matches('/')] = value,
            }
            bad.to_string()
        };
        let no_judge = "configuration.judge.cluster: is missing; name the cluster by which the proxy reaches this judge";
        for (text, error) in [
            ("[]".to_owned(), ".: is a list; an object is right"),
            ("{}".to_owned(), "wasm: is missing"),
            (
                with("/wasm", json!("")),
                "wasm: has 0 bytes; 1 to 4096 are right",
            ),
            (with("/wasm", json!(7)), "wasm: is 7; a text is right"),
            (
                with("/filter", json!("x".repeat(300))),
                "filter: has 300 bytes; 1 to 256 are right",
            ),
            (with("/vm", json!("x")), "vm: unknown field"),
            (
                with("/configuration", json!("text")),
                "configuration: is a text; an object is right",
            ),
            (with("/configuration", json!({})), no_judge),
            (with("/configuration/judge", json!("judge")), no_judge),
            (with("/configuration/judge/cluster", json!("")), no_judge),
            (
                with(
                    "/configuration",
                    json!({"judge": {"cluster": "j"}, "plan": {}}),
                ),
                "configuration.plan: stands there; the judge puts its own plan in this place",
            ),
        ] {
            assert_eq!(
                Plugin::read(text.as_bytes()).unwrap_err().to_string(),
                error
            );
        }
        assert_eq!(
            settings(b"{}").unwrap_err().to_string(),
            no_judge.trim_start_matches("configuration.")
        );
    }

    #[test]
    fn settings_and_plan_are_one_document() {
        let settings = json!({"judge": {"cluster": "j"}, "disabled": false});
        let plan = br#"{"version": 1, "rollouts": []}"#;
        let text = configuration(settings.as_object().unwrap(), plan).unwrap();
        assert_eq!(
            serde_json::from_str::<Value>(&text).unwrap(),
            json!({
                "judge": {"cluster": "j"}, "disabled": false,
                "plan": {"version": 1, "rollouts": []},
            })
        );
    }
}
