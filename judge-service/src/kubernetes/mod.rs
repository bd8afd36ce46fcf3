//! Delivery by the Kubernetes API: the judge writes each new plan into WasmPlugin objects,
//! from where istiod sends it to Istio's proxies.
//!
//! One object is one small patch, at most once a second, by server-side apply: the judge
//! owns the field `plan` of the plugin configuration, and whoever made the object owns all
//! the others. It talks plain REST by the HTTP client that the judge has anyway: the crate
//! `kube` would bring all of Kubernetes' types for two calls of one URL.

mod account;
mod client;
mod refusal;
mod writer;

pub use account::Account;
pub use refusal::Refusal;
pub use writer::{Judges, ObjectName, write_plans};

/// By which the API knows whose a field is.
pub const FIELD_MANAGER: &str = "serinus-judge";
