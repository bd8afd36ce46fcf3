//! What the proxy provides, as calls that cannot panic in the phase they are
//! made in. The SDK panics on statuses it does not know, so each function says
//! when it may be called.

use proxy_wasm::hostcalls;
use proxy_wasm::types::{BufferType, LogLevel, MapType};
use std::time::UNIX_EPOCH;

/// Microseconds since 1970, at any time.
pub fn now_us() -> u64 {
    hostcalls::get_current_time()
        .ok()
        .and_then(|time| time.duration_since(UNIX_EPOCH).ok())
        .map_or(0, |elapsed| {
            elapsed.as_secs() * 1_000_000 + u64::from(elapsed.subsec_micros())
        })
}

/// A request header by its lower-case name, in the request phase only.
pub fn request_header(name: &str) -> Option<Vec<u8>> {
    hostcalls::get_map_value_bytes(MapType::HttpRequestHeaders, name)
        .ok()
        .flatten()
}

/// What a request says of its body's length, in the request phase only.
pub fn content_length() -> Option<usize> {
    let value = request_header("content-length")?;
    String::from_utf8(value).ok()?.parse().ok()
}

/// Replaces or (with `None`) removes a request header, in the request phase only.
pub fn set_request_header(name: &str, value: Option<&str>) {
    // A header that cannot be set leaves the default route, which is the baseline.
    let _ = hostcalls::set_map_value(MapType::HttpRequestHeaders, name, value);
}

/// A response header by its lower-case name, in the response phase only.
pub fn response_header(name: &str) -> Option<Vec<u8>> {
    hostcalls::get_map_value_bytes(MapType::HttpResponseHeaders, name)
        .ok()
        .flatten()
}

/// A response trailer by its lower-case name, in the response trailers' callback only.
pub fn response_trailer(name: &str) -> Option<Vec<u8>> {
    hostcalls::get_map_value_bytes(MapType::HttpResponseTrailers, name)
        .ok()
        .flatten()
}

/// Part of a body, within that body's callback.
pub fn body(kind: BufferType, start: usize, size: usize) -> Option<Vec<u8>> {
    hostcalls::get_buffer(kind, start, size).ok().flatten()
}

/// A property that is a string, at any time in a stream.
pub fn string_property(path: &[&str]) -> Option<Vec<u8>> {
    hostcalls::get_property(path.to_vec()).ok().flatten()
}

/// A property that is an integer, at any time in a stream.
pub fn integer_property(path: &[&str]) -> Option<i64> {
    let bytes = string_property(path)?;
    Some(i64::from_le_bytes(bytes.try_into().ok()?))
}

/// The cluster that a stream was routed to, at its end.
pub fn cluster() -> Option<String> {
    const LONGEST: usize = 256;
    let name = string_property(&["xds", "cluster_name"])?;
    let name = String::from_utf8(name).ok()?;
    (name.len() <= LONGEST).then_some(name)
}

/// Adds a response header, in the response phase only.
pub fn add_response_header(name: &str, value: &str) {
    let _ = hostcalls::add_map_value(MapType::HttpResponseHeaders, name, value);
}

pub fn log(level: LogLevel, message: &str) {
    let _ = hostcalls::log(level, message);
}

pub fn warn(message: &str) {
    log(LogLevel::Warn, message);
}

/// 32 hex digits of the host's randomness.
pub fn random_id() -> String {
    // No randomness: the clock keeps two workers apart well enough to report.
    let bytes =
        random().unwrap_or_else(|| (u128::from(now_us()) << 32 ^ 0x5e71_7005).to_be_bytes());
    format!("{:032x}", u128::from_be_bytes(bytes))
}

/// The host's randomness; `None` when it has none.
pub fn random() -> Option<[u8; 16]> {
    let mut bytes = [0u8; 16];
    // SAFETY: the host writes 16 bytes into a buffer of 16 bytes that lives here.
    #[allow(unsafe_code)]
    let status = unsafe { random_get(bytes.as_mut_ptr(), bytes.len()) };
    (status == 0).then_some(bytes)
}

// Imported by name, since the std of wasm32-unknown-unknown has no randomness;
// Envoy provides this function to such modules too.
#[cfg(target_arch = "wasm32")]
#[link(wasm_import_module = "wasi_snapshot_preview1")]
unsafe extern "C" {
    fn random_get(buffer: *mut u8, length: usize) -> u32;
}

/// Native builds of this crate exist only to be linted.
#[cfg(not(target_arch = "wasm32"))]
#[allow(unsafe_code)]
unsafe fn random_get(_buffer: *mut u8, _length: usize) -> u32 {
    1
}
