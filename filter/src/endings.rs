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

/// The commonest ending, an upstream's answer below 500, costs no host call.
pub fn classify(status: Option<u16>, duration_us: u64) -> Ending {
    if status.is_some_and(|status| (200..500).contains(&status)) {
        let error = false;
        return Ending::Finished { error, duration_us };
    }
    let details = host::string_property(&["response", "code_details"]).unwrap_or_default();
    if details == b"via_upstream"
        || UPSTREAM_AT_FAULT
            .iter()
            .any(|word| details.starts_with(word))
    {
        return Ending::Finished {
            error: true,
            duration_us,
        };
    }
    if status.is_none() || details.starts_with(b"downstream") {
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
