//! The Serinus filter: proxy-wasm callbacks, and nothing else.
//!
//! Every decision is made in `serinus_core`; this crate reads what the decision
//! asks for, applies it, and carries reports, samples and plans between the
//! worker and the judge. Nothing here may panic: a trap kills the worker's VM
//! and every stream on it.

mod endings;
mod held;
mod host;
mod judge_link;
mod metrics;
mod plans;
mod request;
mod root;
mod sampler;
mod stream;
mod worker;

use proxy_wasm::traits::RootContext;
use proxy_wasm::types::LogLevel;

proxy_wasm::main! {{
    proxy_wasm::set_log_level(LogLevel::Info);
    proxy_wasm::set_root_context(|_| -> Box<dyn RootContext> { Box::new(root::Root::default()) });
}}
