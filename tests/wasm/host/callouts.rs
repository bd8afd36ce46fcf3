//! HTTP calls that the filter makes, kept until the test answers or fails them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use wasmtime::{Result, format_err};

use super::Host;
use super::headers::Headers;
use super::state::Status;

#[derive(Clone, Debug)]
pub struct Callout {
    pub id: u32,
    /// The root context that owns it: Envoy's host calls always use the root's.
    pub root: u32,
    pub cluster: String,
    pub headers: Headers,
    pub body: Vec<u8>,
    pub trailers: Headers,
    /// Zero for none.
    pub timeout: Duration,
    pub sent_at: u64,
}

impl Callout {
    pub fn method(&self) -> String {
        self.headers.text(":method").unwrap_or_default()
    }

    /// With the query.
    pub fn path(&self) -> String {
        self.headers.text(":path").unwrap_or_default()
    }

    pub fn json(&self) -> serde_json::Value {
        match serde_json::from_slice(&self.body) {
            Ok(value) => value,
            Err(error) => panic!(
                "the body of {} {} is no JSON: {error}: {}",
                self.method(),
                self.path(),
                String::from_utf8_lossy(&self.body)
            ),
        }
    }
}

/// How a call ends without the server's own word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// No connection, or closed before an answer: Envoy's own 503.
    Unavailable,
    /// The call's timeout: Envoy's own 504.
    Timeout,
    /// Cut off within the answer's body: no headers at all.
    CutOff,
}

/// The answer that the filter may read during `proxy_on_http_call_response`.
#[derive(Debug)]
pub struct Answer {
    pub headers: Headers,
    pub body: Vec<u8>,
    pub trailers: Headers,
}

#[derive(Debug, Default)]
pub struct Callouts {
    pub pending: BTreeMap<u32, Callout>,
    pub made: u32,
    /// Gone with their root context, with no callback.
    pub cancelled: Vec<Callout>,
    pub answer: Option<Answer>,
    /// Clusters that this proxy does not know: dispatching is BadArgument.
    pub unknown_clusters: BTreeSet<String>,
    /// Dispatching fails inline, as with an exhausted circuit breaker.
    pub refuse: bool,
}

impl Callouts {
    pub fn dispatch(&mut self, mut callout: Callout) -> Result<u32, Status> {
        if self.unknown_clusters.contains(&callout.cluster) {
            return Err(Status::BadArgument);
        }
        for required in [":method", ":path", ":authority"] {
            callout.headers.get(required).ok_or(Status::BadArgument)?;
        }
        if self.refuse {
            return Err(Status::InternalFailure);
        }
        // Unique in the VM: a new root context goes on where the old one was.
        self.made += 1;
        callout.id = self.made;
        self.pending.insert(callout.id, callout);
        Ok(self.made)
    }

    pub fn cancel_all_of(&mut self, root: u32) {
        let ids: Vec<u32> = self
            .pending
            .values()
            .filter(|call| call.root == root)
            .map(|call| call.id)
            .collect();
        self.cancelled
            .extend(ids.iter().filter_map(|id| self.pending.remove(id)));
    }

    /// The first call whose time is over by `now`.
    pub fn overdue(&self, now: u64) -> Option<(u64, u32)> {
        let with_timeout = self.pending.values().filter(|call| !call.timeout.is_zero());
        let due = with_timeout.map(|call| (call.sent_at + call.timeout.as_nanos() as u64, call.id));
        due.filter(|(at, _)| *at <= now).min()
    }
}

// === impl Host ===

impl Host {
    /// In the order in which they were made.
    pub fn pending_callouts(&self) -> Vec<Callout> {
        self.state().callouts.pending.values().cloned().collect()
    }

    /// Those whose path begins so.
    pub fn pending_to(&self, path: &str) -> Vec<Callout> {
        self.pending_callouts()
            .into_iter()
            .filter(|call| call.path().starts_with(path))
            .collect()
    }

    pub fn callouts_made(&self) -> u32 {
        self.state().callouts.made
    }

    pub fn cancelled_callouts(&self) -> &[Callout] {
        &self.state().callouts.cancelled
    }

    /// The server's own answer.
    pub fn answer<K: AsRef<[u8]>, V: AsRef<[u8]>>(
        &mut self,
        id: u32,
        status: u16,
        headers: &[(K, V)],
        body: &[u8],
    ) -> Result<()> {
        let mut map = Headers::of(headers);
        map.0
            .insert(0, (b":status".to_vec(), status.to_string().into_bytes()));
        self.respond(
            id,
            Answer {
                headers: map,
                body: body.to_vec(),
                trailers: Headers::default(),
            },
        )
    }

    /// No answer of the server, as Envoy shows it.
    pub fn fail(&mut self, id: u32, failure: Failure) -> Result<()> {
        let (status, text): (u16, &[u8]) = match failure {
            Failure::Unavailable => (
                503,
                b"upstream connect error or disconnect/reset before headers",
            ),
            Failure::Timeout => (504, b"upstream request timeout"),
            Failure::CutOff => {
                let callout = self.take_callout(id)?;
                self.enter("proxy_on_http_call_response", callout.root, &[id, 0, 0, 0])?;
                return self.delete_drained();
            }
        };
        let length = text.len().to_string();
        self.answer(
            id,
            status,
            &[
                ("content-length", length.as_str()),
                ("content-type", "text/plain"),
            ],
            text,
        )
    }

    fn take_callout(&mut self, id: u32) -> Result<Callout> {
        let callout = self.state_mut().callouts.pending.remove(&id);
        callout.ok_or_else(|| format_err!("no callout {id} is pending"))
    }

    fn respond(&mut self, id: u32, answer: Answer) -> Result<()> {
        let callout = self.take_callout(id)?;
        let sizes = [
            answer.headers.len(),
            answer.body.len(),
            answer.trailers.len(),
        ];
        let [headers, body, trailers] = sizes.map(|size| size as u32);
        self.state_mut().callouts.answer = Some(answer);
        let arguments = [id, headers, body, trailers];
        let entered = self.enter("proxy_on_http_call_response", callout.root, &arguments);
        self.state_mut().callouts.answer = None;
        entered?;
        self.delete_drained()
    }

    /// Dispatching to this cluster fails with BadArgument from now on.
    pub fn forget_cluster(&mut self, cluster: &str) {
        self.state_mut()
            .callouts
            .unknown_clusters
            .insert(cluster.to_owned());
    }

    /// Dispatching fails inline, with no callback.
    pub fn refuse_callouts(&mut self, refuse: bool) {
        self.state_mut().callouts.refuse = refuse;
    }
}
