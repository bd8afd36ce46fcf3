//! The Serinus judge: it takes reports, judges rollouts and delivers plans.
//!
//! Rooms, from the inside out: [`domain`] has plain values; [`policy`] turns
//! evidence into a verdict; [`assignment`] says which arm a user has; [`inference`] runs model artefacts; [`store`] keeps;
//! [`forecast`] says what a rollout will take; [`books`] has it all in memory;
//! [`service`] joins them; [`access`] says who may do what; [`cluster`] says which of
//! several judges judges; [`api`] is HTTP, [`metrics`] what Prometheus reads, [`tls`] what
//! it is wrapped in, [`xds`] gRPC for Envoy, [`kubernetes`] writes plans where istiod finds
//! them. Nothing inside knows what is outside. The command
//! line is a package of its own, `serinus-cli`.

pub mod access;
pub mod api;
pub mod assignment;
pub mod books;
pub mod cluster;
pub mod domain;
pub mod forecast;
pub mod hex;
pub mod kubernetes;
pub mod metrics;
pub mod policy;
pub mod private_file;
pub mod replay;
pub mod service;
pub mod simulate;
pub mod store;
pub mod tls;
pub mod web;
pub mod xds;

pub use serinus_inference as inference;
