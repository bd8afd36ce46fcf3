//! The Serinus lab: real Envoy, judge and model servers under a real load, for
//! the demo and for every test that crosses a process.

pub mod artefacts;
pub mod digits;
pub mod drawing;
pub mod envoy;
pub mod failure;
pub mod judge;
pub mod lab;
pub mod load;
pub mod model_server;
pub mod peers;
pub mod ports;
pub mod postgres;
pub mod process;
pub mod prometheus;
pub mod random;
pub mod relay;
pub mod stories;
pub mod tokens;
pub mod vectors;
pub mod wait;
