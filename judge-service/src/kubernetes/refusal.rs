//! Why the API did not take a plan, in words for the person who has to do something.

use super::writer::ObjectName;
use axum::http::StatusCode;
use serde::Deserialize;
use serinus_core::plan::Revision;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// No answer, in words.
    Away(String),
    /// The object is not there, or its kind is not.
    Missing,
    /// It has a later plan than the one that was to be written.
    Later {
        theirs: Revision,
        ours: Revision,
    },
    /// Others own fields of the plan.
    Conflict(Vec<Owner>),
    /// The token is not known.
    Unknown(String),
    Forbidden(String),
    /// Anything else that was answered.
    Other(StatusCode, String),
}

/// A field, and what the API says of whose it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    pub field: String,
    pub message: String,
}

/// What the API answers in the place of an object; only what is read of it.
#[derive(Default, Deserialize)]
struct Status {
    #[serde(default)]
    message: String,
    #[serde(default)]
    details: Option<Details>,
}

#[derive(Deserialize)]
struct Details {
    #[serde(default)]
    causes: Vec<Cause>,
}

#[derive(Deserialize)]
struct Cause {
    #[serde(default)]
    reason: String,
    #[serde(default)]
    message: String,
    #[serde(default)]
    field: String,
}

impl Refusal {
    /// From an answer that is no success.
    #[must_use]
    pub fn of(code: StatusCode, body: &[u8]) -> Self {
        let status: Status = serde_json::from_slice(body).unwrap_or_else(|_| Status {
            message: String::from_utf8_lossy(body).chars().take(200).collect(),
            details: None,
        });
        let causes = status.details.map(|details| details.causes);
        let owners: Vec<Owner> = causes
            .unwrap_or_default()
            .into_iter()
            .filter(|cause| cause.reason == "FieldManagerConflict")
            .map(|cause| Owner {
                field: cause.field,
                message: cause.message,
            })
            .collect();
        match code {
            StatusCode::CONFLICT if !owners.is_empty() => Self::Conflict(owners),
            StatusCode::NOT_FOUND => Self::Missing,
            StatusCode::UNAUTHORIZED => Self::Unknown(status.message),
            StatusCode::FORBIDDEN => Self::Forbidden(status.message),
            _ => Self::Other(code, status.message),
        }
    }

    /// What is wrong with this object, and what would help.
    #[must_use]
    pub fn say(&self, object: &ObjectName) -> String {
        match self {
            Self::Away(why) => format!("the Kubernetes API does not answer: {why}"),
            Self::Missing => format!(
                "there is no WasmPlugin {object}; apply what `serinus manifest istio --as wasm-plugin` writes"
            ),
            Self::Later { theirs, ours } => format!(
                "WasmPlugin {object} has plan {theirs}, which is later than this judge's {ours} and is not written over: another judge writes there too, or the database is one of before and no worker has asked yet; take `plan` out of the object if neither is so"
            ),
            Self::Conflict(owners) => {
                let first = owners.first();
                let (field, message) = first.map_or(("", ""), |owner| {
                    (owner.field.as_str(), owner.message.as_str())
                });
                format!(
                    "WasmPlugin {object} has fields of the plan that are somebody else's ({message}: {field}, and {} more); take them out of that manifest, or let the judge have them by --wasm-plugin-force",
                    owners.len().saturating_sub(1)
                )
            }
            Self::Unknown(said) => format!(
                "the Kubernetes API does not know the service account's token (401): {said}"
            ),
            Self::Forbidden(said) => format!(
                "the judge's service account may not do this with WasmPlugin {object} (403): {said}; it needs the verbs get and patch"
            ),
            Self::Other(code, said) => {
                format!("the Kubernetes API refused WasmPlugin {object} ({code}): {said}")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// As Kubernetes 1.31 answers.
    #[test]
    fn a_conflict_names_field_and_owner() {
        let body = json!({
            "kind": "Status", "status": "Failure", "reason": "Conflict", "code": 409,
            "message": "Apply failed with 1 conflict: conflict with \"kubectl\": .spec.pluginConfig.plan.revision.counter",
            "details": {"causes": [{
                "reason": "FieldManagerConflict",
                "message": "conflict with \"kubectl\"",
                "field": ".spec.pluginConfig.plan.revision.counter",
            }]},
        });
        let body = body.to_string();
        let refusal = Refusal::of(StatusCode::CONFLICT, body.as_bytes());
        assert!(matches!(&refusal, Refusal::Conflict(owners) if owners.len() == 1));
        let said = refusal.say(&"istio-system/serinus".parse().unwrap());
        for words in [
            "istio-system/serinus",
            "kubectl",
            "revision.counter",
            "--wasm-plugin-force",
        ] {
            assert!(said.contains(words), "{said}");
        }
        // Another writer was faster: no owner is named, and it is tried again.
        let raced = Refusal::of(
            StatusCode::CONFLICT,
            br#"{"message": "please apply again"}"#,
        );
        assert_eq!(
            raced,
            Refusal::Other(StatusCode::CONFLICT, "please apply again".to_owned())
        );
    }

    #[test]
    fn an_answer_that_is_no_status_is_quoted_and_not_at_length() {
        let page = format!("<html>{}", "x".repeat(10_000));
        let refusal = Refusal::of(StatusCode::BAD_GATEWAY, page.as_bytes());
        let said = refusal.say(&"a/b".parse().unwrap());
        assert!(said.contains("502") && said.len() < 400, "{said}");
        assert_eq!(Refusal::of(StatusCode::NOT_FOUND, b""), Refusal::Missing);
    }
}
