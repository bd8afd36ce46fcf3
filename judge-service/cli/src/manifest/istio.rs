//! Manifests for Istio: the filter in its proxies, and routes that match the arm header.

mod filter;
mod judge;
mod module;
mod parts;
mod routes;
#[cfg(test)]
mod tests;

use super::address::{Address, ArmAddress};
use crate::failure::Failure;
use clap::ValueEnum;
pub use filter::Filter;
pub use judge::Judge;
pub use module::{Module, Sha256, Source};
use parts::fitted;
pub use parts::{GatewayName, Host, Label, ObjectName};
pub use routes::Routes;
use serinus_judge::domain::RolloutSpec;

/// Which proxies. A VirtualService's header matches are made by the client's proxy or
/// the gateway, so the filter stands there and nowhere else.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Place {
    /// A gateway, for requests from outside
    #[default]
    Gateway,
    /// The sidecars of the clients of a model, on their way out
    Sidecar,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Form {
    /// Has all that the filter can do
    #[default]
    EnvoyFilter,
    /// Without bodies and shadows, and the one that the judge can write plans into:
    /// `serinus serve --wasm-plugin`
    WasmPlugin,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Only {
    Filter,
    Routes,
}

/// What both halves are about.
pub struct Subject<'a> {
    pub spec: &'a RolloutSpec,
    pub place: Place,
    /// The name of the hop; that of the place unless told otherwise.
    pub point: Option<&'a str>,
    pub namespace: &'a ObjectName,
}

// === impl Place ===

impl Place {
    /// The usual name of its enforcement point.
    pub fn name(self) -> &'static str {
        match self {
            Self::Gateway => "gateway",
            Self::Sidecar => "sidecar",
        }
    }

    /// As EnvoyFilter calls it.
    fn context(self) -> &'static str {
        match self {
            Self::Gateway => "GATEWAY",
            Self::Sidecar => "SIDECAR_OUTBOUND",
        }
    }
}

// === impl Subject ===

impl Subject<'_> {
    pub fn point(&self) -> &str {
        self.point.unwrap_or(self.place.name())
    }

    /// Whether this hop decides the rollout's requests, and not one before it.
    fn decides(&self) -> bool {
        self.spec.enforced_at.as_deref() == Some(self.point())
    }

    /// Of two hops with a filter, one must decide and count a request.
    ///
    /// # Errors
    /// A rollout that does not say where, or not at this gateway.
    pub fn check_point(&self) -> Result<(), Failure> {
        let (id, point) = (&self.spec.id, self.point());
        match &self.spec.enforced_at {
            None => Err(Failure::Failed(format!(
                "enforced_at: is missing in rollout `{id}`, so that every hop with a filter would decide and count its requests; `enforced_at: {point}` is right for this manifest"
            ))),
            // It takes away what clients send in the arm header, and what was decided before.
            Some(at) if at != point && self.place == Place::Gateway => {
                Err(Failure::Failed(format!(
                    "--point: rollout `{id}` is enforced at `{at}`, and this gateway is `{point}`; --point {at} is right if it is that one"
                )))
            }
            Some(_) => Ok(()),
        }
    }
}

/// The name of an arm's subset, and the end of its route's name.
fn arm_name(arm: &str) -> String {
    fitted(arm)
}
