//! How a request ended, from what Envoy says.

use crate::host;
use proxy_wasm::hostcalls;
use proxy_wasm::types::LogLevel;
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
    /// Whether its last byte passed. An answer with trailers never says so.
    pub complete: bool,
}

/// The commonest ending, a complete answer below 400, costs no host call. (A
/// route's own `direct_response` of 200 is taken for the upstream's by this: a
/// route that answers by itself has no arms to compare.)
pub fn classify(answer: Answer, duration_us: u64) -> Ending {
    let finished = |error| Ending::Finished { error, duration_us };
    if answer.complete
        && answer
            .status
            .is_some_and(|status| (200..400).contains(&status))
    {
        return finished(false);
    }
    let details = host::string_property(&["response", "code_details"]).unwrap_or_default();
    if details == b"via_upstream" {
        return finished(answer.status.is_none_or(|status| status >= 500));
    }
    if UPSTREAM_AT_FAULT
        .iter()
        .any(|word| details.starts_with(word))
    {
        return finished(true);
    }
    if answer.status.is_none() || details.starts_with(b"downstream") {
        return Ending::Disconnected;
    }
    Ending::LocalReply
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
