//! The repository's Envoy configuration with another rollout's arms in it.

use super::address::{Address, ArmAddress};
use crate::failure::Failure;
use crate::suggest::nearest;
use clap::ValueEnum;
use serinus_core::plan::compiled::check_name;
use serinus_judge::domain::RolloutSpec;

const POLL: &str = include_str!("../../../../envoy/envoy.yaml");
const ECDS: &str = include_str!("../../../../envoy/ecds.yaml");
const FILTER: &str = include_str!("../../../../envoy/serinus.yaml");

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Source {
    /// The filter asks the judge
    #[default]
    Poll,
    /// The judge is Envoy's xDS server: `serinus serve --xds-plugin`
    Ecds,
}

pub struct Envoy<'a> {
    pub spec: &'a RolloutSpec,
    pub addresses: &'a [ArmAddress],
    pub listen: &'a Address,
    pub admin: &'a Address,
    pub judge: &'a Address,
    pub shadow: Option<&'a Address>,
    pub node: &'a str,
    pub source: Source,
    pub filter_file: &'a str,
}

/// A text that is changed where it must be.
struct Text(String);

// === impl Envoy ===

impl Envoy<'_> {
    /// # Errors
    /// Addresses that are not those of the arms.
    pub fn text(&self) -> Result<String, Failure> {
        check_name("--node", self.node).map_err(|error| Failure::Usage(error.to_string()))?;
        path("--filter-file", self.filter_file)?;
        self.check_addresses()?;
        let mut text = Text(match self.source {
            Source::Poll => without_heading(POLL),
            Source::Ecds => without_heading(ECDS),
        });
        text.put("  id: envoy-1\n", &format!("  id: {}\n", self.node))?;
        text.put(&socket("9901"), &format!("socket_address: {}", self.admin))?;
        text.put(
            &socket("10000"),
            &format!("socket_address: {}", self.listen),
        )?;
        text.put(&socket("8090"), &format!("socket_address: {}", self.judge))?;
        if self.source == Source::Poll {
            let file = format!("path: {}", quoted(self.filter_file));
            text.put("path: envoy/serinus.yaml", &file)?;
        }
        self.put_routes(&mut text)?;
        self.put_clusters(&mut text)?;
        self.put_shadow(&mut text)?;
        Ok(format!(
            "# Envoy for the arms of rollout {}, by `serinus manifest envoy`.\n{}",
            self.spec.id, text.0
        ))
    }

    fn check_addresses(&self) -> Result<(), Failure> {
        let arms = self.spec.arms.iter().map(|arm| arm.name.as_str());
        for (index, given) in self.addresses.iter().enumerate() {
            let before = self.addresses.iter().take(index);
            if before.into_iter().any(|other| other.arm == given.arm) {
                let problem = format!("--address: `{}` has two", given.arm);
                return Err(Failure::Usage(problem));
            }
            if !arms.clone().any(|arm| arm == given.arm) {
                let meant = nearest(&given.arm, arms.clone());
                let meant = meant.map_or_else(
                    || {
                        format!(
                            "the arms are {}",
                            arms.clone().collect::<Vec<_>>().join(", ")
                        )
                    },
                    |meant| format!("did you mean `{meant}`?"),
                );
                return Err(Failure::NotFound(format!(
                    "--address: there is no arm `{}`; {meant}",
                    given.arm
                )));
            }
        }
        for arm in arms {
            self.address(arm)?;
        }
        Ok(())
    }

    fn address(&self, arm: &str) -> Result<&Address, Failure> {
        let mut found = self.addresses.iter().filter(|given| given.arm == arm);
        let found = found.next().map(|given| &given.address);
        found.ok_or_else(|| {
            Failure::Usage(format!(
                "--address: arm `{arm}` has none; --address {arm}=HOST:PORT says where it is served"
            ))
        })
    }

    /// All but the baseline, which is the default route.
    fn treatments(&self) -> impl Iterator<Item = &str> {
        let arms = self.spec.arms.iter().map(|arm| arm.name.as_str());
        arms.filter(|arm| *arm != self.spec.baseline())
    }

    fn put_routes(&self, text: &mut Text) -> Result<(), Failure> {
        const START: &str =
            "                        - match:\n                            prefix: /\n";
        const END: &str = "                            request_mirror_policies: &shadow\n                              - cluster_header: x-serinus-shadow\n";
        let route = text.cut(START, END)?;
        let mut routes = String::new();
        for (index, arm) in self.treatments().enumerate() {
            let mut own = Text(route.clone());
            own.put("exact: canary", &format!("exact: {}", quoted(arm)))?;
            own.put("cluster: canary", &format!("cluster: {}", cluster(arm)))?;
            if index > 0 {
                // Its comments, and what the first one names, stand there once.
                own.0 = without_comments(&own.0);
                own.put(
                    "request_mirror_policies: &shadow\n                              - cluster_header: x-serinus-shadow\n",
                    "request_mirror_policies: *shadow\n",
                )?;
            }
            routes += &own.0;
        }
        text.put(&route, &routes)?;
        let default = format!("cluster: {}\n", cluster(self.spec.baseline()));
        text.put("cluster: control\n", &default)
    }

    fn put_clusters(&self, text: &mut Text) -> Result<(), Failure> {
        let control = text.cut("    - name: control\n", "port_value: 8001 }\n")?;
        let canary = text.cut("    - name: canary\n", "port_value: 8002 }\n")?;
        let mut clusters = Vec::new();
        for arm in std::iter::once(self.spec.baseline()).chain(self.treatments()) {
            let mut own = Text(control.replace("control", &cluster(arm)));
            let address = format!("socket_address: {}", self.address(arm)?);
            own.put(&socket("8001"), &address)?;
            clusters.push(own.0);
        }
        text.put(&control, &clusters.join("\n"))?;
        text.put(&format!("{canary}\n"), "")
    }

    /// A proxy without a shadow mirrors nothing and has no cluster for it.
    fn put_shadow(&self, text: &mut Text) -> Result<(), Failure> {
        match (self.shadow, &self.spec.shadow) {
            (Some(address), shadow) => {
                let address = format!("socket_address: {address}");
                text.put(&socket("8003"), &address)?;
                let name = shadow.as_ref().map_or("shadow", |shadow| &shadow.cluster);
                check_name("shadow.cluster", name)
                    .map_err(|error| Failure::Failed(error.to_string()))?;
                let own = text.cut("    - name: shadow\n", &format!("{address}\n"))?;
                text.put(&own, &own.replace("shadow", name))
            }
            (None, Some(shadow)) => Err(Failure::Usage(format!(
                "--shadow-address: is missing; the rollout copies requests to cluster `{}`",
                shadow.cluster
            ))),
            (None, None) => {
                let own = text.cut("    - name: shadow\n", "port_value: 8003 }\n")?;
                text.put(&format!("{own}\n"), "")?;
                let gone = [
                    "request_mirror_policies",
                    "- cluster_header: x-serinus-shadow",
                    "# A copy of a request goes",
                    "# rollout has a shadow. Nobody",
                    "# nobody sees it.",
                    "# For rollouts with a shadow",
                ];
                let lines = text.0.split_inclusive('\n');
                let lines = lines
                    .filter(|line| !gone.iter().any(|gone| line.trim_start().starts_with(gone)));
                text.0 = lines.collect();
                Ok(())
            }
        }
    }
}

/// The filter's file, with the module where the proxy has it.
///
/// # Errors
/// A path that YAML does not take.
pub fn filter(wasm: &str) -> Result<String, Failure> {
    path("--wasm", wasm)?;
    let mut text = Text(without_heading(FILTER));
    let file = format!("filename: {}", quoted(wasm));
    text.put("filename: target/wasm/serinus_filter.wasm", &file)?;
    Ok(format!(
        "# The Serinus filter, by `serinus manifest filter`. Envoy reads this file again when\n\
         # another is renamed over it. `\"disabled\": true` is the kill switch: it overrides\n\
         # every plan, and every request gets the baseline, judge or no judge.\n{}",
        text.0
    ))
}

fn socket(port: &str) -> String {
    format!("socket_address: {{ address: 127.0.0.1, port_value: {port} }}")
}

/// Of an arm; not one of the two that are there for something else.
fn cluster(arm: &str) -> String {
    match arm {
        "judge" | "shadow" => quoted(&format!("arm-{arm}")),
        arm => quoted(arm),
    }
}

/// A text of YAML: `1.0` is none without quotes.
fn quoted(text: &str) -> String {
    let letter = text
        .bytes()
        .next()
        .is_some_and(|byte| byte.is_ascii_alphabetic());
    let word = matches!(
        text,
        "true" | "false" | "null" | "yes" | "no" | "on" | "off" | "y" | "n"
    );
    if (letter || text.starts_with('/')) && !word {
        text.to_owned()
    } else {
        format!("\"{text}\"")
    }
}

fn path(option: &str, path: &str) -> Result<(), Failure> {
    let fits = |c: char| c.is_alphanumeric() || "/-_.+@".contains(c);
    if !path.is_empty() && path.chars().all(fits) {
        return Ok(());
    }
    Err(Failure::Usage(format!(
        "{option}: `{path}` has a character that this file does not take; letters, digits and / - _ . + @ are right"
    )))
}

/// Without the comment at the beginning, which is about the repository.
fn without_heading(text: &str) -> String {
    let lines = text.split_inclusive('\n');
    lines.skip_while(|line| line.starts_with('#')).collect()
}

fn without_comments(text: &str) -> String {
    let lines = text.split_inclusive('\n');
    lines
        .filter(|line| !line.trim_start().starts_with('#'))
        .collect()
}

// === impl Text ===

impl Text {
    /// Replaces what stands there once. A test sees a template that has changed.
    fn put(&mut self, old: &str, new: &str) -> Result<(), Failure> {
        if self.0.matches(old).count() != 1 {
            return Err(Failure::Failed(format!(
                "the template does not have `{}` once",
                old.trim()
            )));
        }
        self.0 = self.0.replacen(old, new, 1);
        Ok(())
    }

    /// What stands from one text to the end of the next other one.
    fn cut(&self, start: &str, end: &str) -> Result<String, Failure> {
        let cut = self.0.find(start).and_then(|from| {
            let rest = self.0.get(from..)?;
            let length = rest.find(end)? + end.len();
            rest.get(..length)
        });
        cut.map(str::to_owned).ok_or_else(|| {
            Failure::Failed(format!("the template does not have `{}`", start.trim()))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn text(
        spec: &Value,
        addresses: &[&str],
        shadow: Option<&str>,
        source: Source,
    ) -> Result<String, Failure> {
        let spec: RolloutSpec = serde_json::from_value(spec.clone()).unwrap();
        let addresses: Vec<ArmAddress> = addresses.iter().map(|one| one.parse().unwrap()).collect();
        let at = |text: &str| text.parse::<Address>().unwrap();
        let shadow = shadow.map(at);
        Envoy {
            spec: &spec.completed(),
            addresses: &addresses,
            listen: &at("0.0.0.0:80"),
            admin: &at("127.0.0.1:9999"),
            judge: &at("judge.example:8090"),
            shadow: shadow.as_ref(),
            node: "edge-7",
            source,
            filter_file: "/etc/serinus.yaml",
        }
        .text()
    }

    fn spec() -> Value {
        json!({
            "id": "fraud", "match": {"path_prefix": "/v2/"}, "unit": [{"header": "x"}],
            "arms": [{"name": "v1"}, {"name": "v2"}, {"name": "3.0"}],
            "steps": [{"weights": {"v2": 10, "3.0": 10}}]
        })
    }

    const ADDRESSES: [&str; 3] = ["v1=a:1", "v2=b:2", "3.0=c:3"];

    fn parsed(text: &str) -> Value {
        serde_saphyr::from_str(text).unwrap_or_else(|error| panic!("{error}\n{text}"))
    }

    #[test]
    fn a_route_and_a_cluster_for_each_arm() {
        for source in [Source::Poll, Source::Ecds] {
            let text = text(&spec(), &ADDRESSES, None, source).unwrap();
            for gone in ["canary", "control", "shadow\n", "8001", "127.0.0.1:80"] {
                let lines = text
                    .lines()
                    .filter(|line| !line.trim_start().starts_with('#'));
                let found: Vec<&str> = lines.filter(|line| line.contains(gone)).collect();
                assert!(found.is_empty(), "{gone}: {found:?}");
            }
            let config = parsed(&text);
            let resources = &config["static_resources"];
            let manager =
                &resources["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"];
            let routes = manager["route_config"]["virtual_hosts"][0]["routes"]
                .as_array()
                .unwrap();
            let routes: Vec<Value> = routes
                .iter()
                .map(|route| {
                    let arm = &route["match"]["headers"][0]["string_match"]["exact"];
                    json!([arm, route["route"]["cluster"]])
                })
                .collect();
            assert_eq!(
                json!(routes),
                json!([["v2", "v2"], ["3.0", "3.0"], [null, "v1"]])
            );
            let clusters = resources["clusters"].as_array().unwrap();
            let clusters: Vec<Value> = clusters
                .iter()
                .map(|cluster| {
                    let endpoint = &cluster["load_assignment"]["endpoints"][0]["lb_endpoints"][0];
                    let socket = &endpoint["endpoint"]["address"]["socket_address"];
                    json!([
                        cluster["name"],
                        cluster["load_assignment"]["cluster_name"],
                        socket["address"],
                        socket["port_value"]
                    ])
                })
                .collect();
            assert_eq!(
                json!(clusters),
                json!([
                    ["v1", "v1", "a", 1],
                    ["v2", "v2", "b", 2],
                    ["3.0", "3.0", "c", 3],
                    ["judge", "judge", "judge.example", 8090]
                ])
            );
            assert_eq!(config["node"]["id"], "edge-7");
        }
    }

    #[test]
    fn a_shadow_has_its_cluster() {
        let mut document = spec();
        document["shadow"] = json!({"cluster": "copies"});
        let whole = text(&document, &ADDRESSES, Some("d:4"), Source::Poll).unwrap();
        let clusters = parsed(&whole)["static_resources"]["clusters"].clone();
        assert_eq!(clusters[3]["name"], "copies");
        assert_eq!(whole.matches("request_mirror_policies: *shadow").count(), 2);
        let error = text(&document, &ADDRESSES, None, Source::Poll).unwrap_err();
        assert!(error.to_string().contains("--shadow-address: is missing"));
    }

    #[test]
    fn addresses_are_those_of_the_arms() {
        for (addresses, words) in [
            (&["v1=a:1", "v2=b:2"][..], "arm `3.0` has none"),
            (&["v1=a:1", "v1=b:2"], "`v1` has two"),
            (
                &["v1=a:1", "v22=b:2"],
                "there is no arm `v22`; did you mean `v2`?",
            ),
            (
                &["canary=a:1"],
                "there is no arm `canary`; the arms are v1, v2, 3.0",
            ),
        ] {
            let error = text(&spec(), addresses, None, Source::Poll).unwrap_err();
            assert!(error.to_string().contains(words), "{error}");
        }
    }

    #[test]
    fn the_filter_names_its_module() {
        let text = filter("/opt/f.wasm").unwrap();
        let config = &parsed(&text)["resources"][0]["typed_config"]["config"];
        assert_eq!(
            config["vm_config"]["code"]["local"]["filename"],
            "/opt/f.wasm"
        );
        filter("a: b").unwrap_err();
    }
}
