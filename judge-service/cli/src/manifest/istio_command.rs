//! The options of `serinus manifest istio`.

use super::Which;
use super::address::{Address, ArmAddress};
use super::istio::{
    Filter, Form, GatewayName, Host, Judge, Label, Module, ObjectName, Only, Place, Routes, Sha256,
    Source, Subject,
};
use super::to_judge::ToJudge;
use crate::failure::Failure;
use serinus_core::plan::compiled::check_name;

#[derive(clap::Args)]
pub struct IstioCommand {
    #[command(flatten)]
    which: Which,
    /// Which proxies
    #[arg(long, value_enum, default_value_t)]
    at: Place,
    /// What the filter comes as
    #[arg(long = "as", value_enum, default_value_t)]
    form: Form,
    /// Write one half: the filter is there once for all rollouts, the routes are each
    /// rollout's own
    #[arg(long, value_enum)]
    only: Option<Only>,
    /// The name of this hop, which a rollout has in `enforced_at` [default: gateway or
    /// sidecar, as --at says]
    #[arg(long, value_name = "NAME")]
    point: Option<String>,
    /// Of the objects that are written
    #[arg(long, default_value = "default", value_name = "NAME")]
    namespace: ObjectName,
    /// A label of the proxies' pods; several must all be there [default: every proxy of
    /// the namespace]
    #[arg(long = "workload", value_name = "KEY=VALUE")]
    workload: Vec<Label>,
    /// Where proxies get the module: oci://, https:// or file:///
    #[arg(long, value_name = "URL")]
    module: Option<Source>,
    /// The digest of the module, or of the image's manifest
    #[arg(long, value_name = "HEX")]
    sha256: Option<Sha256>,
    /// Where proxies reach the judge [default:
    /// serinus-judge.serinus.svc.cluster.local:8090, which names every judge, and with
    /// --as wasm-plugin serinus-judge-mesh.serinus.svc.cluster.local:8090]
    #[arg(long, value_name = "HOST:PORT")]
    judge_address: Option<Address>,
    /// A cluster of the proxies' own by which they reach it, such as
    /// outbound|8090||serinus-judge-mesh.serinus.svc.cluster.local
    #[arg(long, value_name = "NAME")]
    judge_cluster: Option<String>,
    #[command(flatten)]
    to_judge: ToJudge,
    /// With --as wasm-plugin: a Secret of the proxies' namespace by which they reach the
    /// judge, with tls.crt, tls.key and ca.crt, in the place of files of theirs
    #[arg(long, value_name = "NAME")]
    judge_credential: Option<ObjectName>,
    /// Where an arm is served, as a Service and its port; one for each
    #[arg(long = "address", value_name = "ARM=HOST:PORT")]
    addresses: Vec<ArmAddress>,
    /// Arms of one Service are told apart by this label of their pods, whose values are
    /// the arms' versions
    #[arg(long, value_name = "KEY")]
    subset_label: Option<String>,
    /// A Gateway that has the routes' hosts
    #[arg(long = "gateway", value_name = "NAMESPACE/NAME")]
    gateways: Vec<GatewayName>,
    /// A host of the routes [default: that of the rollout's match; for sidecars the
    /// baseline's]
    #[arg(long = "host", value_name = "HOST")]
    hosts: Vec<Host>,
    /// Where copies go, for a rollout with a shadow
    #[arg(long, value_name = "HOST:PORT")]
    shadow_address: Option<Address>,
}

impl IstioCommand {
    pub fn text(&self) -> Result<String, Failure> {
        let spec = self.which.spec()?;
        if let Some(point) = &self.point {
            check_name("--point", point).map_err(|error| Failure::Usage(error.to_string()))?;
        }
        if let Some(cluster) = &self.judge_cluster {
            check_cluster(cluster)?;
        }
        if let Some(key) = &self.subset_label {
            // As a label with any value would be.
            let label: Result<Label, _> = format!("{key}=").parse();
            label.map_err(|_| {
                Failure::Usage(format!(
                    "--subset-label: `{key}` is no label's key; one such as version is right"
                ))
            })?;
        }
        let subject = Subject {
            spec: &spec,
            place: self.at,
            point: self.point.as_deref(),
            namespace: &self.namespace,
        };
        subject.check_point()?;
        let mut parts = Vec::new();
        if self.only != Some(Only::Routes) {
            parts.push(self.filter(&subject)?);
        }
        if self.only != Some(Only::Filter) {
            let routes = Routes {
                addresses: &self.addresses,
                subset_label: self.subset_label.as_deref(),
                gateways: &self.gateways,
                hosts: &self.hosts,
            };
            parts.push(routes.text(&subject)?);
        }
        Ok(parts.join("---\n"))
    }

    fn filter(&self, subject: &Subject<'_>) -> Result<String, Failure> {
        let source = self.module.clone().ok_or_else(|| {
            Failure::Usage(
                "--module: is missing; oci://REGISTRY/IMAGE@sha256:..., https://HOST/PATH or file:///PATH says where proxies get it".to_owned(),
            )
        })?;
        let module = Module::new(source, self.sha256.clone()).map_err(Failure::Usage)?;
        Filter {
            form: self.form,
            workload: &self.workload,
            module: &module,
            judge: Judge::new(
                self.form,
                self.judge_address.as_ref(),
                self.judge_cluster.as_deref(),
                &self.to_judge,
                self.judge_credential.as_ref(),
            )?,
            shadow: self.shadow_address.as_ref(),
        }
        .text(subject)
    }
}

/// It is written into YAML and JSON.
fn check_cluster(cluster: &str) -> Result<(), Failure> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.|".contains(&byte);
    if !cluster.is_empty() && cluster.bytes().all(fits) {
        return Ok(());
    }
    Err(Failure::Usage(format!(
        "--judge-cluster: `{cluster}` is no cluster's name; one such as outbound|8090||serinus-judge-mesh.serinus.svc.cluster.local is right"
    )))
}
