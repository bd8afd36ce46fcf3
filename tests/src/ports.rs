//! Ports that must be known before their owner starts.

use crate::failure::Result;
use std::net::TcpListener;
use std::sync::atomic::{AtomicU16, Ordering};

/// Below Linux's range for outgoing connections (32768 and up): a port in that
/// range could be taken by somebody's connection while its owner is down, and a
/// connection to it could even meet itself.
const FIRST: u16 = 20_000;
const COUNT: u16 = 12_000;

/// How far the search in this process has come.
static NEXT: AtomicU16 = AtomicU16::new(0);

/// A loopback port that nobody listens on. Everything that can listen on port 0
/// does so; this is for what is started again at the same address.
///
/// # Errors
/// When all are taken.
pub fn free() -> Result<u16> {
    // Processes that search at the same time start at different places.
    let start = (std::process::id() % u32::from(COUNT)) as u16;
    for _ in 0..COUNT {
        let step = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = FIRST + (start.wrapping_add(step)) % COUNT;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return Ok(port);
        }
    }
    Err("no port from 20000 to 31999 is free".into())
}

/// The port in `http://127.0.0.1:PORT`.
///
/// # Errors
/// When there is none.
pub fn of(address: &str) -> Result<u16> {
    let port = address.rsplit(':').next().unwrap_or_default();
    port.trim_end_matches('/')
        .parse()
        .map_err(|_| format!("`{address}` has no port").into())
}
