//! The filter's job done by an external processor: a sticky arm by the hash of a
//! header, the routing header, and requests, errors and time counted for each arm.
//!
//! Written for speed, as far as tonic goes: one thread, no channel and no task for
//! a stream, no lock, and answers that hold nothing but what Envoy needs.

use envoy_types::pb::envoy::config::core::v3::header_value_option::HeaderAppendAction;
use envoy_types::pb::envoy::config::core::v3::{HeaderMap, HeaderValue, HeaderValueOption};
use envoy_types::pb::envoy::service::ext_proc::v3::external_processor_server::{
    ExternalProcessor, ExternalProcessorServer,
};
use envoy_types::pb::envoy::service::ext_proc::v3::processing_request::Request as Phase;
use envoy_types::pb::envoy::service::ext_proc::v3::processing_response::Response as Answer;
use envoy_types::pb::envoy::service::ext_proc::v3::{
    CommonResponse, HeaderMutation, HeadersResponse, ProcessingRequest, ProcessingResponse,
};
use std::io::Read;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tokio_stream::{Stream, StreamExt};
use tonic::transport::Server;
use tonic::{Request, Response, Status, Streaming};

const UNIT_HEADER: &str = "x-user-id";
const ARM_HEADER: &str = "x-serinus-arm";
const SALT: &[u8] = b"salt";

type Failure = Box<dyn std::error::Error + Send + Sync>;

#[derive(Clone, Copy)]
enum Arm {
    Control,
    Canary,
}

/// What one arm did.
#[derive(Default)]
struct Counts {
    finished: AtomicU64,
    errors: AtomicU64,
    duration_us: AtomicU64,
}

#[derive(Default)]
struct Totals {
    control: Counts,
    canary: Counts,
}

#[derive(Default)]
struct Processor {
    totals: Arc<Totals>,
}

/// One request: what must be known when its answer comes.
#[derive(Default)]
struct Exchange {
    decided: Option<(Arm, Instant)>,
}

// === impl Arm ===

impl Arm {
    /// Half of 10,000 buckets each.
    fn of(unit: &[u8]) -> Self {
        let mut salted = unit.chain(SALT);
        let hash = murmur3::murmur3_32(&mut salted, 1).unwrap_or_default();
        if (u64::from(hash) * 10_000) >> 32 < 5_000 {
            Self::Control
        } else {
            Self::Canary
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Control => "control",
            Self::Canary => "canary",
        }
    }
}

// === impl Exchange ===

impl Exchange {
    fn answer(&mut self, phase: Option<Phase>, totals: &Totals) -> Answer {
        match phase {
            Some(Phase::RequestHeaders(message)) => {
                let unit = message
                    .headers
                    .as_ref()
                    .and_then(|map| find(map, UNIT_HEADER));
                let arm = unit.map(Arm::of);
                self.decided = arm.map(|arm| (arm, Instant::now()));
                Answer::RequestHeaders(routing(arm))
            }
            Some(Phase::ResponseHeaders(message)) => {
                if let Some((arm, started)) = self.decided.take() {
                    let status = message
                        .headers
                        .as_ref()
                        .and_then(|map| find(map, ":status"));
                    totals.count(arm, status, started);
                }
                Answer::ResponseHeaders(HeadersResponse::default())
            }
            // Never asked for by the benchmark's processing mode.
            _ => Answer::ResponseHeaders(HeadersResponse::default()),
        }
    }
}

fn find<'map>(map: &'map HeaderMap, name: &str) -> Option<&'map [u8]> {
    let header = map.headers.iter().find(|header| header.key == name)?;
    // Envoy fills the raw value and leaves the other empty.
    Some(if header.raw_value.is_empty() {
        header.value.as_bytes()
    } else {
        &header.raw_value
    })
}

/// Replaces or removes what a client sent, and has Envoy choose the route again.
fn routing(arm: Option<Arm>) -> HeadersResponse {
    let set = arm.map(|arm| HeaderValueOption {
        header: Some(HeaderValue {
            key: ARM_HEADER.to_owned(),
            raw_value: arm.name().as_bytes().to_vec(),
            ..HeaderValue::default()
        }),
        append_action: HeaderAppendAction::OverwriteIfExistsOrAdd.into(),
        ..HeaderValueOption::default()
    });
    let remove = if set.is_none() {
        vec![ARM_HEADER.to_owned()]
    } else {
        Vec::new()
    };
    HeadersResponse {
        response: Some(CommonResponse {
            header_mutation: Some(HeaderMutation {
                set_headers: set.into_iter().collect(),
                remove_headers: remove,
            }),
            clear_route_cache: true,
            ..CommonResponse::default()
        }),
    }
}

// === impl Totals ===

impl Totals {
    fn count(&self, arm: Arm, status: Option<&[u8]>, started: Instant) {
        let counts = match arm {
            Arm::Control => &self.control,
            Arm::Canary => &self.canary,
        };
        let us = u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX);
        counts.finished.fetch_add(1, Ordering::Relaxed);
        counts.duration_us.fetch_add(us, Ordering::Relaxed);
        if status.is_none_or(|status| status.starts_with(b"5")) {
            counts.errors.fetch_add(1, Ordering::Relaxed);
        }
    }
}

// === impl Processor ===

#[tonic::async_trait]
impl ExternalProcessor for Processor {
    type ProcessStream = Pin<Box<dyn Stream<Item = Result<ProcessingResponse, Status>> + Send>>;

    async fn process(
        &self,
        request: Request<Streaming<ProcessingRequest>>,
    ) -> Result<Response<Self::ProcessStream>, Status> {
        let totals = Arc::clone(&self.totals);
        let mut exchange = Exchange::default();
        let answers = request.into_inner().map(move |message| {
            Ok(ProcessingResponse {
                response: Some(exchange.answer(message?.request, &totals)),
                ..ProcessingResponse::default()
            })
        });
        Ok(Response::new(Box::pin(answers)))
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failure> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("listening on {}", listener.local_addr()?);
    let connections = TcpListenerStream::new(listener).map(|connection| {
        let connection = connection?;
        connection.set_nodelay(true)?;
        Ok::<_, std::io::Error>(connection)
    });
    Server::builder()
        .add_service(ExternalProcessorServer::new(Processor::default()))
        .serve_with_incoming(connections)
        .await?;
    Ok(())
}
