//! Proxies that get their plan by ECDS, and what each said of it.
//!
//! An acceptance says that a proxy has a version, and not that its workers route by it:
//! Envoy accepts bytes that it refused once as unchanged. So it takes nothing back that
//! was said of the same version; what serves, the workers say themselves.

use super::delivery::{GONE_MS, SILENT_MS};
use crate::domain::Millis;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serinus_core::plan::Revision;
use std::collections::HashMap;

/// How the name of an object in Kubernetes begins that the plan is written into. It stands
/// among the proxies, none of which has a space in its name.
pub const OBJECT: &str = "WasmPlugin ";

/// Proxies kept at most; the longest silent of those that are gone go first.
const MAX_PROXIES: usize = 20_000;

#[derive(Default)]
pub struct Proxies {
    pub counts: Counts,
    by_node: HashMap<String, Proxy>,
}

/// Filter configurations that went out by ECDS, what proxies said of them, and requests
/// that made no sense; since this judge started.
#[derive(Debug, Clone, Copy, Default)]
pub struct Counts {
    pub sent: u64,
    pub accepted: u64,
    pub refused: u64,
    pub malformed: u64,
}

#[derive(Default)]
struct Proxy {
    /// To this judge.
    streams: u32,
    /// When another judge last said that it has a stream there.
    elsewhere_ms: Option<Millis>,
    accepted: Option<Revision>,
    refused: Option<Refused>,
    seen_ms: Millis,
    /// Whether this judge knows something first-hand that it has told nobody.
    untold: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
pub struct Refused {
    version: String,
    revision: Option<Revision>,
    why: String,
}

/// What a judge knows first-hand of a proxy, for another judge.
#[derive(Debug, Clone, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
pub struct Told {
    node: String,
    connected: bool,
    accepted: Option<Revision>,
    refused: Option<Refused>,
}

/// As `/v1/proxies` shows it.
#[derive(Debug, Clone, PartialEq, Eq, JsonSchema, Serialize)]
pub struct ProxyState {
    pub node: String,
    /// Whether it has a stream to a judge.
    pub connected: bool,
    /// The plan that it took last.
    pub accepted: Option<String>,
    /// The plan that it refused since, and why.
    pub refused: Option<String>,
    pub why: Option<String>,
    pub last_seen_ms: Millis,
}

// === impl Proxies ===

impl Proxies {
    pub fn came(&mut self, node: &str, now: Millis) {
        self.make_room(now);
        self.own(node, now).streams += 1;
    }

    pub fn left(&mut self, node: &str, now: Millis) {
        let proxy = self.own(node, now);
        proxy.streams = proxy.streams.saturating_sub(1);
    }

    pub fn accepted(&mut self, node: &str, version: &str, revision: Option<Revision>, now: Millis) {
        let proxy = self.own(node, now);
        if proxy
            .refused
            .as_ref()
            .is_some_and(|refused| refused.version == version)
        {
            return;
        }
        proxy.accepted = revision;
        // What it brings with it from an earlier stream is older than what it refused.
        if proxy
            .refused
            .as_ref()
            .is_some_and(|refused| revision >= refused.revision)
        {
            proxy.refused = None;
        }
    }

    pub fn refused(
        &mut self,
        node: &str,
        version: &str,
        revision: Option<Revision>,
        why: &str,
        now: Millis,
    ) {
        self.own(node, now).refused = Some(Refused {
            version: version.to_owned(),
            revision,
            why: why.to_owned(),
        });
    }

    /// What another judge is to know: what is new, or of all that have a stream here.
    pub fn to_tell(&mut self, all: bool) -> Vec<Told> {
        let mut told = Vec::new();
        for (node, proxy) in &mut self.by_node {
            let new = core::mem::take(&mut proxy.untold);
            if new || all && proxy.streams > 0 {
                told.push(Told {
                    node: node.clone(),
                    connected: proxy.streams > 0,
                    accepted: proxy.accepted,
                    refused: proxy.refused.clone(),
                });
            }
        }
        told
    }

    /// Another judge said so, when its clock showed `at_ms`.
    pub fn told(&mut self, told: &Told, at_ms: Millis) {
        self.make_room(at_ms);
        let proxy = self.proxy(&told.node);
        // Of a proxy that has streams to two judges, or had, the newest word counts.
        if at_ms < proxy.seen_ms {
            return;
        }
        proxy.seen_ms = at_ms;
        proxy.elsewhere_ms = told.connected.then_some(at_ms);
        if proxy.streams == 0 {
            proxy.accepted = told.accepted;
            proxy.refused.clone_from(&told.refused);
        }
    }

    /// Why a proxy refuses this plan, if it does.
    #[must_use]
    pub fn refusal(&self, node: &str, revision: Revision) -> Option<&str> {
        let refused = self.by_node.get(node)?.refused.as_ref()?;
        (refused.revision == Some(revision)).then_some(&refused.why)
    }

    /// Proxies that refuse this plan: name, the plan they took before, when they were
    /// heard, and why.
    pub fn refusing(
        &self,
        revision: Revision,
    ) -> impl Iterator<Item = (&str, Option<Revision>, Millis, &str)> {
        self.by_node.iter().filter_map(move |(node, proxy)| {
            let why = self.refusal(node, revision)?;
            Some((node.as_str(), proxy.accepted, proxy.seen_ms, why))
        })
    }

    /// Why plans are not in objects that they belong into, as of the last attempts.
    pub fn unwritten(&self) -> impl Iterator<Item = &str> {
        let objects = self
            .by_node
            .iter()
            .filter(|(node, proxy)| node.starts_with(OBJECT) && proxy.streams > 0);
        objects.filter_map(|(_, proxy)| Some(proxy.refused.as_ref()?.why.as_str()))
    }

    /// By name.
    #[must_use]
    pub fn states(&self, now: Millis) -> Vec<ProxyState> {
        let mut states: Vec<ProxyState> = self
            .by_node
            .iter()
            .filter(|(_, proxy)| !proxy.is_gone(now))
            .map(|(node, proxy)| ProxyState {
                node: node.clone(),
                connected: proxy.is_connected(now),
                accepted: proxy.accepted.map(|revision| revision.to_string()),
                refused: proxy
                    .refused
                    .as_ref()
                    .and_then(|refused| Some(refused.revision?.to_string())),
                why: proxy.refused.as_ref().map(|refused| refused.why.clone()),
                last_seen_ms: proxy.seen_ms,
            })
            .collect();
        states.sort_by(|left, right| left.node.cmp(&right.node));
        states
    }

    fn proxy(&mut self, node: &str) -> &mut Proxy {
        self.by_node.entry(node.to_owned()).or_default()
    }

    /// It speaks to this judge.
    fn own(&mut self, node: &str, now: Millis) -> &mut Proxy {
        let proxy = self.proxy(node);
        proxy.seen_ms = now;
        proxy.untold = true;
        proxy
    }

    fn make_room(&mut self, now: Millis) {
        if self.by_node.len() < MAX_PROXIES {
            return;
        }
        self.by_node.retain(|_, proxy| !proxy.is_gone(now));
        if self.by_node.len() >= MAX_PROXIES {
            let gone = self.by_node.iter().filter(|(_, proxy)| proxy.streams == 0);
            let oldest = gone
                .min_by_key(|(_, proxy)| proxy.seen_ms)
                .map(|(node, _)| node.clone());
            if let Some(oldest) = oldest {
                self.by_node.remove(&oldest);
            }
        }
    }
}

impl Proxy {
    /// A judge that died says nothing more of its proxies.
    fn is_connected(&self, now: Millis) -> bool {
        let elsewhere = |at_ms: Millis| now.saturating_sub(at_ms) <= SILENT_MS;
        self.streams > 0 || self.elsewhere_ms.is_some_and(elsewhere)
    }

    fn is_gone(&self, now: Millis) -> bool {
        self.streams == 0 && now.saturating_sub(self.seen_ms) >= GONE_MS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn revision(counter: u64) -> Revision {
        Revision {
            generation: 1,
            counter,
        }
    }

    #[test]
    fn a_refusal_stands_until_another_version_is_taken() {
        let mut proxies = Proxies::default();
        let took = |proxies: &mut Proxies, counter| {
            let version = format!("1.{counter}-x");
            proxies.accepted("envoy-1", &version, Some(revision(counter)), 2);
        };
        proxies.came("envoy-1", 1);
        took(&mut proxies, 4);
        proxies.refused("envoy-1", "1.5-x", Some(revision(5)), "no", 2);
        assert_eq!(proxies.refusal("envoy-1", revision(5)), Some("no"));
        assert_eq!(proxies.refusal("envoy-1", revision(6)), None);
        assert_eq!(proxies.refusal("envoy-2", revision(5)), None);
        // The same bytes, taken as unchanged; and a proxy that comes back with those
        // from before.
        took(&mut proxies, 5);
        took(&mut proxies, 4);
        let state = &proxies.states(2)[0];
        assert_eq!(
            (state.accepted.as_deref(), state.refused.as_deref()),
            (Some("1.4"), Some("1.5"))
        );
        took(&mut proxies, 6);
        let state = &proxies.states(2)[0];
        assert_eq!(
            (state.accepted.as_deref(), &state.why),
            (Some("1.6"), &None)
        );
    }

    #[test]
    fn what_a_judge_is_told_of_a_proxy_it_knows_until_nobody_says_so() {
        let (mut follower, mut leader) = (Proxies::default(), Proxies::default());
        let pass_on = |follower: &mut Proxies, leader: &mut Proxies, all, now| {
            let told = follower.to_tell(all);
            for told in &told {
                leader.told(told, now);
            }
            told.len()
        };
        let shown = |leader: &Proxies, now| {
            let state = leader.states(now).pop();
            state.map(|state| (state.connected, state.refused))
        };
        follower.came("envoy-1", 1);
        follower.refused("envoy-1", "1.5-x", Some(revision(5)), "no", 2);
        assert_eq!(pass_on(&mut follower, &mut leader, false, 3), 1);
        assert_eq!(pass_on(&mut follower, &mut leader, false, 4), 0);
        assert_eq!(leader.refusal("envoy-1", revision(5)), Some("no"));
        let refused = || Some("1.5".to_owned());
        assert_eq!(shown(&leader, 4), Some((true, refused())));
        // Another that begins to judge hears it again; what was told is not passed on.
        let mut other = Proxies::default();
        assert_eq!(pass_on(&mut follower, &mut other, true, 5), 1);
        assert_eq!(shown(&other, 5), Some((true, refused())));
        assert_eq!(leader.to_tell(true), []);
        // Its judge died, or the proxy went.
        assert_eq!(shown(&leader, 4 + SILENT_MS), Some((false, refused())));
        follower.left("envoy-1", 6);
        assert_eq!(pass_on(&mut follower, &mut leader, false, 7), 1);
        assert_eq!(shown(&leader, 7), Some((false, refused())));
        // It came to the one that judges, and what the other says of before is nothing.
        leader.came("envoy-1", 8);
        leader.accepted("envoy-1", "1.6-x", Some(revision(6)), 9);
        assert_eq!(pass_on(&mut follower, &mut leader, true, 10), 0);
        follower.left("envoy-1", 7);
        pass_on(&mut follower, &mut leader, false, 10);
        assert_eq!(shown(&leader, 10), Some((true, None)));
    }

    #[test]
    fn who_is_gone_is_forgotten_and_who_is_there_is_not() {
        let mut proxies = Proxies::default();
        proxies.came("stays", 0);
        proxies.came("goes", 0);
        proxies.left("goes", 1);
        let nodes = |now| -> Vec<(String, bool)> {
            let states = proxies.states(now).into_iter();
            states.map(|state| (state.node, state.connected)).collect()
        };
        let there = |node: &str, there| (node.to_owned(), there);
        assert_eq!(nodes(GONE_MS), [there("goes", false), there("stays", true)]);
        assert_eq!(nodes(GONE_MS + 1), [there("stays", true)]);
    }

    #[test]
    fn proxies_are_bounded_but_for_those_that_are_there() {
        let mut proxies = Proxies::default();
        for number in 0..MAX_PROXIES as u64 + 10 {
            let node = format!("envoy-{number}");
            proxies.came(&node, number);
            proxies.left(&node, number);
        }
        assert_eq!(proxies.by_node.len(), MAX_PROXIES);
        assert!(!proxies.by_node.contains_key("envoy-0"));
    }
}
