//! The same resource as a file, for an Envoy whose `path_config_source` watches it.

use super::plugin::{Plugin, configuration};
use super::{TYPE_URL, resource};
use crate::service::Published;
use serde_json::json;

/// What Envoy reads as JSON, and so as YAML too.
///
/// # Errors
/// A plan that is no JSON.
pub fn ecds_file(plugin: &Plugin, plan: &Published) -> Result<String, serde_json::Error> {
    let configuration = configuration(&plugin.configuration, &plan.bytes)?;
    let mut config = json!({
        "name": plugin.plugin_name,
        "root_id": plugin.root_id,
        "failure_policy": "FAIL_OPEN",
        "vm_config": {
            "vm_id": plugin.vm_id,
            "runtime": "envoy.wasm.runtime.v8",
            "code": {"local": {"filename": plugin.wasm}},
        },
        "configuration": {
            "@type": "type.googleapis.com/google.protobuf.StringValue",
            "value": configuration,
        },
    });
    // An Envoy that does not know the field must not see it.
    if plugin.allow_on_headers_stop_iteration
        && let Some(config) = config.as_object_mut()
    {
        config.insert("allow_on_headers_stop_iteration".to_owned(), true.into());
    }
    let file = json!({
        "version_info": resource::version(plan.revision, configuration.as_bytes()),
        "resources": [{
            "@type": TYPE_URL,
            "name": plugin.filter,
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm",
                "config": config,
            },
        }],
    });
    serde_json::to_string_pretty(&file)
}
