//! How a request ended, from what Envoy says.

use crate::host;
use proxy_wasm::hostcalls;
use proxy_wasm::types::LogLevel;
use serinus_core::failure::ErrorRule;
use serinus_core::ledger::Ending;
use serinus_core::plan::CompiledRollout;

/// Envoy's words (`response.code_details`) for answers of its own that are the
/// upstream's fault. Any other local reply (a rate limit, an authorisation, a
/// direct response) says nothing about an arm.
const UPSTREAM_AT_FAULT: [&[u8]; 8] = [
    b"upstream_",
    b"response_timeout",
    b"no_healthy_upstream",
    b"cluster_not_found",
    b"maintenance_mode",
    b"early_upstream_reset",
    b"late_upstream_reset",
    b"http2.remote_reset_upstream",
];

/// What the response callbacks saw of an answer.
#[derive(Debug, Clone, Copy, Default)]
pub struct Answer {
    pub status: Option<u16>,
    grpc_status: Option<u32>,
    /// Whether its last byte passed.
    pub complete: bool,
    /// Another protocol goes on from here, such as a WebSocket's.
    pub upgraded: bool,
}

impl Answer {
    /// Its headers are there; the last of it when it `ends` with them. An upgraded
    /// connection is answered by then, and how long it lives and who closes it says
    /// nothing of the version.
    pub fn headers(&mut self, ends: bool) {
        self.status = host::response_header(":status").and_then(number);
        self.upgraded = self.status == Some(101);
        self.complete = ends || self.upgraded;
        // A gRPC error without an answer has its status in the headers.
        if ends {
            self.grpc_status = host::response_header("grpc-status").and_then(number);
        }
    }

    pub fn trailers(&mut self) {
        self.complete = true;
        self.grpc_status = host::response_trailer("grpc-status").and_then(number);
    }

    fn is_error(&self, rule: &ErrorRule) -> bool {
        self.status
            .is_none_or(|status| rule.status_is_error(status))
            || self
                .grpc_status
                .is_some_and(|status| rule.grpc_is_error(status))
    }

    /// Whether the upstream answered well, without a doubt and a host call. (A route's
    /// own `direct_response` of 200 is taken for the upstream's by this: a route that
    /// answers by itself has no arms to compare.)
    fn is_plainly_good(&self, rule: &ErrorRule) -> bool {
        self.complete
            && self
                .status
                .is_some_and(|status| (200..400).contains(&status) || self.upgraded)
            && !self.is_error(rule)
    }
}

fn number<T: core::str::FromStr>(text: Vec<u8>) -> Option<T> {
    let text = core::str::from_utf8(&text).ok()?;
    text.trim_ascii().parse().ok()
}

pub fn classify(answer: Answer, rule: &ErrorRule) -> Ending {
    if answer.is_plainly_good(rule) {
        let error = rule.retried && was_retried();
        return Ending::Finished { error };
    }
    let details = host::string_property(&["response", "code_details"]).unwrap_or_default();
    if details == b"via_upstream" {
        let error = answer.is_error(rule) || rule.retried && was_retried();
        return Ending::Finished { error };
    }
    if UPSTREAM_AT_FAULT
        .iter()
        .any(|word| details.starts_with(word))
    {
        return Ending::Finished { error: true };
    }
    if answer.status.is_none() || details.starts_with(b"downstream") {
        return Ending::Disconnected;
    }
    Ending::LocalReply
}

fn was_retried() -> bool {
    host::integer_property(&["upstream", "request_attempt_count"])
        .is_some_and(|attempts| attempts > 1)
}

pub fn log_trip(rollout: &CompiledRollout, arm: usize) {
    let message = format!(
        "serinus: rollout {}: this worker's breaker took arm {} back to {}",
        rollout.id,
        rollout.arm_name(arm),
        rollout.arm_name(rollout.baseline),
    );
    let _ = hostcalls::log(LogLevel::Warn, &message);
}
