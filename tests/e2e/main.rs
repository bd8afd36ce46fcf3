//! End to end: real Envoy with the filter, a real judge, real model servers.
//!
//! Each test starts a lab of its own. Two cores do not carry two labs under load,
//! so the tests take turns ([`world::turn`]).

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test says what is wrong by panicking"
)]

mod wire;
mod world;

mod access;
mod alerts;
mod answers;
mod api;
mod bad_input;
mod baseline;
mod bodies;
mod cli;
mod conditions;
mod configured;
mod deeds;
mod dropping;
mod each_request;
mod ecds;
mod ending;
mod failures;
mod frozen_judge;
mod grpc;
mod hand_out;
mod held;
mod http1;
mod http2;
mod istio;
mod kill_switch;
mod layers;
mod life_cycle;
mod local_replies;
mod malformed;
mod metrics;
mod operators;
mod plan_update;
mod restart;
mod restored;
mod retries;
mod secured_envoy;
mod secured_judges;
mod secured_postgres;
mod segments;
mod several_judges;
mod shadows;
mod sharing;
mod silent_judge;
mod soak;
mod sticky;
mod stories;
mod tls;
mod traces;
mod units;
mod upgrades;
mod vectors;
mod watching;
mod xds;
