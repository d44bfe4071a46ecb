//! All handlers of a Plan, by path.

use std::sync::Arc;

use salvo::Router;
use salvo::serve_static::StaticDir;

use crate::plan::{Api, Endpoint, Listener, Page};
use crate::transport::Served;
use crate::transport::api;
use crate::transport::cors::Cors;
use crate::transport::endpoint::EndpointHandler;
use crate::transport::headers::{PageHeaders, TextHeaders};
use crate::transport::host::HostGuard;
use crate::transport::lobby::{LastAnswer, Lobby};
use crate::transport::method::readable;
use crate::transport::operations::{Audience, NothingHere, Operation, OperationHandler};
use crate::vocab::Pattern;

/// What is served at `listener`, whose connections have their places in `lobby`. Endpoints come first, those with more literal segments before the others, as the Plan has them.
pub fn router(served: &Served, listener: &Listener, lobby: &Arc<Lobby>) -> Router {
    let plan = served.engine.plan().clone();
    let mut router = Router::with_hoop(LastAnswer(lobby.clone())).hoop(HostGuard {
        hosts: plan.server.hosts.clone(),
    });
    let metrics = Operation::Metrics(if listener.metrics_for_all {
        Audience::All
    } else if listener.proxy_protocol {
        Audience::Nobody
    } else {
        Audience::ThisMachine
    });
    for (path, operation) in [
        ("healthz", Operation::Health),
        ("readyz", Operation::Ready),
        ("metrics", metrics),
    ] {
        let handler = OperationHandler {
            served: served.clone(),
            operation,
        };
        router = router.push(readable(path, handler).hoop(TextHeaders));
    }
    let serves = listener.serves;
    let api = plan.server.api.as_ref().filter(|_| serves.api);
    if let Some(api) = api {
        router = router.push(of_api(api::routes(served), api));
        router = router.push(of_api(no_such_route(), api));
    }
    if plan.server.api.is_some() && !serves.api {
        // What is below the API's path is no page's either.
        let elsewhere = Router::with_path("api/{**rest}").goal(NothingHere);
        router = router.push(elsewhere.hoop(TextHeaders));
    }
    for endpoint in plan.endpoints.iter().filter(|_| serves.endpoints) {
        router = router.push(endpoint_router(served, endpoint));
    }
    for page in plan.pages.iter().filter(|_| serves.pages) {
        router = router.push(page_router(page));
    }
    if serves.api {
        router = router.push(no_such_route().hoop(TextHeaders));
    }
    router.push(
        Router::with_path("{**rest}")
            .hoop(TextHeaders)
            .goal(NothingHere),
    )
}

fn no_such_route() -> Router {
    Router::with_path("api/{**rest}").goal(api::NoSuchRoute)
}

/// A route of the HTTP API, with what all of them have.
fn of_api(route: Router, api: &Api) -> Router {
    let route = route.hoop(TextHeaders);
    match &api.cors {
        Some(origins) => route.hoop(Cors(origins.clone())),
        None => route,
    }
}

fn endpoint_router(served: &Served, endpoint: &Arc<Endpoint>) -> Router {
    let handler = EndpointHandler {
        served: served.clone(),
        endpoint: endpoint.clone(),
    };
    // Path parameters are ours to read: salvo only has to find the handler, and its syntax for `{name}` is the same.
    Router::with_path(path_of(&endpoint.path))
        .hoop(TextHeaders)
        .goal(handler)
}

fn path_of(pattern: &Pattern) -> String {
    pattern.as_str().trim_start_matches('/').to_owned()
}

fn page_router(page: &Page) -> Router {
    let files = StaticDir::new([page.folder.clone()]).defaults("index.html");
    let prefix = page.path.trim_matches('/');
    let path = if prefix.is_empty() {
        "{**path}".to_owned()
    } else {
        format!("{prefix}/{{**path}}")
    };
    readable(&path, files).hoop(PageHeaders::of(page))
}
