//! The pure part of Serinus, shared by the filter (wasm) and the judge (native).
//!
//! What it does: parses and compiles a [`plan`], assigns a unit to an arm
//! ([`bucket`], [`allocation`]), turns a request into a [`decision`], and sums
//! what happened into [`ledger`] reports.
//!
//! What it does not do: it knows no clock, no randomness, no environment, no
//! async and no proxy-wasm. Time and random bytes come in as parameters. That is
//! what lets the judge say of a user "in canary since step 2" by running the very
//! code that routed that user.

pub mod allocation;
pub mod attribute;
pub mod breaker;
pub mod bucket;
pub mod call;
pub mod condition;
pub mod decision;
pub mod failure;
pub mod histogram;
pub mod identity;
pub mod issued;
pub mod json;
pub mod ledger;
pub mod matching;
pub mod membership;
pub mod memory;
pub mod overrides;
pub mod plan;
pub mod report;
pub mod request;
pub mod sample;
pub mod settings;
pub mod shadow;
