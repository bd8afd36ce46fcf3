//! The protocol's state of one stream, as a pure machine: requests, new plans in;
//! responses and what was learned of the proxy out.
//!
//! It does both variants of the protocol. In the state-of-the-world variant a request
//! names all that is wanted, in the delta variant what is wanted more and no longer.
//! The judge has one resource, and in both variants a response has that one: Envoy's
//! ECDS refuses more.
//!
//! What is sent is never sent again unless it changed or is asked for anew, refused or
//! not. Bytes that Envoy refused and gets again it accepts as unchanged, though it never
//! applied them; so an acceptance says that a version arrived, and only the filter says
//! that it serves.

#[cfg(test)]
mod tests;

use super::TYPE_URL;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// The longest name of a proxy or of a resource, in bytes: Kubernetes' have 253.
pub const LONGEST_NAME: usize = 256;

/// Names that one stream may want: Envoy opens a stream for each filter.
pub const MOST_NAMES: usize = 64;

/// Responses whose answer is awaited; an answer to an older one is taken for stale.
const MOST_AWAITED: usize = 16;

/// What a proxy says of a refusal is cut at this number of characters.
const LONGEST_WORD: usize = 512;

/// The resource that the server has, without its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Offer<'a> {
    /// The filter's name in Envoy's list of HTTP filters.
    pub name: &'a str,
    /// Other for other bytes.
    pub version: &'a str,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Request {
    /// Guaranteed on the first request only.
    pub node: Option<String>,
    /// May be empty: a service for one type implies it.
    pub type_url: String,
    pub ask: Ask,
    /// Of the response that this answers; empty for none.
    pub nonce: String,
    /// Why that response was refused; `None` accepts it.
    pub refusal: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ask {
    /// State of the world: all that is wanted, and the last version that was accepted,
    /// maybe on an earlier stream.
    All { names: Vec<String>, version: String },
    /// Delta; `known` are the versions that the proxy has from an earlier stream, on
    /// the first request.
    Changes {
        subscribe: Vec<String>,
        unsubscribe: Vec<String>,
        known: BTreeMap<String, String>,
    },
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    pub nonce: String,
    pub what: What,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// The offered resource, in the version that was offered.
    Offered,
    /// Names of which there is no resource; in the delta variant only.
    Absent(Vec<String>),
}

/// What an answer says of the proxy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Learned {
    /// It has this version, or says so when it comes back.
    Accepted {
        version: String,
    },
    Refused {
        version: String,
        why: String,
    },
}

/// What follows from a request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Step {
    pub responses: Vec<Response>,
    pub learned: Option<Learned>,
}

/// A request that ends the stream.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Refusal(pub String);

#[derive(Debug, Default)]
pub struct Stream {
    node: Option<String>,
    wanted: BTreeSet<String>,
    /// The version of the offered resource that was sent last here, or that the proxy
    /// brought with it.
    has: Option<String>,
    awaited: VecDeque<Awaited>,
    /// Responses so far: a nonce is the number of its response.
    sent: u64,
}

#[derive(Debug)]
struct Awaited {
    nonce: String,
    /// `None` for a response without a resource.
    version: Option<String>,
}

impl Default for Ask {
    fn default() -> Self {
        Self::Changes {
            subscribe: Vec::new(),
            unsubscribe: Vec::new(),
            known: BTreeMap::new(),
        }
    }
}

// === impl Stream ===

impl Stream {
    /// The proxy, once it said its name.
    #[must_use]
    pub fn node(&self) -> Option<&str> {
        self.node.as_deref()
    }

    /// # Errors
    /// What is wrong with the request; the stream is to be ended.
    pub fn request(&mut self, request: Request, offer: Offer<'_>) -> Result<Step, Refusal> {
        let is_first = self.node.is_none();
        self.check(&request)?;
        if self.node.is_none() {
            self.node = request.node;
        }
        let awaited = self.take_awaited(&request.nonce);
        match request.ask {
            Ask::All { names, version } => {
                // One that crossed with a newer response says nothing: the answer to
                // that one has all of it again.
                let answers_last =
                    request.nonce.is_empty() || request.nonce == self.sent.to_string();
                if !is_first && !answers_last {
                    return Ok(Step::default());
                }
                let brought = (is_first && !version.is_empty()).then_some(version);
                let learned =
                    learned(awaited, request.refusal).or_else(|| self.brings(brought, offer));
                let responses = self.wants_all(names, offer);
                Ok(Step { responses, learned })
            }
            Ask::Changes {
                subscribe,
                unsubscribe,
                mut known,
            } => {
                let brought = known.remove(offer.name).filter(|_| is_first);
                let learned =
                    learned(awaited, request.refusal).or_else(|| self.brings(brought, offer));
                // Stale or not: what is not done now is never asked for again.
                let responses = self.wants_changes(subscribe, &unsubscribe, is_first, offer);
                Ok(Step { responses, learned })
            }
        }
    }

    /// There may be something new.
    pub fn changed(&mut self, offer: Offer<'_>) -> Option<Response> {
        let is_news = self.has.as_deref() != Some(offer.version);
        (is_news && self.wanted.contains(offer.name)).then(|| self.send(offer))
    }

    fn check(&self, request: &Request) -> Result<(), Refusal> {
        let refuse = |problem: String| Err(Refusal(problem));
        if !matches!(request.type_url.as_str(), "" | TYPE_URL) {
            return refuse(format!(
                "type_url: `{}` is not served here; {TYPE_URL} is",
                shown(&request.type_url)
            ));
        }
        match (&self.node, &request.node) {
            (None, None) => {
                return refuse(
                    "node.id: is missing in the first request; name the proxy".to_owned(),
                );
            }
            (None, Some(node)) if node.is_empty() || node.len() > LONGEST_NAME => {
                return refuse(format!(
                    "node.id: has {} bytes; 1 to {LONGEST_NAME} are right",
                    node.len()
                ));
            }
            (Some(known), Some(node)) if known != node => {
                return refuse(format!(
                    "node.id: `{}` on a stream of `{}`; a stream is one proxy's",
                    shown(node),
                    shown(known)
                ));
            }
            _ => {}
        }
        let (field, names, kept) = match &request.ask {
            Ask::All { names, .. } => ("resource_names", names, 0),
            Ask::Changes { subscribe, .. } => {
                let kept = self.wanted.iter().filter(|name| !subscribe.contains(name));
                // Past the limit it is refused anyway, and the look was long.
                let kept = kept.take(MOST_NAMES).count();
                ("resource_names_subscribe", subscribe, kept)
            }
        };
        if names.len() + kept > MOST_NAMES {
            return refuse(format!(
                "{field}: {} names; {MOST_NAMES} in one stream are the most",
                names.len() + kept
            ));
        }
        for name in names {
            if name.len() > LONGEST_NAME {
                return refuse(format!(
                    "{field}: a name has {} bytes; {LONGEST_NAME} are the most",
                    name.len()
                ));
            }
            if name == "*" {
                return refuse(format!("{field}: there is no wildcard; name the filter"));
            }
        }
        Ok(())
    }

    /// The response with this nonce, of which there is one answer.
    fn take_awaited(&mut self, nonce: &str) -> Option<Awaited> {
        let position = self
            .awaited
            .iter()
            .position(|awaited| awaited.nonce == nonce)?;
        self.awaited.remove(position)
    }

    /// A proxy that comes back says what it has.
    fn brings(&mut self, version: Option<String>, offer: Offer<'_>) -> Option<Learned> {
        let version = version?;
        if version == offer.version {
            self.has = Some(version.clone());
        }
        Some(Learned::Accepted { version })
    }

    fn wants_all(&mut self, names: Vec<String>, offer: Offer<'_>) -> Vec<Response> {
        let names: BTreeSet<String> = names.into_iter().collect();
        let wanted_before = self.wanted.contains(offer.name);
        self.wanted = names;
        if !self.wanted.contains(offer.name) {
            self.has = None;
            return Vec::new();
        }
        // One that is wanted anew is sent though it is unchanged, but to a proxy that
        // brought it with it.
        let brought_it = !wanted_before && self.sent == 0 && self.has.is_some();
        if wanted_before || brought_it {
            return Vec::new();
        }
        vec![self.send(offer)]
    }

    fn wants_changes(
        &mut self,
        subscribe: Vec<String>,
        unsubscribe: &[String],
        is_first: bool,
        offer: Offer<'_>,
    ) -> Vec<Response> {
        for name in unsubscribe {
            self.wanted.remove(name);
            if name == offer.name {
                self.has = None;
            }
        }
        // Each subscription is answered, one that stands already too.
        let is_asked = subscribe.iter().any(|name| name == offer.name);
        let absent: BTreeSet<String> = subscribe
            .iter()
            .filter(|name| *name != offer.name)
            .cloned()
            .collect();
        self.wanted.extend(subscribe);
        let brought_it = is_first && self.has.is_some();
        let mut responses = Vec::new();
        if is_asked && !brought_it {
            responses.push(self.send(offer));
        }
        if !absent.is_empty() {
            responses.push(self.respond(What::Absent(absent.into_iter().collect()), None));
        }
        responses
    }

    fn send(&mut self, offer: Offer<'_>) -> Response {
        let version = offer.version.to_owned();
        self.has = Some(version.clone());
        self.respond(What::Offered, Some(version))
    }

    fn respond(&mut self, what: What, version: Option<String>) -> Response {
        self.sent += 1;
        let nonce = self.sent.to_string();
        self.awaited.push_back(Awaited {
            nonce: nonce.clone(),
            version,
        });
        if self.awaited.len() > MOST_AWAITED {
            self.awaited.pop_front();
        }
        Response { nonce, what }
    }
}

fn learned(awaited: Option<Awaited>, refusal: Option<String>) -> Option<Learned> {
    let version = awaited?.version?;
    Some(match refusal {
        None => Learned::Accepted { version },
        Some(why) => Learned::Refused {
            version,
            why: why.chars().take(LONGEST_WORD).collect(),
        },
    })
}

/// The beginning of a text that may be long, for an error.
fn shown(text: &str) -> String {
    text.chars().take(64).collect()
}
