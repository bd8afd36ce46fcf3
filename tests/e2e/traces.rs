//! Traces of the judge, as a collector gets them by OTLP.

use crate::world::{LIMIT, alone};
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use serinus_tests::judge::Judge;
use serinus_tests::wait;
use std::sync::{Arc, Mutex};
use tokio::net::TcpListener;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status};

#[derive(Clone, Default)]
struct Collector(Arc<Mutex<Vec<Span>>>);

#[tonic::async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let resources = request.into_inner().resource_spans.into_iter();
        let scopes = resources.flat_map(|resource| resource.scope_spans);
        let spans = scopes.flat_map(|scope| scope.spans);
        self.0.lock().unwrap().extend(spans);
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

impl Collector {
    async fn start() -> (Self, String) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let collector = Self::default();
        let service = TraceServiceServer::new(collector.clone());
        tokio::spawn(async move {
            let server = Server::builder().add_service(service);
            server
                .serve_with_incoming(TcpIncoming::from(listener))
                .await
                .unwrap();
        });
        (collector, address)
    }

    /// Waits for a span with this name.
    async fn span(&self, what: &str, is_it: impl Fn(&Span) -> bool) -> Span {
        wait::until(what, LIMIT, async || {
            Ok(self
                .0
                .lock()
                .unwrap()
                .iter()
                .find(|span| is_it(span))
                .cloned())
        })
        .await
        .unwrap_or_else(|error| {
            let spans = self.0.lock().unwrap();
            let names: Vec<&str> = spans.iter().map(|span| span.name.as_str()).collect();
            panic!("{error}: {names:?}")
        })
    }
}

fn attribute(span: &Span, name: &str) -> Option<Value> {
    let found = span.attributes.iter().find(|one| one.key == name)?;
    found.value.clone()?.value
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_go_on_in_their_callers_traces_and_looks_say_what_they_found() {
    let (collector, address) = Collector::start().await;
    let folder = tempfile::tempdir().unwrap();
    let mut judge = Judge::new(folder.path()).unwrap();
    judge.environment("OTEL_EXPORTER_OTLP_ENDPOINT", &address);
    judge.environment("OTEL_BSP_SCHEDULE_DELAY", "100");
    judge.start().await.unwrap();
    judge.create(&alone("traced")).await.unwrap();

    let (trace, parent) = ("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7");
    let url = format!("{}/v1/rollouts/traced", judge.address());
    let asked = reqwest::Client::new()
        .get(url)
        .header("traceparent", format!("00-{trace}-{parent}-01"))
        .send()
        .await
        .unwrap();
    assert_eq!(asked.status(), 200);
    let hex = |bytes: &[u8]| -> String { bytes.iter().map(|byte| format!("{byte:02x}")).collect() };
    let span = collector
        .span("the request", |span| span.name == "GET /v1/rollouts/{id}")
        .await;
    assert_eq!(
        (
            hex(&span.trace_id).as_str(),
            hex(&span.parent_span_id).as_str()
        ),
        (trace, parent)
    );
    assert_eq!(
        attribute(&span, "http.response.status_code"),
        Some(Value::IntValue(200))
    );
    let look = collector
        .span("a look", |span| {
            span.name == "look" && attribute(span, "serinus.action").is_some()
        })
        .await;
    let text = |name: &str| match attribute(&look, name) {
        Some(Value::StringValue(text)) => text,
        other => panic!("{name}: {other:?}"),
    };
    assert_eq!(
        (text("serinus.rollout"), text("serinus.action")),
        ("traced".to_owned(), "hold".to_owned())
    );
    assert!(!text("serinus.reason").is_empty());
}
