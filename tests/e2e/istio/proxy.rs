//! A proxy as istiod would configure it: routes of a VirtualService, with the patches of
//! an EnvoyFilter or the filter of a WasmPlugin. Only what the manifests use is known
//! here, by the rules in Istio's `pilot/pkg/networking/core/envoyfilter` and
//! `pilot/pkg/model/extensions.go`; everything else panics.

use super::backend::Backend;
use serde_json::{Map, Value, json};
use serinus_tests::artefacts;
use std::fs;
use std::path::{Path, PathBuf};

const MANAGER: &str = "envoy.filters.network.http_connection_manager";
const ROUTER: &str = "envoy.filters.http.router";
const TYPES: &str = "type.googleapis.com/envoy";

pub struct Proxy {
    context: &'static str,
    bootstrap: Value,
    /// What istiod sends by ECDS.
    extensions: Vec<Value>,
}

// === impl Proxy ===

impl Proxy {
    /// With the VirtualService's routes; its destinations, in the order of the arms, are
    /// served there.
    pub fn new(context: &'static str, objects: &[Value], backends: &[Backend]) -> Self {
        let service = super::of_kind(objects, "VirtualService");
        let rules = objects
            .iter()
            .filter(|object| object["kind"] == "DestinationRule");
        let subsets: Vec<&Value> = rules
            .filter_map(|rule| rule["spec"]["subsets"].as_array())
            .flatten()
            .collect();
        let http = service["spec"]["http"].as_array().unwrap();
        let routes: Vec<Value> = http.iter().map(route).collect();
        // The default route is control's.
        let in_order = routes.iter().rev().zip(backends);
        let clusters: Vec<Value> = in_order
            .map(|(route, backend)| cluster(route["route"]["cluster"].as_str().unwrap(), backend))
            .collect();
        for route in http {
            let destination = &route["route"][0]["destination"];
            let named = subsets
                .iter()
                .any(|subset| subset["name"] == destination["subset"]);
            assert!(named || destination["subset"].is_null(), "{destination}");
        }
        let manager = json!({
            "@type": format!("{TYPES}.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"),
            "stat_prefix": "outbound_0.0.0.0_8080",
            "http_filters": [
                {"name": "envoy.filters.http.cors",
                 "typed_config": {"@type": format!("{TYPES}.extensions.filters.http.cors.v3.Cors")}},
                {"name": ROUTER,
                 "typed_config": {"@type": format!("{TYPES}.extensions.filters.http.router.v3.Router")}},
            ],
            "route_config": {
                "name": "http.8080",
                "virtual_hosts": [{
                    "name": "models.example.com:8080",
                    "domains": service["spec"]["hosts"],
                    "routes": routes,
                }],
            },
        });
        let any_port = json!({"socket_address": {"address": "127.0.0.1", "port_value": 0}});
        let bootstrap = json!({
            "node": {"id": format!("{}~127.0.0.1", context.to_lowercase()), "cluster": "mesh"},
            "admin": {"address": any_port},
            "static_resources": {
                "listeners": [{
                    "name": "0.0.0.0_8080",
                    "address": any_port,
                    "filter_chains": [{"filters": [{"name": MANAGER, "typed_config": manager}]}],
                }],
                "clusters": clusters,
            },
        });
        Self {
            context,
            bootstrap,
            extensions: Vec::new(),
        }
    }

    /// The cluster that Istio makes of the judge's Service.
    pub fn serve_judge(&mut self, name: &str, port: u16) {
        let clusters = &mut self.bootstrap["static_resources"]["clusters"];
        clusters
            .as_array_mut()
            .unwrap()
            .push(cluster_at(name, port));
    }

    /// The same with the TLS of a DestinationRule for that Service. Istio's agent gives the
    /// files to Envoy as secrets, which is all the same to the judge.
    pub fn serve_judge_by(&mut self, rule: &Value, port: u16) {
        let spec = &rule["spec"];
        let name = format!("outbound|8090||{}", spec["host"].as_str().unwrap());
        self.serve_judge(&name, port);
        let clusters = &mut self.bootstrap["static_resources"]["clusters"];
        let own = clusters.as_array_mut().unwrap().last_mut().unwrap();
        own["transport_socket"] = transport_socket(&spec["trafficPolicy"]["tls"]);
    }

    fn manager(&mut self) -> &mut Value {
        let filter = "/static_resources/listeners/0/filter_chains/0/filters/0/typed_config";
        self.bootstrap.pointer_mut(filter).unwrap()
    }

    /// Before the router, with its configuration by ECDS.
    fn insert(&mut self, filter: &Value) {
        let filters = self.manager()["http_filters"].as_array_mut().unwrap();
        let router = filters.iter().position(|filter| filter["name"] == ROUTER);
        filters.insert(router.unwrap(), filter.clone());
    }

    pub fn apply(&mut self, envoy_filter: &Value) {
        for patch in envoy_filter["spec"]["configPatches"].as_array().unwrap() {
            let (to, what) = (&patch["applyTo"], &patch["match"]);
            let operation = patch["patch"]["operation"].as_str().unwrap();
            let value = &patch["patch"]["value"];
            if what["context"] != self.context {
                panic!(
                    "{to} is for {}, and this is {}",
                    what["context"], self.context
                );
            }
            let filter = &what["listener"]["filterChain"]["filter"];
            match (to.as_str().unwrap(), operation) {
                ("CLUSTER", "ADD") => {
                    let clusters = &mut self.bootstrap["static_resources"]["clusters"];
                    clusters.as_array_mut().unwrap().push(value.clone());
                }
                ("EXTENSION_CONFIG", "ADD") => self.extensions.push(value.clone()),
                ("HTTP_FILTER", "INSERT_BEFORE") => {
                    assert_eq!(
                        (&filter["name"], &filter["subFilter"]["name"]),
                        (&json!(MANAGER), &json!(ROUTER))
                    );
                    self.insert(value);
                }
                ("NETWORK_FILTER", "MERGE") => {
                    assert_eq!(*filter, json!({"name": MANAGER}));
                    merge(self.manager(), &value["typed_config"]);
                }
                ("VIRTUAL_HOST", "MERGE") => {
                    assert!(what["routeConfiguration"].is_null());
                    let hosts = &mut self.manager()["route_config"]["virtual_hosts"];
                    for host in hosts.as_array_mut().unwrap() {
                        merge(host, value);
                    }
                }
                ("HTTP_ROUTE", "MERGE") => {
                    let name = &what["routeConfiguration"]["vhost"]["route"]["name"];
                    let host = &mut self.manager()["route_config"]["virtual_hosts"][0];
                    let routes = host["routes"].as_array_mut().unwrap();
                    let route = routes.iter_mut().find(|route| route["name"] == *name);
                    merge(route.unwrap(), value);
                }
                other => panic!("nothing here knows {other:?}"),
            }
        }
    }

    /// A WasmPlugin in the place before the router, for requests on their way out.
    pub fn plug(&mut self, plugin: &Value) {
        assert_eq!(plugin["spec"]["match"], json!([{"mode": "CLIENT"}]));
        assert!(plugin["spec"]["phase"].is_null());
        let name = resource_name(plugin);
        self.insert(&json!({
            "name": name,
            "config_discovery": {
                "config_source": {"ads": {}, "initial_fetch_timeout": "0s", "resource_api_version": "V3"},
                "type_urls": [
                    format!("{TYPES}.extensions.filters.http.wasm.v3.Wasm"),
                    format!("{TYPES}.extensions.filters.http.rbac.v3.RBAC"),
                ],
            },
        }));
        self.extensions.push(extension(plugin));
    }

    /// The bootstrap. What istiod sends by ECDS is written into a file for each filter,
    /// with the module as Istio's agent leaves it: a file, if this URL has it and its
    /// digest is right.
    pub fn write(&mut self, folder: &Path, module: &str) -> String {
        for extension in std::mem::take(&mut self.extensions) {
            let path = put_extension(folder, extension.clone(), module);
            let filters = self.manager()["http_filters"].as_array_mut().unwrap();
            let filter = filters
                .iter_mut()
                .find(|filter| filter["name"] == extension["name"]);
            let source = &mut filter.unwrap()["config_discovery"]["config_source"];
            assert_eq!(
                source.as_object_mut().unwrap().remove("ads"),
                Some(json!({}))
            );
            source["path_config_source"] = json!({"path": path});
        }
        self.bootstrap.to_string()
    }
}

/// By `pilot/pkg/networking/core/cluster_tls.go`.
fn transport_socket(tls: &Value) -> Value {
    let file = |name: &str| json!({"filename": tls[name]});
    let names = tls["subjectAltNames"].as_array().unwrap();
    let names = names
        .iter()
        .map(|name| json!({"san_type": "DNS", "matcher": {"exact": name}}));
    let mut context = json!({"validation_context": {
        "trusted_ca": file("caCertificates"),
        "match_typed_subject_alt_names": names.collect::<Vec<_>>(),
    }});
    match tls["mode"].as_str().unwrap() {
        "SIMPLE" => {}
        "MUTUAL" => {
            context["tls_certificates"] = json!([{
                "certificate_chain": file("clientCertificate"),
                "private_key": file("privateKey"),
            }]);
        }
        other => panic!("nothing here knows {other}"),
    }
    json!({
        "name": "envoy.transport_sockets.tls",
        "typed_config": {
            "@type": format!("{TYPES}.extensions.transport_sockets.tls.v3.UpstreamTlsContext"),
            "sni": tls["sni"],
            "common_tls_context": context,
        },
    })
}

/// Writes one more ECDS answer for a filter over the one before.
pub fn put_extension(folder: &Path, mut extension: Value, module: &str) -> PathBuf {
    let name = extension["name"].as_str().unwrap().to_owned();
    let machine = &mut extension["typed_config"]["config"]["vm_config"];
    if let Some(remote) = machine["code"].get("remote") {
        let wasm = artefacts::wasm().unwrap();
        assert_eq!(remote["sha256"], super::sha256(&wasm));
        let file = if remote["http_uri"]["uri"] == module {
            wasm
        } else {
            folder.join("missing.wasm")
        };
        machine["code"] = json!({"local": {"filename": file}});
        // Which is for the agent alone. Left there, as it is beside a file, Envoy would
        // make another machine for each version of the object.
        if let Some(variables) = machine.get_mut("environment_variables") {
            let values = variables["key_values"].as_object_mut().unwrap();
            values.retain(|name, _| !name.starts_with("ISTIO_META_"));
        }
    }
    let fields: &mut Map<String, Value> = extension.as_object_mut().unwrap();
    let kind = "type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig";
    fields.insert("@type".to_owned(), json!(kind));
    let (path, next) = (folder.join(format!("{name}.yaml")), folder.join("next"));
    fs::write(&next, json!({"resources": [extension]}).to_string()).unwrap();
    fs::rename(&next, &path).unwrap();
    path
}

fn resource_name(plugin: &Value) -> String {
    let text = |name: &str| plugin["metadata"][name].as_str().unwrap().to_owned();
    format!("{}.{}", text("namespace"), text("name"))
}

/// The configuration goes as JSON in a string, whose numbers have been doubles; the
/// object's version is in the machine's environment.
pub fn extension(plugin: &Value) -> Value {
    let spec = &plugin["spec"];
    let version = &plugin["metadata"]["resourceVersion"];
    json!({
        "name": resource_name(plugin),
        "typed_config": {
            "@type": format!("{TYPES}.extensions.filters.http.wasm.v3.Wasm"),
            "config": {
                "name": resource_name(plugin),
                "root_id": spec["pluginName"],
                "failure_policy": spec["failStrategy"],
                "configuration": {
                    "@type": "type.googleapis.com/google.protobuf.StringValue",
                    "value": doubles(&spec["pluginConfig"]).to_string(),
                },
                "vm_config": {
                    "runtime": "envoy.wasm.runtime.v8",
                    "code": {"remote": {
                        "http_uri": {"uri": spec["url"], "timeout": "30s", "cluster": "_"},
                        "sha256": spec["sha256"],
                    }},
                    "environment_variables": {"key_values": {
                        "ISTIO_META_WASM_PLUGIN_RESOURCE_VERSION": version.as_str().unwrap_or("1"),
                    }},
                },
            },
        },
    })
}

/// As a protobuf Struct keeps them, and prints them again.
fn doubles(value: &Value) -> Value {
    match value {
        Value::Number(number) => {
            let double = number.as_f64().unwrap();
            let is_whole = double.fract() == 0.0 && double.abs() < 1e21;
            if is_whole {
                json!(double as i64)
            } else {
                json!(double)
            }
        }
        Value::Array(list) => list.iter().map(doubles).collect(),
        Value::Object(fields) => {
            let fields = fields.iter();
            fields
                .map(|(name, value)| (name.clone(), doubles(value)))
                .collect()
        }
        other => other.clone(),
    }
}

/// As protobuf merges: objects by field, lists one behind the other.
fn merge(into: &mut Value, value: &Value) {
    match (into, value) {
        (Value::Object(into), Value::Object(fields)) => {
            for (name, value) in fields {
                merge(into.entry(name).or_insert(Value::Null), value);
            }
        }
        (Value::Array(into), Value::Array(list)) => into.extend(list.iter().cloned()),
        (into, value) => *into = value.clone(),
    }
}

fn route(http: &Value) -> Value {
    assert_eq!(http["retries"], json!({"attempts": 0}));
    let headers = http["match"].as_array().map(|matches| {
        assert_eq!(matches.len(), 1);
        let headers = matches[0]["headers"].as_object().unwrap().iter();
        headers
            .map(|(name, how)| json!({"name": name, "string_match": how}))
            .collect::<Vec<_>>()
    });
    let destination = &http["route"][0]["destination"];
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let cluster = format!(
        "outbound|{}|{}|{}",
        destination["port"]["number"],
        text(&destination["subset"]),
        text(&destination["host"])
    );
    json!({
        "name": http["name"],
        "match": {"prefix": "/", "headers": headers.unwrap_or_default()},
        "route": {"cluster": cluster, "timeout": "0s"},
    })
}

fn cluster(name: &str, backend: &Backend) -> Value {
    cluster_at(name, backend.port())
}

fn cluster_at(name: &str, port: u16) -> Value {
    let socket = json!({"address": "127.0.0.1", "port_value": port});
    json!({
        "name": name,
        "type": "STATIC",
        "connect_timeout": "1s",
        "load_assignment": {
            "cluster_name": name,
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": {"socket_address": socket}}}]}],
        },
    })
}
