//! All handlers of a Plan, by path.

use std::sync::Arc;

use salvo::Router;
use salvo::serve_static::StaticDir;

use crate::plan::{Endpoint, Listener, Page};
use crate::transport::Served;
use crate::transport::api::{self, NoSuchRoute};
use crate::transport::endpoint::EndpointHandler;
use crate::transport::lobby::{LastAnswer, Lobby};
use crate::transport::operations::{Audience, NothingHere, Operation, OperationHandler};
use crate::vocab::Pattern;

/// What is served at `listener`, whose connections have their places in `lobby`. Endpoints come first, those with more literal segments before the others, as the Plan has them.
pub fn router(served: &Served, listener: &Listener, lobby: &Arc<Lobby>) -> Router {
    let plan = served.engine.plan().clone();
    let mut router = Router::with_hoop(LastAnswer(lobby.clone()));
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
        router = router.push(Router::with_path(path).get(OperationHandler {
            served: served.clone(),
            operation,
        }));
    }
    let serves = listener.serves;
    if serves.api && plan.server.api.is_some() {
        router = router.push(api::routes(served));
    }
    let endpoints = plan.endpoints.iter().filter(|_| serves.endpoints);
    for endpoint in endpoints {
        router = router.push(endpoint_router(served, endpoint));
    }
    for page in plan.pages.iter().filter(|_| serves.pages) {
        router = router.push(page_router(page));
    }
    if serves.api {
        router = router.push(Router::with_path("api/{**rest}").goal(NoSuchRoute));
    }
    router.push(Router::with_path("{**rest}").goal(NothingHere))
}

fn endpoint_router(served: &Served, endpoint: &Arc<Endpoint>) -> Router {
    let handler = EndpointHandler {
        served: served.clone(),
        endpoint: endpoint.clone(),
    };
    // Path parameters are ours to read: salvo only has to find the handler, and its syntax for `{name}` is the same.
    Router::with_path(path_of(&endpoint.path)).goal(handler)
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
    Router::with_path(path).get(files)
}
