//! Where a rollout leads the judge: its gates, and its versions' servers.

use crate::domain::RolloutSpec;
use crate::web::MayCall;
use axum::http::Uri;
use serinus_core::json::FieldError;

/// # Errors
/// The field that leads where no rollout may.
pub fn check(spec: &RolloutSpec, may_call: &MayCall) -> Result<(), FieldError> {
    for (field, url) in places(spec) {
        let wrong = |problem: String| FieldError::new(field.clone(), problem);
        let uri: Uri = url
            .parse()
            .map_err(|error| wrong(format!("is `{url}`, which is no URL: {error}")))?;
        may_call.check(&uri).map_err(wrong)?;
    }
    Ok(())
}

/// All that a spec has the judge call, by its field.
fn places(spec: &RolloutSpec) -> Vec<(String, &str)> {
    let mut places = Vec::new();
    for (at, arm) in spec.arms.iter().enumerate() {
        let ready = arm.ready.iter();
        places.extend(ready.map(|url| (format!("arms[{at}].ready"), url.as_str())));
    }
    for (at, gate) in spec.gates.ask.iter().enumerate() {
        places.push((format!("gates.ask[{at}].url"), gate.url.as_str()));
    }
    for (arm, url) in spec.pairing.iter().flat_map(|pairing| &pairing.endpoints) {
        places.push((format!("pairing.endpoints.{arm}"), url.as_str()));
    }
    places
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::check::tests::{spec, spec_json};
    use serde_json::json;

    #[test]
    fn the_field_that_leads_elsewhere_is_named() {
        let may_call = MayCall::read(&["*.models.svc".to_owned()]).unwrap();
        let gate = |name: &str, url: &str| json!({"name": name, "url": url});
        let gates =
            json!({"ask": [gate("a", "https://a.models.svc/x"), gate("b", "http://elsewhere/")]});
        let ready = |url: &str| json!([{"name": "control"}, {"name": "canary", "ready": url}]);
        let pairing = json!({"endpoints": {"control": "http://v1.models.svc", "canary": "http://v2.models.svc.evil"}});
        for (field, value, named) in [
            ("gates", gates, "gates.ask[1].url"),
            ("arms", ready("https://169.254.169.254/"), "arms[1].ready"),
            ("arms", ready("http://a b/"), "arms[1].ready"),
            ("pairing", pairing, "pairing.endpoints.canary"),
        ] {
            let mut document = spec_json();
            document[field] = value;
            let spec: RolloutSpec = serde_json::from_value(document).unwrap();
            let error = check(&spec, &may_call).unwrap_err();
            assert_eq!(error.field, named, "{error}");
        }
        check(&spec(&spec_json()).unwrap(), &may_call).unwrap();
    }
}
