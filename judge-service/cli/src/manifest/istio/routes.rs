//! Routes that match the arm header: a VirtualService, and DestinationRules where labels
//! tell the arms apart.

use super::filter::route_name;
use super::parts::is_label;
use super::{ArmAddress, GatewayName, Host, ObjectName, Place, Subject, arm_name};
use crate::failure::Failure;
use crate::manifest::address::{self, Address, of_arm};
use serinus_judge::domain::spec::Arm;
use std::fmt::Write;

pub struct Routes<'a> {
    pub addresses: &'a [ArmAddress],
    /// The label by whose values, the arms' versions, their pods are told apart.
    pub subset_label: Option<&'a str>,
    pub gateways: &'a [GatewayName],
    pub hosts: &'a [Host],
}

impl Routes<'_> {
    /// # Errors
    /// Arms without an address, or with one that no route can tell apart.
    pub fn text(&self, subject: &Subject<'_>) -> Result<String, Failure> {
        let spec = subject.spec;
        address::check(spec, self.addresses)?;
        self.check_apart(subject)?;
        let hosts = self.hosts(subject)?;
        let gateways = self.gateways(subject)?;
        let name = ObjectName::of(&format!("serinus-{}", spec.id));
        let mut text = format!(
            r#"# Requests of rollout {id} by their arm, which the filter puts into a header{decided}.
#
# It stands for these hosts alone: routes that you have for them go in here, each for
# every arm, or these go into yours, before all that also match.
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata:
  name: {name}
  namespace: {namespace}
spec:
  hosts: [{hosts}]
  gateways: [{gateways}]
  http:
"#,
            id = spec.id,
            decided = if subject.decides() {
                String::new()
            } else {
                format!(
                    " at `{}`; here it is passed on",
                    spec.enforced_at.as_deref().unwrap_or_default()
                )
            },
            namespace = subject.namespace,
        );
        let baseline = spec.baseline();
        for arm in spec.arms.iter().filter(|arm| arm.name != baseline) {
            let _ = write!(
                text,
                r#"    - name: {}
      match:
        - headers:
            x-serinus-arm: {{ exact: "{}" }}
{}"#,
                route_name(spec, &arm.name),
                arm.name,
                self.destination(arm)?
            );
        }
        let Some(arm) = spec.arms.iter().find(|arm| arm.name == baseline) else {
            return Err(Failure::Failed(format!(
                "baseline: there is no arm `{baseline}`"
            )));
        };
        let _ = write!(
            text,
            r#"    # The baseline is the default, for requests that have no arm: no plan yet, no user,
    # the filter off or dead.
    #
    # No route retries, and Istio would: a retry stays with its arm and hides a failing
    # version behind latency. A time limit has to be the same for all arms.
    - name: {}
{}"#,
            route_name(spec, baseline),
            self.destination(arm)?
        );
        text += &self.destination_rules(subject)?;
        Ok(text)
    }

    fn destination(&self, arm: &Arm) -> Result<String, Failure> {
        let address = of_arm(self.addresses, &arm.name)?;
        let subset = self.subset_label.map(|_| arm_name(&arm.name));
        let subset = subset.map(|subset| format!("            subset: {subset}\n"));
        Ok(format!(
            r#"      route:
        - destination:
            host: "{}"
            port: {{ number: {} }}
{}      retries: {{ attempts: 0 }}
"#,
            address.host(),
            address.port(),
            subset.unwrap_or_default()
        ))
    }

    /// A rule for each host, whose subsets are the arms that it serves.
    fn destination_rules(&self, subject: &Subject<'_>) -> Result<String, Failure> {
        let Some(label) = self.subset_label else {
            return Ok(String::new());
        };
        let mut text = String::new();
        let mut written: Vec<&str> = Vec::new();
        for arm in &subject.spec.arms {
            let host = of_arm(self.addresses, &arm.name)?.host();
            if written.contains(&host) {
                continue;
            }
            let name = match written.len() {
                0 => ObjectName::of(&format!("serinus-{}", subject.spec.id)),
                // A number would be another host's once arms are written in another order.
                _ => ObjectName::of(&format!("serinus-{}/{host}", subject.spec.id)),
            };
            written.push(host);
            let _ = write!(
                text,
                r#"---
# Which pods are of which arm. Neither has outlier detection: an arm whose pods fail must
# be seen to fail by the judge and by the filter's breaker, which take its users back.
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata:
  name: {name}
  namespace: {}
spec:
  host: "{host}"
  subsets:
"#,
                subject.namespace
            );
            for arm in &subject.spec.arms {
                if of_arm(self.addresses, &arm.name)?.host() != host {
                    continue;
                }
                let _ = write!(
                    text,
                    "    - name: {}\n      labels: {{ {label}: \"{}\" }}\n",
                    arm_name(&arm.name),
                    version(arm)?
                );
            }
        }
        Ok(text)
    }

    /// Each arm is served by something of its own.
    fn check_apart(&self, subject: &Subject<'_>) -> Result<(), Failure> {
        let arms = &subject.spec.arms;
        for (index, arm) in arms.iter().enumerate() {
            let own = self.served_by(arm)?;
            for other in arms.iter().take(index) {
                if arm_name(&other.name) == arm_name(&arm.name) {
                    return Err(Failure::Failed(format!(
                        "arms: `{}` and `{}` would both be `{}` for Istio, whose names have lower case letters, digits and -",
                        other.name,
                        arm.name,
                        arm_name(&arm.name)
                    )));
                }
                if self.served_by(other)? == own {
                    let how = match self.subset_label {
                        None => {
                            "--subset-label KEY tells them apart by a label of their pods, whose values are the arms' versions"
                        }
                        Some(_) => "their versions are the same",
                    };
                    return Err(Failure::Usage(format!(
                        "--address: arms `{}` and `{}` have one, and no route could tell them apart; {how}",
                        other.name, arm.name
                    )));
                }
            }
        }
        Ok(())
    }

    /// The address, and the subset's label.
    fn served_by<'a>(&'a self, arm: &'a Arm) -> Result<(&'a Address, Option<&'a str>), Failure> {
        let address = of_arm(self.addresses, &arm.name)?;
        let version = self.subset_label.map(|_| version(arm)).transpose()?;
        Ok((address, version))
    }

    fn hosts(&self, subject: &Subject<'_>) -> Result<String, Failure> {
        let spec = subject.spec;
        let given: Vec<&str> = self.hosts.iter().map(|host| host.0.as_str()).collect();
        let own = match (&spec.matches.host, subject.place) {
            (Some(host), _) => Some(host.to_ascii_lowercase()),
            // What clients in the mesh call it.
            (None, Place::Sidecar) => {
                Some(of_arm(self.addresses, spec.baseline())?.host().to_owned())
            }
            (None, Place::Gateway) => None,
        };
        let hosts = match (given.is_empty(), own) {
            (false, _) => given,
            (true, Some(own)) => {
                let host: Host = own.parse().map_err(|problem| {
                    Failure::Usage(format!(
                        "--host: is missing, and `{own}` is none: {problem}"
                    ))
                })?;
                return Ok(listed(&[&host.0]));
            }
            (true, None) => {
                return Err(Failure::Usage(
                    "--host: is missing, and the rollout's match names none; the name by which clients call the gateway is right".to_owned(),
                ));
            }
        };
        Ok(listed(&hosts))
    }

    fn gateways(&self, subject: &Subject<'_>) -> Result<String, Failure> {
        match subject.place {
            Place::Sidecar if self.gateways.is_empty() => Ok("mesh".to_owned()),
            Place::Sidecar => Err(Failure::Usage(
                "--gateway: sidecars are `mesh`; leave it out, or write routes of the gateway by --at gateway".to_owned(),
            )),
            Place::Gateway if self.gateways.is_empty() => Err(Failure::Usage(
                "--gateway: is missing; the Gateway that has the host is right, such as istio-ingress/public".to_owned(),
            )),
            Place::Gateway => {
                let names: Vec<&str> = self.gateways.iter().map(|name| name.0.as_str()).collect();
                Ok(listed(&names))
            }
        }
    }
}

fn version(arm: &Arm) -> Result<&str, Failure> {
    let field = format!("arms: `{}`", arm.name);
    match arm.version.as_deref() {
        None => Err(Failure::Failed(format!(
            "{field} has no `version`, which is the value of its pods' label"
        ))),
        Some(version) if !is_label(version) => Err(Failure::Failed(format!(
            "{field} has version `{version}`, which no label has; letters, digits, - _ . are right"
        ))),
        Some(version) => Ok(version),
    }
}

fn listed(names: &[&str]) -> String {
    let quoted = names.iter().map(|name| format!("\"{name}\""));
    quoted.collect::<Vec<_>>().join(", ")
}
