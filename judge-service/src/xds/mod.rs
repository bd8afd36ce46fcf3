//! The judge as an xDS server for Envoy's extension config discovery (ECDS): each new
//! plan goes out within the filter's plugin configuration.
//!
//! [`Stream`] is what one stream of one proxy is to be told, without a byte of protobuf
//! and without a wait; [`server`] carries it over gRPC. [`Plugin`] is what the judge
//! cannot know by itself: where a proxy has the module, and the filter's settings.

mod file;
mod plugin;
mod resource;
pub mod server;
mod stream;
mod wire;

pub use file::ecds_file;
pub use plugin::{Plugin, configuration, settings};
pub use resource::Resource;
pub use stream::{Ask, Learned, Offer, Refusal, Request, Response, Step, Stream, What};

/// What ECDS discovers.
pub const TYPE_URL: &str = "type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig";
