//! What one request costs exactly: entries into the VM, host calls and instructions,
//! counted in a proxy of ours.

use crate::host::{Host, Request};
use crate::judge::plan;
use crate::load::{Kind, USER_HEADER, user};
use crate::wasm_judge::worker;

#[derive(Debug, Clone, Copy)]
pub struct Counts {
    pub entries: u64,
    pub host_calls: u64,
    pub instructions: u64,
}

/// Of a request like the thousand before it.
pub fn of(kind: Kind) -> Counts {
    let (mut host, _) = worker(plan());
    let mut request = |number: u64| {
        let user = user(number);
        let headers = [(USER_HEADER, user.as_str())];
        let request = match kind {
            Kind::Get => Request::get(kind.path(), &headers),
            Kind::Post => Request::post(kind.path(), &headers, &kind.body()),
        };
        let before = sums(&host);
        let _ = host.request(&request);
        let after = sums(&host);
        Counts {
            entries: after.0 - before.0,
            host_calls: after.1 - before.1,
            instructions: after.2 - before.2,
        }
    };
    for number in 0..1_000 {
        request(number);
    }
    // The median of many: now and then a table grows.
    let mut last: Vec<Counts> = (1_000..1_101).map(&mut request).collect();
    last.sort_by_key(|counts| counts.instructions);
    last[last.len() / 2]
}

fn sums(host: &Host) -> (u64, u64, u64) {
    (
        host.entries().values().sum(),
        host.calls().values().sum(),
        host.instructions().values().sum(),
    )
}
