//! How proxies reach the judge: by a cluster that an EnvoyFilter adds, or by one of Istio's.

use super::{Address, Form, Label, ObjectName, Subject};
use crate::failure::Failure;
use crate::manifest::to_judge::{Access, Authority, Identity, Tls, ToJudge, indented, with_token};
use std::fmt::Write;

/// The cluster that an EnvoyFilter adds.
const OWN_CLUSTER: &str = "serinus-judge";

/// Where `judge-service/deploy` has the judge, by a name that stands for every judge: for
/// a cluster of the manifest's own.
const HEADLESS: &str = "serinus-judge.serinus.svc.cluster.local:8090";

/// The same judges by one address. Of a headless Service Istio makes sidecars a cluster
/// without endpoints (ORIGINAL_DST), by which the filter could call nobody.
const IN_MESH: &str = "serinus-judge-mesh.serinus.svc.cluster.local:8090";

pub struct Judge<'a> {
    /// Where this form reaches it.
    address: Address,
    /// Istio's own of a Service that the filter can use.
    mesh_cluster: String,
    /// The one by which proxies reach it.
    cluster: String,
    adds_cluster: bool,
    access: Access<'a>,
    credential: Option<Credential<'a>>,
}

/// A Secret beside the proxies, which istiod gives them.
struct Credential<'a> {
    secret: &'a ObjectName,
    /// Which the judge's certificate must have.
    name: String,
}

// === impl Judge ===

impl<'a> Judge<'a> {
    /// # Errors
    /// Options that make no sense together, or not in this form.
    pub fn new(
        form: Form,
        address: Option<&Address>,
        cluster: Option<&str>,
        to_judge: &'a ToJudge,
        credential: Option<&'a ObjectName>,
    ) -> Result<Self, Failure> {
        let or = |default: &str| match address {
            Some(address) => Ok(address.clone()),
            None => default
                .parse::<Address>()
                .map_err(|problem| Failure::Failed(format!("`{default}`: {problem}"))),
        };
        let in_mesh = or(IN_MESH)?;
        let address = match form {
            Form::EnvoyFilter => or(HEADLESS)?,
            Form::WasmPlugin => in_mesh.clone(),
        };
        if let (Some(cluster), Some(option)) = (cluster, to_judge.given()) {
            return Err(Failure::Usage(format!(
                "{option}: is written for the judge's address, and --judge-cluster names a cluster that the proxies have, `{cluster}`; one of them alone is right"
            )));
        }
        let (access, credential) = match credential {
            None => (to_judge.access(&address)?, None),
            Some(secret) => {
                let given = cluster
                    .map(|_| "--judge-cluster")
                    .or_else(|| to_judge.file());
                check_credential(form, given)?;
                let name = to_judge.name(&address)?;
                (Access::default(), Some(Credential { secret, name }))
            }
        };
        if form == Form::WasmPlugin && access.token.is_some() {
            return Err(Failure::Usage(
                "--judge-token: with --as wasm-plugin proxies reach the judge by Istio's own cluster, into which nothing puts a token, and in the plugin's configuration everybody would see it; --judge-ca, --judge-certificate and --judge-key are right instead, for a judge with --client-ca, or --as envoy-filter".to_owned(),
            ));
        }
        let secret = access.tls.as_ref().and_then(Tls::secret);
        if let (Form::WasmPlugin, Some(option)) = (form, secret) {
            return Err(Failure::Usage(format!(
                "{option}: names a file of Envoy's own, and with --as wasm-plugin a DestinationRule names PEM, which Istio's agent reads again when it changes; --judge-ca, --judge-certificate and --judge-key with PEM files are right"
            )));
        }
        let mesh_cluster = format!("outbound|{}||{}", in_mesh.port(), in_mesh.host());
        Ok(Self {
            address,
            cluster: match (cluster, form) {
                (Some(cluster), _) => cluster.to_owned(),
                (None, Form::EnvoyFilter) => OWN_CLUSTER.to_owned(),
                (None, Form::WasmPlugin) => mesh_cluster.clone(),
            },
            adds_cluster: cluster.is_none(),
            mesh_cluster,
            access,
            credential,
        })
    }

    /// The name of the cluster by which proxies reach it.
    pub fn cluster(&self) -> &str {
        &self.cluster
    }

    /// What an EnvoyFilter has of it, unless the proxies have the cluster.
    pub fn patch(&self, context: &str) -> String {
        if !self.adds_cluster {
            return String::new();
        }
        format!(
            r#"    # Reports and samples go there, and plans come from there.
{how}    # A headless Service names all judges, of which one that froze is passed over.
    - applyTo: CLUSTER
      match: {{ context: {context} }}
      patch:
        operation: ADD
        value:
          name: {OWN_CLUSTER}
          type: STRICT_DNS
          connect_timeout: 1s
          health_checks:
            - timeout: 1s
              interval: 5s
              no_traffic_interval: 5s
              unhealthy_threshold: 2
              healthy_threshold: 1
              http_health_check: {{ path: /health/ready }}
          # When no judge answers the checks, each is tried all the same.
          common_lb_config:
            healthy_panic_threshold: {{ value: 1 }}
{token}{tls}          load_assignment:
            cluster_name: {OWN_CLUSTER}
            endpoints:
              - lb_endpoints:
                  - endpoint:
                      address:
                        socket_address: {address}
"#,
            how = self.how(),
            address = self.address,
            token = field(self.access.token.map(with_token)),
            tls = field(self.access.tls.as_ref().map(Tls::transport_socket)),
        )
    }

    /// What is to know of the way there.
    fn how(&self) -> String {
        if self.access.tls.is_some() {
            return "    # It is the judge's own TLS, by a connection of its own.\n".to_owned();
        }
        format!(
            r#"    # It is plain HTTP, by a connection of its own; --judge-ca makes TLS of it. Where the
    # judge has a sidecar, and its namespace takes mutual TLS alone, name the mesh's own
    # cluster instead, of a Service that is not headless:
    # --judge-cluster '{}'.
{}"#,
            self.mesh_cluster,
            indented(self.access.warning(), 4)
        )
    }

    /// What is to know of Istio's cluster, as comments of a WasmPlugin's.
    pub fn about_mesh_cluster(&self) -> &'static str {
        let makes_tls = match (&self.access.tls, &self.credential) {
            (Some(tls), _) => Some(tls.shown.is_some()),
            (None, Some(_)) => Some(true),
            (None, None) => None,
        };
        match makes_tls {
            None => {
                r#"      # Istio's own cluster of the judge's Service, which these proxies must see, and
      # which must not be headless. By it no token can be shown: a judge that asks for
      # them knows these proxies by their certificate, which --judge-certificate writes.
"#
            }
            Some(false) => {
                r#"      # Istio's own cluster of the judge's Service, which these proxies must see, and
      # which must not be headless; the DestinationRule below makes TLS of it. By it no
      # token can be shown: a judge that asks for them knows these proxies by their
      # certificate, which --judge-certificate writes.
"#
            }
            Some(true) => {
                r#"      # Istio's own cluster of the judge's Service, which these proxies must see, and
      # which must not be headless; the DestinationRule below makes mutual TLS of it.
"#
            }
        }
    }

    /// TLS in Istio's own cluster, for the proxies of a WasmPlugin.
    pub fn destination_rule(&self, subject: &Subject<'_>, workload: &[Label]) -> String {
        let Some(Tried {
            about,
            mode,
            server,
            by,
        }) = self.tried()
        else {
            return String::new();
        };
        format!(
            r#"---
# TLS on the way to the judge, which speaks it itself: its pods have no sidecar.
{about}#
# It stands in the namespace of the proxies; in Istio's root namespace it counts only
# without a selector, and is for everybody who calls the judge then.
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata:
  name: {name}
  namespace: {namespace}
spec:
  host: "{host}"
{selector}  trafficPolicy:
    tls:
      mode: {mode}
      # The judge's certificate must be of the authority below, and for this name.
      sni: "{server}"
      subjectAltNames: ["{server}"]
{by}"#,
            name = ObjectName::of(&format!("judge-for-serinus-{}", subject.point())),
            namespace = subject.namespace,
            host = self.address.host(),
            selector = selector(workload),
        )
    }

    fn tried(&self) -> Option<Tried<'_>> {
        if let Some(Credential { secret, name }) = &self.credential {
            return Some(Tried {
                about: "# The Secret is one of the proxies' namespace, with tls.crt, tls.key and ca.crt.\n",
                mode: "MUTUAL",
                server: name,
                by: format!("      credentialName: {secret}\n"),
            });
        }
        let tls = self.access.tls.as_ref()?;
        // Other files were refused.
        let Authority::Pem(ca) = tls.authority else {
            return None;
        };
        let mut by = format!("      caCertificates: \"{ca}\"\n");
        if let Some(Identity::Pem { certificate, key }) = tls.shown {
            let _ = writeln!(by, "      clientCertificate: \"{certificate}\"");
            let _ = writeln!(by, "      privateKey: \"{key}\"");
        }
        Some(Tried {
            about: "# The paths are those of the proxies; --judge-credential names a Secret instead.\n",
            mode: if tls.shown.is_some() {
                "MUTUAL"
            } else {
                "SIMPLE"
            },
            server: &tls.name,
            by,
        })
    }
}

/// How TLS is tried, as a DestinationRule has it.
struct Tried<'a> {
    about: &'static str,
    mode: &'static str,
    server: &'a str,
    /// The fields that say by what.
    by: String,
}

fn check_credential(form: Form, given: Option<&str>) -> Result<(), Failure> {
    if form != Form::WasmPlugin {
        return Err(Failure::Usage(
            "--judge-credential: is what a DestinationRule names, and only --as wasm-plugin writes one; --judge-ca, --judge-certificate and --judge-key are right here".to_owned(),
        ));
    }
    match given {
        None => Ok(()),
        Some(option) => Err(Failure::Usage(format!(
            "--judge-credential: stands beside {option}; one of the two says how proxies reach the judge"
        ))),
    }
}

/// Of the cluster, in its place.
fn field(text: Option<String>) -> String {
    text.map(|text| indented(&text, 10)).unwrap_or_default()
}

/// Others in the namespace may speak TLS to the judge by themselves, which must not be
/// wrapped once more.
fn selector(workload: &[Label]) -> String {
    let mut text = String::new();
    for (index, label) in workload.iter().enumerate() {
        if index == 0 {
            text += "  workloadSelector:\n    matchLabels:\n";
        }
        let _ = writeln!(text, "      {label}");
    }
    text
}
