//! One Envoy configuration for all variants; they differ in the filter alone, and
//! native in the route. It is `envoy/envoy.yaml` without what has nothing to do
//! with a request's cost.

use serde_json::{Value, json};
use std::path::Path;

use crate::load::USER_HEADER;

pub const ARM_HEADER: &str = "x-serinus-arm";

/// The loopback ports that Envoy sends to; 0 for what a variant has not.
#[derive(Debug, Clone, Copy, Default)]
pub struct Ports {
    pub control: u16,
    pub canary: u16,
    pub judge: u16,
    pub ext_proc: u16,
}

/// What a variant does with a request before the router.
pub enum Filter<'a> {
    None,
    /// Envoy's own: no filter, and routes that choose by a hash.
    WeightedClusters,
    Lua(&'a str),
    ExtProc,
    Wasm(&'a Path),
}

pub fn bootstrap(filter: &Filter<'_>, ports: Ports) -> String {
    let mut filters = Vec::new();
    filters.extend(http_filter(filter));
    filters.push(typed(
        "envoy.filters.http.router",
        "extensions.filters.http.router.v3.Router",
        json!({}),
    ));
    let routes = match filter {
        Filter::WeightedClusters => weighted(),
        _ => by_arm(),
    };
    let manager = typed(
        "envoy.filters.network.http_connection_manager",
        "extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        json!({
            "stat_prefix": "models",
            "use_remote_address": true,
            "normalize_path": true,
            "merge_slashes": true,
            "path_with_escaped_slashes_action": "REJECT_REQUEST",
            "http_filters": filters,
            "route_config": {
                "name": "models",
                "virtual_hosts": [{"name": "models", "domains": ["*"], "routes": routes}],
            },
        }),
    );
    let mut clusters = vec![
        cluster("control", ports.control),
        cluster("canary", ports.canary),
        cluster("judge", ports.judge),
    ];
    if let Filter::ExtProc = filter {
        let mut processor = cluster("ext_proc", ports.ext_proc);
        if let Some(fields) = processor.as_object_mut() {
            fields.insert("typed_extension_protocol_options".to_owned(), http2());
        }
        clusters.push(processor);
    }
    json!({
        "node": {"id": "bench", "cluster": "serinus"},
        "admin": {"address": address(0)},
        "static_resources": {
            "listeners": [{
                "name": "models",
                "address": address(0),
                "filter_chains": [{"filters": [manager]}],
            }],
            "clusters": clusters,
        },
    })
    .to_string()
}

/// As `envoy.yaml` routes: the canary by its header, the rest by default.
fn by_arm() -> Value {
    json!([
        {
            "match": {
                "prefix": "/",
                "headers": [{"name": ARM_HEADER, "string_match": {"exact": "canary"}}],
            },
            "route": {"cluster": "canary", "timeout": "5s"},
        },
        {"match": {"prefix": "/"}, "route": {"cluster": "control", "timeout": "5s"}},
    ])
}

fn weighted() -> Value {
    json!([{
        "match": {"prefix": "/"},
        "route": {
            "weighted_clusters": {
                "clusters": [
                    {"name": "control", "weight": 50},
                    {"name": "canary", "weight": 50},
                ],
                "use_hash_policy": true,
            },
            "hash_policy": [{"header": {"header_name": USER_HEADER}}],
            "timeout": "5s",
        },
    }])
}

fn http_filter(filter: &Filter<'_>) -> Option<Value> {
    match filter {
        Filter::None | Filter::WeightedClusters => None,
        Filter::Lua(script) => Some(typed(
            "envoy.filters.http.lua",
            "extensions.filters.http.lua.v3.Lua",
            json!({"default_source_code": {"inline_string": script}}),
        )),
        Filter::ExtProc => Some(typed(
            "envoy.filters.http.ext_proc",
            "extensions.filters.http.ext_proc.v3.ExternalProcessor",
            json!({
                "grpc_service": {"envoy_grpc": {"cluster_name": "ext_proc"}, "timeout": "5s"},
                "message_timeout": "5s",
                "processing_mode": {
                    "request_header_mode": "SEND",
                    "response_header_mode": "SEND",
                    "request_body_mode": "NONE",
                    "response_body_mode": "NONE",
                    "request_trailer_mode": "SKIP",
                    "response_trailer_mode": "SKIP",
                },
                // The server reads these two, so no others are sent to it.
                "forward_rules": {
                    "allowed_headers": {"patterns": [{"exact": USER_HEADER}, {"exact": ":status"}]},
                },
            }),
        )),
        Filter::Wasm(module) => Some(typed(
            "serinus",
            "extensions.filters.http.wasm.v3.Wasm",
            json!({
                "config": {
                    "name": "serinus",
                    "root_id": "serinus",
                    "failure_policy": "FAIL_OPEN",
                    "vm_config": {
                        "vm_id": "serinus",
                        "runtime": "envoy.wasm.runtime.v8",
                        "code": {"local": {"filename": module}},
                    },
                    "configuration": {
                        "@type": "type.googleapis.com/google.protobuf.StringValue",
                        "value": json!({"judge": {"cluster": "judge"}, "arm_header": ARM_HEADER})
                            .to_string(),
                    },
                },
            }),
        )),
    }
}

fn typed(name: &str, kind: &str, mut config: Value) -> Value {
    if let Some(fields) = config.as_object_mut() {
        let url = format!("type.googleapis.com/envoy.{kind}");
        fields.insert("@type".to_owned(), url.into());
    }
    json!({"name": name, "typed_config": config})
}

fn cluster(name: &str, port: u16) -> Value {
    json!({
        "name": name,
        "type": "STATIC",
        "connect_timeout": "1s",
        "load_assignment": {
            "cluster_name": name,
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address(port)}}]}],
        },
    })
}

fn http2() -> Value {
    json!({
        "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
            "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
            "explicit_http_config": {"http2_protocol_options": {}},
        },
    })
}

fn address(port: u16) -> Value {
    json!({"socket_address": {"address": "127.0.0.1", "port_value": port}})
}
