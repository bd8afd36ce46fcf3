//! The one resource of this judge's ECDS: the filter with the newest plan.

use super::plugin::{Plugin, configuration};
use super::stream::Offer;
use crate::hex::hex;
use crate::service::Published;
use envoy_types::pb::envoy::config::core::v3::{
    AsyncDataSource, DataSource, TypedExtensionConfig, async_data_source, data_source,
};
use envoy_types::pb::envoy::extensions::filters::http::wasm::v3::Wasm;
use envoy_types::pb::envoy::extensions::wasm::v3::{
    FailurePolicy, PluginConfig, VmConfig, plugin_config,
};
use envoy_types::pb::google::protobuf::{Any, BoolValue, StringValue};
use envoy_types::util::pack_any;
use serinus_core::json::FieldError;
use serinus_core::plan::Revision;
use serinus_core::settings;
use sha2::{Digest, Sha256};

#[derive(Debug, Clone, PartialEq)]
pub struct Resource {
    pub name: String,
    pub version: String,
    /// A `TypedExtensionConfig`.
    pub body: Any,
    /// What a filter of this judge's version would say against it: Envoy does not say
    /// why a filter refuses. A proxy's may be of another version.
    pub objection: Option<FieldError>,
}

impl Resource {
    /// # Errors
    /// A plan that is no JSON.
    pub fn new(plugin: &Plugin, plan: &Published) -> Result<Self, serde_json::Error> {
        let configuration = configuration(&plugin.configuration, &plan.bytes)?;
        let objection = settings::read(Some(configuration.as_bytes())).err();
        let body = typed(plugin, configuration);
        Ok(Self {
            objection,
            name: plugin.filter.clone(),
            version: version(plan.revision, &body.value),
            body,
        })
    }

    #[must_use]
    pub fn offer(&self) -> Offer<'_> {
        Offer {
            name: &self.name,
            version: &self.version,
        }
    }
}

/// The plan's revision and a hash of the bytes: judges with other plugin files give one
/// revision out in other bytes, and each is right to send its own.
pub fn version(revision: Revision, bytes: &[u8]) -> String {
    let mut hash = hex(&Sha256::digest(bytes));
    hash.truncate(16);
    format!("{revision}-{hash}")
}

/// The plan's revision that a version is of.
#[must_use]
pub fn revision_of(version: &str) -> Option<Revision> {
    version.split_once('-')?.0.parse().ok()
}

/// As in envoy/serinus.yaml, which says why each is as it is.
fn typed(plugin: &Plugin, configuration: String) -> Any {
    let local = DataSource {
        specifier: Some(data_source::Specifier::Filename(plugin.wasm.clone())),
        ..DataSource::default()
    };
    let code = AsyncDataSource {
        specifier: Some(async_data_source::Specifier::Local(local)),
    };
    let vm = VmConfig {
        vm_id: plugin.vm_id.clone(),
        runtime: "envoy.wasm.runtime.v8".to_owned(),
        code: Some(code),
        ..VmConfig::default()
    };
    let config = PluginConfig {
        name: plugin.plugin_name.clone(),
        root_id: plugin.root_id.clone(),
        configuration: Some(pack_any(StringValue {
            value: configuration,
        })),
        failure_policy: FailurePolicy::FailOpen.into(),
        allow_on_headers_stop_iteration: plugin
            .allow_on_headers_stop_iteration
            .then_some(BoolValue { value: true }),
        vm: Some(plugin_config::Vm::VmConfig(vm)),
        ..PluginConfig::default()
    };
    pack_any(TypedExtensionConfig {
        name: plugin.filter.clone(),
        typed_config: Some(pack_any(Wasm {
            config: Some(config),
        })),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_of_a_revision_and_of_bytes() {
        let revision = Revision {
            generation: 3,
            counter: 14,
        };
        let one = version(revision, b"one");
        assert_eq!(one.len(), "3.14-".len() + 16);
        assert_ne!(one, version(revision, b"other"));
        assert_eq!(revision_of(&one), Some(revision));
        for other in ["", "3.14", "x-y", "3-0011223344556677"] {
            assert_eq!(revision_of(other), None, "{other}");
        }
    }
}
