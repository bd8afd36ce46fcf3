//! TLS by rustls: what the judge shows to others, and whom it and the command line trust.
//! One provider of cryptography, ring.

mod certificate;
mod client;
mod error;
mod pem;
mod server;
mod stream;

pub use client::{Connector, Trust, connector, trusting, trusting_this_machine};
pub use error::TlsError;
pub use server::{ServerTls, client_name};
pub use stream::TlsStream;
