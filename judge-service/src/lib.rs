//! The Serinus judge: it takes reports, judges rollouts and delivers plans.
//!
//! Rooms, from the inside out: [`domain`] has plain values; [`policy`] turns evidence into a
//! verdict, and [`replay`] does so again; [`assignment`] says which arm a user has;
//! [`inference`] runs model artefacts; [`store`] keeps; [`forecast`] says what a rollout will
//! take, and [`simulate`] tries it; [`reading`] reads what people write; [`books`] has it
//! all in memory; [`web`] calls other people's servers; [`service`] joins them; [`access`]
//! says who may do what; [`cluster`] says which of several judges judges; [`api`] is HTTP,
//! [`metrics`] what Prometheus reads, [`tls`] what it is wrapped in, [`xds`] gRPC for Envoy,
//! [`kubernetes`] writes plans where
//! istiod finds them. [`hex`] and [`private_file`] are small things that several need.
//! Nothing inside knows what is outside. The command line is a package of its own,
//! `serinus-cli`.

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
pub mod reading;
pub mod replay;
pub mod service;
pub mod simulate;
pub mod store;
pub mod tls;
pub mod web;
pub mod xds;

pub use serinus_inference as inference;

/// The target of the judge's spans: logs are asked for by others.
pub const TRACES: &str = "serinus_judge::trace";
