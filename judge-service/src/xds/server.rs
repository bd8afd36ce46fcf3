//! ECDS over gRPC, on the judge's own port: Envoy speaks HTTP/2 to it at once, and
//! everybody else HTTP/1.1.
//!
//! A stream is driven by whoever reads it. A proxy that does not read costs no queue:
//! plans that came meanwhile are skipped, and it gets the newest.

use super::plugin::Plugin;
use super::resource::{Resource, revision_of};
use super::stream::{Learned, Stream};
use super::wire::{Delta, StateOfTheWorld, Variant};
use crate::domain::Millis;
use crate::service::{Delivery, Published};
use axum::Router;
use envoy_types::pb::envoy::service::discovery::v3::{
    DeltaDiscoveryRequest, DeltaDiscoveryResponse, DiscoveryRequest, DiscoveryResponse,
};
use envoy_types::pb::envoy::service::extension::v3::extension_config_discovery_service_server::{
    ExtensionConfigDiscoveryService, ExtensionConfigDiscoveryServiceServer,
};
use futures_util::stream::{BoxStream, StreamExt, unfold};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::watch;
use tonic::{Request, Status, Streaming};

/// The largest request. In its first one Envoy lists all its extensions, some 100 KB.
const LARGEST_REQUEST: usize = 1024 * 1024;

/// The routes of ECDS, to be merged into the judge's.
pub fn router(delivery: Arc<Delivery>, clock: fn() -> Millis, plugin: Plugin) -> Router {
    let ecds = Ecds(Arc::new(Shared {
        delivery,
        clock,
        plugin,
        newest: Mutex::new(None),
    }));
    let server =
        ExtensionConfigDiscoveryServiceServer::new(ecds).max_decoding_message_size(LARGEST_REQUEST);
    Router::new().route_service(
        "/envoy.service.extension.v3.ExtensionConfigDiscoveryService/{method}",
        server,
    )
}

struct Ecds(Arc<Shared>);

struct Shared {
    delivery: Arc<Delivery>,
    clock: fn() -> Millis,
    plugin: Plugin,
    /// Made once for all streams.
    newest: Mutex<Option<(Arc<Published>, Arc<Resource>)>>,
}

#[tonic::async_trait]
impl ExtensionConfigDiscoveryService for Ecds {
    type StreamExtensionConfigsStream = BoxStream<'static, Result<DiscoveryResponse, Status>>;
    type DeltaExtensionConfigsStream = BoxStream<'static, Result<DeltaDiscoveryResponse, Status>>;

    async fn stream_extension_configs(
        &self,
        request: Request<Streaming<DiscoveryRequest>>,
    ) -> Result<tonic::Response<Self::StreamExtensionConfigsStream>, Status> {
        let talk = Talk::<StateOfTheWorld>::new(&self.0, request.into_inner());
        Ok(tonic::Response::new(talk.responses()))
    }

    async fn delta_extension_configs(
        &self,
        request: Request<Streaming<DeltaDiscoveryRequest>>,
    ) -> Result<tonic::Response<Self::DeltaExtensionConfigsStream>, Status> {
        let talk = Talk::<Delta>::new(&self.0, request.into_inner());
        Ok(tonic::Response::new(talk.responses()))
    }

    async fn fetch_extension_configs(
        &self,
        _: Request<DiscoveryRequest>,
    ) -> Result<tonic::Response<DiscoveryResponse>, Status> {
        Err(Status::unimplemented(
            "there are streams only: api_type GRPC or DELTA_GRPC",
        ))
    }
}

// === impl Shared ===

impl Shared {
    fn resource(&self, plan: &Arc<Published>) -> Result<Arc<Resource>, Status> {
        if plan.is_none() {
            return Err(Status::unavailable("this judge has no plan yet"));
        }
        let mut newest = self.newest.lock().unwrap_or_else(PoisonError::into_inner);
        match &*newest {
            Some((of, resource)) if Arc::ptr_eq(of, plan) => Ok(Arc::clone(resource)),
            _ => {
                let made = Resource::new(&self.plugin, plan).map_err(|error| {
                    tracing::error!(%error, revision = %plan.revision, "the plan is no JSON");
                    Status::internal("the judge's plan is no JSON")
                })?;
                if newest.is_none()
                    && let Some(objection) = &made.objection
                {
                    tracing::warn!(%objection, "a filter of this version would refuse --xds-plugin");
                }
                let resource = Arc::new(made);
                *newest = Some((Arc::clone(plan), Arc::clone(&resource)));
                Ok(resource)
            }
        }
    }

    /// `of` is what is newest.
    fn learned(&self, node: &str, learned: Learned, of: &Resource) {
        let now = (self.clock)();
        match learned {
            Learned::Accepted { version } => {
                let mut proxies = self.delivery.proxies();
                proxies.accepted(node, &version, revision_of(&version), now);
                proxies.counts.accepted += 1;
            }
            Learned::Refused { version, mut why } => {
                if let Some(objection) = of.objection.as_ref().filter(|_| version == of.version) {
                    why += &format!("; a filter of this version says: {objection}");
                }
                tracing::warn!(
                    node,
                    version,
                    why,
                    "a proxy refuses its filter's configuration"
                );
                let mut proxies = self.delivery.proxies();
                proxies.refused(node, &version, revision_of(&version), &why, now);
                proxies.counts.refused += 1;
            }
        }
    }

    fn malformed(&self) {
        self.delivery.proxies().counts.malformed += 1;
    }
}

/// Never, if nobody is left who could say so.
async fn becomes_true(watched: &mut watch::Receiver<bool>) {
    if watched.wait_for(|is_so| *is_so).await.is_err() {
        std::future::pending().await
    }
}

/// One stream of one proxy.
struct Talk<V: Variant> {
    shared: Arc<Shared>,
    stream: Stream,
    requests: Streaming<V::Request>,
    plan: watch::Receiver<Arc<Published>>,
    cut_off: watch::Receiver<bool>,
    ending: watch::Receiver<bool>,
    responses: VecDeque<V::Response>,
}

impl<V: Variant> Talk<V> {
    fn new(shared: &Arc<Shared>, requests: Streaming<V::Request>) -> Self {
        Self {
            shared: Arc::clone(shared),
            stream: Stream::default(),
            requests,
            plan: shared.delivery.subscribe(),
            cut_off: shared.delivery.cut_off(),
            ending: shared.delivery.ending(),
            responses: VecDeque::new(),
        }
    }

    fn responses(self) -> BoxStream<'static, Result<V::Response, Status>> {
        unfold(self, |mut talk| async move {
            let next = talk.next().await?;
            Some((next, talk))
        })
        .boxed()
    }

    /// The next response; after an error, which ends the stream, none is asked for.
    async fn next(&mut self) -> Option<Result<V::Response, Status>> {
        loop {
            if let Some(response) = self.responses.pop_front() {
                return Some(Ok(response));
            }
            let done = tokio::select! {
                request = self.requests.message() => match request {
                    Ok(Some(request)) => self.request(V::read(request)),
                    Ok(None) => return None,
                    Err(status) => {
                        // One that is too large or no protobuf; or the proxy is gone.
                        if status.code() != tonic::Code::Cancelled && self.stream.node().is_none() {
                            self.shared.malformed();
                        }
                        Err(status)
                    }
                },
                // Envoy goes to another judge, or comes back when this one knows again.
                () = becomes_true(&mut self.cut_off) => {
                    Err(Status::unavailable("this judge does not reach its database"))
                }
                () = becomes_true(&mut self.ending) => {
                    Err(Status::unavailable("this judge ends"))
                }
                changed = self.plan.changed() => {
                    changed.ok()?;
                    self.changed()
                }
            };
            if let Err(status) = done {
                return Some(Err(status));
            }
        }
    }

    fn request(&mut self, request: super::Request) -> Result<(), Status> {
        let resource = self.resource()?;
        let is_first = self.stream.node().is_none();
        let step = match self.stream.request(request, resource.offer()) {
            Ok(step) => step,
            Err(refusal) => {
                self.shared.malformed();
                let node = self.stream.node().unwrap_or_default();
                tracing::warn!(node, %refusal, "a request of a proxy is refused");
                return Err(Status::invalid_argument(refusal.to_string()));
            }
        };
        if let Some(node) = self.stream.node() {
            if is_first {
                let now = (self.shared.clock)();
                self.shared.delivery.proxies().came(node, now);
            }
            if let Some(learned) = step.learned {
                self.shared.learned(node, learned, &resource);
            }
        }
        self.respond(step.responses, &resource);
        Ok(())
    }

    fn changed(&mut self) -> Result<(), Status> {
        let resource = self.resource()?;
        let response = self.stream.changed(resource.offer());
        self.respond(response, &resource);
        Ok(())
    }

    fn respond(&mut self, responses: impl IntoIterator<Item = super::Response>, of: &Resource) {
        for response in responses {
            if response.what == super::What::Offered {
                self.shared.delivery.proxies().counts.sent += 1;
            }
            self.responses.push_back(V::write(response, of));
        }
    }

    fn resource(&mut self) -> Result<Arc<Resource>, Status> {
        let plan = Arc::clone(&self.plan.borrow_and_update());
        self.shared.resource(&plan)
    }
}

impl<V: Variant> Drop for Talk<V> {
    fn drop(&mut self) {
        if let Some(node) = self.stream.node() {
            let now = (self.shared.clock)();
            self.shared.delivery.proxies().left(node, now);
        }
    }
}
