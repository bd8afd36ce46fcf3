//! The filter, as an EnvoyFilter or as a WasmPlugin.

use super::{Address, Form, Judge, Label, Module, ObjectName, Place, Source, Subject, arm_name};
use crate::failure::Failure;
use crate::manifest::to_judge::indented;
use serinus_core::plan::wire::{Condition, UnitSource};
use serinus_judge::domain::RolloutSpec;
use std::fmt::Write;

pub struct Filter<'a> {
    pub form: Form,
    /// Of the proxies; none is all of the namespace.
    pub workload: &'a [Label],
    pub module: &'a Module,
    pub judge: Judge<'a>,
    pub shadow: Option<&'a Address>,
}

impl Filter<'_> {
    /// # Errors
    /// A rollout that needs what this form cannot give.
    pub fn text(&self, subject: &Subject<'_>) -> Result<String, Failure> {
        self.check_shadow(subject.spec)?;
        match self.form {
            Form::EnvoyFilter => Ok(self.envoy_filter(subject)),
            Form::WasmPlugin => {
                let (id, needs) = (&subject.spec.id, "which a WasmPlugin cannot give");
                if reads_bodies(subject.spec) {
                    return Err(Failure::Failed(format!(
                        "--as: rollout `{id}` reads values in bodies, for which requests must be held, {needs}; --as envoy-filter is right"
                    )));
                }
                if subject.spec.shadow.is_some() {
                    return Err(Failure::Failed(format!(
                        "--as: rollout `{id}` has a shadow, for which routes must copy requests, {needs}; --as envoy-filter is right"
                    )));
                }
                Ok(self.wasm_plugin(subject))
            }
        }
    }

    fn check_shadow(&self, spec: &RolloutSpec) -> Result<(), Failure> {
        match (&spec.shadow, self.shadow) {
            (Some(shadow), None) if self.form == Form::EnvoyFilter => Err(Failure::Usage(format!(
                "--shadow-address: is missing; the rollout copies requests to cluster `{}`",
                shadow.cluster
            ))),
            (None, Some(_)) => Err(Failure::Usage(format!(
                "--shadow-address: rollout `{}` has no shadow; leave it out",
                spec.id
            ))),
            _ => Ok(()),
        }
    }

    fn envoy_filter(&self, subject: &Subject<'_>) -> String {
        let context = subject.place.context();
        let mut text = format!(
            r#"# The Serinus filter in front of the router, for all rollouts of a judge.
#
# Every proxy that it selects asks the judge for plans. While it has none, while the
# module is not there or does not load, and when its virtual machine has died, the filter
# does nothing, and the default route serves.
#
# It stands in the namespace of the proxies, or in Istio's root namespace for all of them.
apiVersion: networking.istio.io/v1alpha3
kind: EnvoyFilter
metadata:
  name: {name}
  namespace: {namespace}
spec:
{selector}  configPatches:
"#,
            name = object_name(subject),
            namespace = subject.namespace,
            selector = self.workload_selector("workloadSelector", "labels"),
        );
        text += &self.judge.patch(context);
        text += &self.extension_patch(subject);
        let name = object_name(subject);
        text += &format!(
            r#"    # The listener does not wait for it for long: with a filter that does not come it
    # has the default, which does nothing.
    - applyTo: HTTP_FILTER
      match:
        context: {context}
        listener:
          filterChain:
            filter:
              name: envoy.filters.network.http_connection_manager
              subFilter: {{ name: envoy.filters.http.router }}
      patch:
        operation: INSERT_BEFORE
        value:
          name: {name}
          config_discovery:
            config_source:
              resource_api_version: V3
              initial_fetch_timeout: 5s
              ads: {{}}
            type_urls:
              - type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm
              - type.googleapis.com/envoy.extensions.filters.http.header_mutation.v3.HeaderMutation
              # What Istio puts in the place of a module that it could not get.
              - type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBAC
            default_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.header_mutation.v3.HeaderMutation
"#
        );
        if subject.place == Place::Gateway {
            text += EDGE;
        }
        let _ = write!(
            text,
            r#"    # What a request that waits for its body may have in memory: the most that a plan
    # may ask for, and what Envoy reads at once on top. Istio before 1.28 does not know
    # the field: leave this patch out there.
    - applyTo: VIRTUAL_HOST
      match: {{ context: {context} }}
      patch:
        operation: MERGE
        value: {{ request_body_buffer_limit: 2097152 }}
"#
        );
        self.put_shadow(subject, &mut text);
        text
    }

    fn extension_patch(&self, subject: &Subject<'_>) -> String {
        let code = match &self.module.source {
            Source::File(path) => format!(
                r#"                # A path where the proxy runs: a volume (sidecar.istio.io/userVolume and
                # userVolumeMount), or an image of the proxy with the module in it.
                local: {{ filename: "{path}" }}
"#
            ),
            Source::Remote(url) => format!(
                r#"                # Istio's agent beside the proxy gets it, checks its digest and gives
                # Envoy a file.
                remote:
                  http_uri: {{ uri: "{url}", timeout: 30s, cluster: _ }}
                  sha256: "{}"
"#,
                self.module
                    .sha256
                    .as_ref()
                    .map_or("", |sha256| sha256.0.as_str())
            ),
        };
        format!(
            r#"    # The filter itself comes apart from the listener, as Istio sends a WasmPlugin:
    # what of it changes drains no connection, and what of it is broken harms no listener.
    - applyTo: EXTENSION_CONFIG
      match: {{ context: {context} }}
      patch:
        operation: ADD
        value:
          name: {name}
          typed_config:
            "@type": type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm
            config:
              name: serinus
              root_id: serinus
              failure_policy: FAIL_OPEN
              # With `hold_bodies` below: a request may wait for its body, where a rollout
              # splits by a value in it. Istio before 1.27 does not know the field: leave
              # both lines out there.
              allow_on_headers_stop_iteration: true
              vm_config:
                vm_id: {name}
                runtime: envoy.wasm.runtime.v8
                code:
{code}              configuration:
                "@type": type.googleapis.com/google.protobuf.StringValue
                value: |
                  {{
                    "judge": {{"cluster": "{cluster}"}},
                    "arm_header": "x-serinus-arm",
                    "shadow_header": "x-serinus-shadow",
                    "hold_bodies": true,
                    "enforcement_point": "{point}",
                    "trusts_arm": {trusts},
                    "disabled": false
                  }}
"#,
            code = indented(&code, 2),
            name = object_name(subject),
            context = subject.place.context(),
            cluster = self.judge.cluster(),
            point = subject.point(),
            trusts = trusts(subject),
        )
    }

    /// Routes that copy where the filter says, and the cluster that copies go to.
    fn put_shadow(&self, subject: &Subject<'_>, text: &mut String) {
        let spec = subject.spec;
        let (Some(shadow), Some(address)) = (&spec.shadow, self.shadow) else {
            return;
        };
        let context = subject.place.context();
        let cluster = serde_json::Value::from(shadow.cluster.as_str());
        let _ = write!(
            text,
            r#"    # Copies of requests go there, if the filter says so; nobody waits for an answer.
    - applyTo: CLUSTER
      match: {{ context: {context} }}
      patch:
        operation: ADD
        value:
          name: {cluster}
          type: STRICT_DNS
          connect_timeout: 1s
          load_assignment:
            cluster_name: {cluster}
            endpoints:
              - lb_endpoints:
                  - endpoint:
                      address:
                        socket_address: {address}
"#
        );
        for arm in &spec.arms {
            let _ = write!(
                text,
                r#"    - applyTo: HTTP_ROUTE
      match:
        context: {context}
        routeConfiguration:
          vhost: {{ route: {{ name: {route} }} }}
      patch:
        operation: MERGE
        value:
          route:
            request_mirror_policies: [{{ cluster_header: x-serinus-shadow }}]
"#,
                route = route_name(spec, &arm.name)
            );
        }
    }

    fn wasm_plugin(&self, subject: &Subject<'_>) -> String {
        let sha256 = self.module.sha256.as_ref();
        let sha256 = sha256.map(|sha256| format!("  sha256: {}\n", sha256.0));
        format!(
            r#"# The Serinus filter as a WasmPlugin, for all rollouts of a judge. A rollout that reads
# values in bodies or has a shadow needs the EnvoyFilter instead.
#
# It stands in the namespace of the proxies, or in Istio's root namespace for all of them.
apiVersion: extensions.istio.io/v1alpha1
kind: WasmPlugin
metadata:
  name: {name}
  namespace: {namespace}
spec:
{selector}  # Requests on their way out of these proxies; gateways have no others.
  match:
    - mode: CLIENT
{file}  url: "{url}"
{sha256}  type: HTTP
  pluginName: serinus
  # A module that does not come, or whose virtual machine has died, is skipped: the
  # default route serves.
  failStrategy: FAIL_OPEN
  # No rollout stands here: the filter asks the judge for its plan. Where the judge
  # writes plans into this object instead (`serinus serve --wasm-plugin {namespace}/{name}`),
  # it adds the field `plan`, and all others stay yours: apply this file by
  # `kubectl apply --server-side`, which leaves alone what others added.
  pluginConfig:
    judge:
{about}      cluster: "{cluster}"
    arm_header: x-serinus-arm
    enforcement_point: {point}
    trusts_arm: {trusts}
    disabled: false
{rule}"#,
            name = object_name(subject),
            namespace = subject.namespace,
            selector = self.workload_selector("selector", "matchLabels"),
            url = self.module.source.url(),
            file = match &self.module.source {
                Source::File(_) => FILE,
                Source::Remote(_) => "",
            },
            sha256 = sha256.unwrap_or_default(),
            about = self.judge.about_mesh_cluster(),
            cluster = self.judge.cluster(),
            point = quoted(subject.point()),
            trusts = trusts(subject),
            rule = self.judge.destination_rule(subject, self.workload),
        )
    }

    fn workload_selector(&self, field: &str, labels: &str) -> String {
        if self.workload.is_empty() {
            return "  # Every proxy of the namespace.\n".to_owned();
        }
        let mut text = format!("  {field}:\n    {labels}:\n");
        for label in self.workload {
            let _ = writeln!(text, "      {label}");
        }
        text
    }
}

/// Istio's agent takes the object's version out of a machine's environment only where it
/// gets the module.
const FILE: &str = r#"  # Beside a file Istio tells the virtual machine the version of this object, so that each
  # change makes new ones, which know nothing of what was not reported yet. Where the judge
  # writes plans into this object, let the module come from oci:// or https://.
"#;

/// Before every filter and before the first look for a route.
const EDGE: &str = r#"    # No client picks its own arm, even when the filter is not there to replace what was
    # sent.
    - applyTo: NETWORK_FILTER
      match:
        context: GATEWAY
        listener:
          filterChain:
            filter: { name: envoy.filters.network.http_connection_manager }
      patch:
        operation: MERGE
        value:
          typed_config:
            "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
            early_header_mutation_extensions:
              - name: arm-header
                typed_config:
                  "@type": type.googleapis.com/envoy.extensions.http.early_header_mutation.header_mutation.v3.HeaderMutation
                  mutations:
                    - remove: x-serinus-arm
                    - remove: x-serinus-shadow
"#;

/// A sidecar's clients are the mesh's own; a gateway's are anybody.
fn trusts(subject: &Subject<'_>) -> bool {
    subject.place == Place::Sidecar
}

fn object_name(subject: &Subject<'_>) -> ObjectName {
    ObjectName::of(&format!("serinus-{}", subject.point()))
}

/// Of the VirtualService that is written beside it.
pub fn route_name(spec: &RolloutSpec, arm: &str) -> String {
    format!("serinus-{}-{}", ObjectName::of(&spec.id), arm_name(arm))
}

/// A name that YAML must not take for a number or a word of its own.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

fn reads_bodies(spec: &RolloutSpec) -> bool {
    let of_body = |condition: &Condition| condition.body.is_some();
    let unit = |source: &UnitSource| matches!(source, UnitSource::Body(_));
    let segments = spec.segments.iter();
    spec.unit.iter().any(unit) || segments.flat_map(|segment| &segment.when).any(of_body)
}
