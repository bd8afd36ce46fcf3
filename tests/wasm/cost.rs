//! What the filter costs a request: entries into the VM, host calls, memory.
//! Times depend on the machine and are measured by the benchmarks instead.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::host::{Artefact, Host, Request};
use crate::judge::{control_and_canary, plan, worker};

/// Envoy enters the VM for every callback that a module exports, needed or not, so
/// the set is exactly what the filter needs.
#[test]
fn the_module_exports_exactly_what_the_filter_needs() {
    let wanted = BTreeSet::from(
        [
            "memory",
            "__data_end",
            "__heap_base",
            "malloc",
            "_initialize",
            "proxy_abi_version_0_2_1",
            "proxy_on_context_create",
            "proxy_on_vm_start",
            "proxy_on_configure",
            "proxy_on_tick",
            "proxy_on_http_call_response",
            "proxy_on_request_headers",
            "proxy_on_request_body",
            "proxy_on_request_trailers",
            "proxy_on_response_headers",
            "proxy_on_response_body",
            "proxy_on_response_trailers",
            "proxy_on_delete",
        ]
        .map(str::to_owned),
    );
    assert_eq!(Artefact::built().exports, wanted);
}

#[test]
fn the_module_imports_only_randomness_from_wasi() {
    let wasi = Artefact::built()
        .imports
        .iter()
        .filter(|name| name.starts_with("wasi"))
        .count();
    let is_wasi_target = Artefact::built()
        .imports
        .contains("wasi_snapshot_preview1.fd_write");
    assert!(
        wasi == 1 || is_wasi_target,
        "{:?}",
        Artefact::built().imports
    );
}

fn cost_of<K: Clone + Ord>(
    counts: impl Fn(&Host) -> BTreeMap<K, u64>,
    host: &mut Host,
    request: &Request,
) -> BTreeMap<K, u64> {
    let before = counts(host);
    host.request(request).unwrap();
    let mut after = counts(host);
    for (name, count) in &mut after {
        *count -= before.get(name).copied().unwrap_or(0);
    }
    after.retain(|_, count| *count > 0);
    after
}

#[test]
fn the_common_request_makes_few_host_calls() {
    let (mut host, _) = worker(plan());
    let (_, canary) = control_and_canary();
    let request = Request::get("/", &[("x-user-id", canary.as_str())]);
    host.request(&request).unwrap();
    let calls = cost_of(|host| host.calls().clone(), &mut host, &request);
    println!("host calls of one request: {calls:?}");
    let instructions = cost_of(|host| host.instructions().clone(), &mut host, &request);
    println!("instructions of one request: {instructions:?}");
    // The unit, the arm header, two clock reads and the status.
    let total: u64 = calls.values().sum();
    assert!(total <= 5, "{calls:?}");
    assert_eq!(
        calls.get("proxy_get_property"),
        None,
        "a property costs several header reads"
    );
}

#[test]
fn an_unmatched_request_is_not_counted_and_reads_no_clock() {
    let mut plan = plan();
    plan["rollouts"][0]["match"] = serde_json::json!({"path_prefix": "/elsewhere"});
    let (mut host, _) = worker(plan);
    let none: [(&str, &str); 0] = [];
    let request = Request::get("/", &none);
    let calls = cost_of(|host| host.calls().clone(), &mut host, &request);
    assert!(calls.values().sum::<u64>() <= 2, "{calls:?}");
}

#[test]
fn memory_stays_where_it_is_under_steady_traffic() {
    let (mut host, mut judge) = worker(plan());
    let mut round = |host: &mut Host| {
        for number in 0..2_000 {
            let unit = format!("user-{number}");
            host.request(&Request::get("/", &[("x-user-id", unit.as_str())]))
                .unwrap();
        }
        judge.run(host, Duration::from_secs(2));
        host.memory_bytes()
    };
    let warm = [round(&mut host), round(&mut host)]
        .into_iter()
        .max()
        .unwrap();
    for _ in 0..5 {
        assert_eq!(round(&mut host), warm);
    }
}
