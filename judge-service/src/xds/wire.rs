//! The two variants of the protocol, between protobuf and the machine's values.

use super::TYPE_URL;
use super::resource::Resource;
use super::stream::{Ask, Request, Response, What};
use envoy_types::pb::envoy::config::core::v3::Node;
use envoy_types::pb::envoy::service::discovery::v3::{
    DeltaDiscoveryRequest, DeltaDiscoveryResponse, DiscoveryRequest, DiscoveryResponse,
    Resource as DeltaResource,
};
use envoy_types::pb::google::rpc::Status;

/// A variant of the protocol.
pub trait Variant: Send + 'static {
    type Request: Send + 'static;
    type Response: Send + 'static;

    fn read(request: Self::Request) -> Request;

    /// `resource` is what the machine was offered.
    fn write(response: Response, resource: &Resource) -> Self::Response;
}

pub struct StateOfTheWorld;

pub struct Delta;

impl Variant for StateOfTheWorld {
    type Request = DiscoveryRequest;
    type Response = DiscoveryResponse;

    fn read(request: DiscoveryRequest) -> Request {
        Request {
            node: request.node.map(id),
            type_url: request.type_url,
            ask: Ask::All {
                names: request.resource_names,
                version: request.version_info,
            },
            nonce: request.response_nonce,
            refusal: request.error_detail.map(why),
        }
    }

    fn write(response: Response, resource: &Resource) -> DiscoveryResponse {
        let resources = match response.what {
            What::Offered => vec![resource.body.clone()],
            // This variant has no word for it.
            What::Absent(_) => Vec::new(),
        };
        DiscoveryResponse {
            version_info: resource.version.clone(),
            resources,
            type_url: TYPE_URL.to_owned(),
            nonce: response.nonce,
            ..DiscoveryResponse::default()
        }
    }
}

impl Variant for Delta {
    type Request = DeltaDiscoveryRequest;
    type Response = DeltaDiscoveryResponse;

    fn read(request: DeltaDiscoveryRequest) -> Request {
        Request {
            node: request.node.map(id),
            type_url: request.type_url,
            ask: Ask::Changes {
                subscribe: request.resource_names_subscribe,
                unsubscribe: request.resource_names_unsubscribe,
                known: request.initial_resource_versions.into_iter().collect(),
            },
            nonce: request.response_nonce,
            refusal: request.error_detail.map(why),
        }
    }

    fn write(response: Response, resource: &Resource) -> DeltaDiscoveryResponse {
        let (resources, removed_resources) = match response.what {
            What::Offered => {
                let resource = DeltaResource {
                    name: resource.name.clone(),
                    version: resource.version.clone(),
                    resource: Some(resource.body.clone()),
                    ..DeltaResource::default()
                };
                (vec![resource], Vec::new())
            }
            What::Absent(names) => (Vec::new(), names),
        };
        DeltaDiscoveryResponse {
            system_version_info: resource.version.clone(),
            resources,
            type_url: TYPE_URL.to_owned(),
            removed_resources,
            nonce: response.nonce,
            ..DeltaDiscoveryResponse::default()
        }
    }
}

fn id(node: Node) -> String {
    node.id
}

fn why(status: Status) -> String {
    status.message
}
