//! The repository's Envoy configuration with another rollout's arms in it.

#[cfg(test)]
mod tests;

use super::address::{self, Address, ArmAddress, of_arm};
use super::to_judge::{Access, indented, injector, with_token};
use crate::failure::Failure;
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
    pub access: Access<'a>,
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
        address::check(self.spec, self.addresses)?;
        let mut text = Text(match self.source {
            Source::Poll => without_heading(POLL),
            Source::Ecds => without_heading(ECDS),
        });
        text.put("  id: envoy-1\n", &format!("  id: {}\n", self.node))?;
        // Marks first: one address of the rollout's may be another of the template's.
        let addresses = [
            ("9901", "@admin", self.admin),
            ("10000", "@listen", self.listen),
            ("8090", "@judge", self.judge),
        ];
        for (port, mark, _) in addresses {
            text.put(&socket(port), mark)?;
        }
        if self.source == Source::Poll {
            let file = format!("path: {}", quoted(self.filter_file));
            text.put("path: envoy/serinus.yaml", &file)?;
        }
        self.put_shadow(&mut text)?;
        self.put_routes(&mut text)?;
        self.put_clusters(&mut text)?;
        if self.shadow.is_none() {
            text.mirror_nothing();
        }
        for (_, mark, address) in addresses {
            text.put(mark, &format!("socket_address: {address}"))?;
        }
        self.put_access(&mut text)?;
        Ok(format!(
            "# Envoy for the arms of rollout {}, by `serinus manifest envoy`.\n{}",
            self.spec.id, text.0
        ))
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
        // Before another arm's may be just the same.
        let canary = text.cut("    - name: canary\n", "port_value: 8002 }\n")?;
        text.put(&format!("{canary}\n"), "")?;
        let mut clusters = Vec::new();
        for arm in std::iter::once(self.spec.baseline()).chain(self.treatments()) {
            let mut own = Text(control.replace("control", &cluster(arm)));
            let address = format!("socket_address: {}", of_arm(self.addresses, arm)?);
            own.put(&socket("8001"), &address)?;
            clusters.push(own.0);
        }
        text.put(&control, &clusters.join("\n"))
    }

    /// Into the judge's cluster: the token in front of its calls, and TLS below them.
    fn put_access(&self, text: &mut Text) -> Result<(), Failure> {
        const REST: &str = "      load_assignment:\n        cluster_name: judge\n";
        // The last of its options in the template for ECDS.
        const OPTIONS: &str = "              connection_keepalive: { interval: 5s, timeout: 5s }\n";
        let mut own = indented(self.access.warning(), 6);
        match (self.access.token, self.source) {
            (None, _) => {}
            (Some(file), Source::Poll) => own += &indented(&with_token(file), 6),
            (Some(file), Source::Ecds) => {
                let filters = indented(&injector(file), 10);
                text.put(OPTIONS, &format!("{OPTIONS}{filters}"))?;
            }
        }
        if let Some(tls) = &self.access.tls {
            own += &indented(&tls.transport_socket(), 6);
        }
        if own.is_empty() {
            return Ok(());
        }
        text.put(REST, &format!("{own}{REST}"))
    }

    /// A proxy without a shadow has no cluster for it.
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
                text.put(&format!("{own}\n"), "")
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

    /// Without what sends copies, and what is said of it.
    fn mirror_nothing(&mut self) {
        let gone = [
            "request_mirror_policies",
            "- cluster_header: x-serinus-shadow",
            "# A copy of a request goes",
            "# rollout has a shadow. Nobody",
            "# nobody sees it.",
            "# For rollouts with a shadow",
        ];
        let lines = self.0.split_inclusive('\n');
        let lines =
            lines.filter(|line| !gone.iter().any(|gone| line.trim_start().starts_with(gone)));
        self.0 = lines.collect();
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
