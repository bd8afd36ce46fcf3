//! The room's tests through its public API, in one binary.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    // Tests compute their expectations by other means than the crate does.
    clippy::disallowed_methods
)]

mod allocations;
mod cases;
mod properties;
mod replay;
mod rng;
mod simulations;
