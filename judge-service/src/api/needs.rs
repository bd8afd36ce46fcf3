//! What each path and method asks of its caller: looked up before the request goes on, by
//! the same table and the same matching as the router's.

use super::{page, routes};
use crate::access::Needs;
use axum::http::Method;
use matchit::Router;
use std::sync::LazyLock;

/// ECDS. A configuration that goes out has the plan in it.
const GRPC: &str = "/envoy.service.extension.v3.ExtensionConfigDiscoveryService/";

type Methods = Vec<(&'static str, Needs)>;

static TABLE: LazyLock<Router<Methods>> = LazyLock::new(|| {
    let mut table = Router::new();
    let routes = routes::all().into_iter().map(|route| {
        let operations = route.operations.iter();
        let methods = operations.map(|operation| (operation.method(), operation.asks_for()));
        (route.path, methods.collect::<Methods>())
    });
    // The page shows nothing without what it asks for.
    let pages = page::paths().map(|path| (path, vec![("get", Needs::Nothing)]));
    for (path, methods) in routes.chain(pages) {
        // The same paths make axum's router, which would not take them either.
        if let Err(error) = table.insert(path, methods) {
            tracing::error!(%error, path, "a path cannot be looked up; viewers alone may ask for it");
        }
    }
    table
});

/// Whatever is not known is answered with 404 or 405, and to those alone who may look.
pub fn of(method: &Method, path: &str) -> Needs {
    if path.starts_with(GRPC) {
        return Needs::Proxy;
    }
    let Ok(found) = TABLE.at(path) else {
        return Needs::Viewer;
    };
    let method = match *method {
        // Answered as GET is, without the body.
        Method::HEAD => "get",
        Method::GET => "get",
        Method::POST => "post",
        Method::DELETE => "delete",
        _ => return Needs::Viewer,
    };
    let mut methods = found.value.iter();
    methods
        .find(|(known, _)| *known == method)
        .map_or(Needs::Viewer, |(_, needs)| *needs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_may_do_what_is_in_one_table() {
        use Needs::{Anybody, Nothing, Operator, Proxy, ProxyOrOperator, Viewer};
        for (method, path, needs) in [
            ("GET", "/", Nothing),
            ("GET", "/page.js", Nothing),
            ("GET", "/health/ready", Nothing),
            ("GET", "/v1/rollouts", Viewer),
            ("HEAD", "/v1/rollouts", Viewer),
            ("POST", "/v1/rollouts", Operator),
            ("DELETE", "/v1/rollouts/r", Operator),
            ("POST", "/v1/rollouts/r/promote", Operator),
            ("POST", "/v1/rollouts/%2F/arms/a/drop", Operator),
            ("GET", "/v1/rollouts/r/decisions/1", Viewer),
            ("GET", "/v1/plan", ProxyOrOperator),
            ("POST", "/v1/reports", Proxy),
            ("POST", "/v1/samples", Proxy),
            ("GET", "/v1/session", Anybody),
            ("DELETE", "/v1/session", Nothing),
            ("POST", "/", Viewer),
            ("PUT", "/v1/rollouts", Viewer),
            ("GET", "/v1/nothing", Viewer),
            ("GET", "//health/ready", Viewer),
        ] {
            let method: Method = method.parse().unwrap();
            assert_eq!(of(&method, path), needs, "{method} {path}");
        }
        let stream = format!("{GRPC}StreamExtensionConfigs");
        assert_eq!(of(&Method::POST, &stream), Proxy);
    }

    #[test]
    fn whatever_changes_something_is_for_operators_and_proxies() {
        for route in routes::all() {
            for operation in route.operations {
                let (method, needs) = (operation.method(), operation.asks_for());
                let method: Method = method.to_uppercase().parse().unwrap();
                assert_eq!(of(&method, route.path), needs, "{}", route.path);
                let session = route.path == super::super::session::PATH;
                let looks = matches!(needs, Needs::Nothing | Needs::Anybody | Needs::Viewer);
                assert!(
                    method == Method::GET || session || !looks,
                    "{method} {}: {needs:?}",
                    route.path
                );
            }
        }
    }
}
