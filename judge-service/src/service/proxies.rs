//! Proxies that get their plan by ECDS, and what each said of it.
//!
//! An acceptance says that a proxy has a version, and not that its workers route by it:
//! Envoy accepts bytes that it refused once as unchanged. So it takes nothing back that
//! was said of the same version; what serves, the workers say themselves.

use super::delivery::GONE_MS;
use crate::domain::Millis;
use serde::Serialize;
use serinus_core::plan::Revision;
use std::collections::HashMap;

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
    streams: u32,
    accepted: Option<Revision>,
    refused: Option<Refused>,
    seen_ms: Millis,
}

struct Refused {
    version: String,
    revision: Option<Revision>,
    why: String,
}

/// As `/v1/proxies` shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ProxyState {
    pub node: String,
    /// Whether it has a stream to this judge.
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
        self.proxy(node, now).streams += 1;
    }

    pub fn left(&mut self, node: &str, now: Millis) {
        let proxy = self.proxy(node, now);
        proxy.streams = proxy.streams.saturating_sub(1);
    }

    pub fn accepted(&mut self, node: &str, version: &str, revision: Option<Revision>, now: Millis) {
        let proxy = self.proxy(node, now);
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
        self.proxy(node, now).refused = Some(Refused {
            version: version.to_owned(),
            revision,
            why: why.to_owned(),
        });
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

    /// By name.
    #[must_use]
    pub fn states(&self, now: Millis) -> Vec<ProxyState> {
        let mut states: Vec<ProxyState> = self
            .by_node
            .iter()
            .filter(|(_, proxy)| !proxy.is_gone(now))
            .map(|(node, proxy)| ProxyState {
                node: node.clone(),
                connected: proxy.streams > 0,
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

    fn proxy(&mut self, node: &str, now: Millis) -> &mut Proxy {
        let proxy = self.by_node.entry(node.to_owned()).or_default();
        proxy.seen_ms = now;
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
