//! Tests of the filter's artefact, `target/wasm/serinus_filter.wasm`, in a fake
//! Envoy. What core's own tests show natively is not shown again here, but for
//! what is frozen: the hash must be the same on both sides.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test says what is wrong by panicking"
)]

#[allow(
    dead_code,
    reason = "the fake is whole, whatever today's tests ask of it"
)]
mod host;
mod judge;

mod backpressure;
mod breaker;
mod clock;
mod config_source;
mod cost;
mod link;
mod orders;
mod plans;
mod reports;
mod routing;
mod safety;
mod samples;
mod settings;
mod soak;
mod vectors;
