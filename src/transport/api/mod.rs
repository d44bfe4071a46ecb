//! The HTTP API for application servers: publishing, looking, and sending people away.
//!
//! Every call is made with a key, and the scope that it needs is checked before anything else is looked at: who lacks it learns
//! nothing, not even whether a user exists. Refusals are problems (`problem`).

mod block;
mod body;
mod control;
mod look;
mod problem;
mod publish;
mod why;

use salvo::http::header::AUTHORIZATION;
use salvo::writing::Json;
use salvo::{Depot, FlowCtrl, Handler, Request, Response, Router, async_trait};
use serde_json::Value;

use crate::auth::{authorize_api, may_use_room};
use crate::engine::Engine;
use crate::plan::{Api, ApiKey};
use crate::protocol::{Reject, RejectCode};
use crate::transport::method::taking;
use crate::transport::{Served, arrival};
use crate::vocab::{Parameters, RoomName, UserId};

pub(super) use problem::{NoSuchRoute, refuse};

/// What a call does.
#[derive(Clone, Copy, Debug)]
enum Route {
    /// `POST /api/rooms/{room}/messages`.
    PublishToRoom,
    /// `POST /api/users/{user}/messages`.
    PublishToUser,
    /// `GET /api/users/{user}`.
    User,
    /// `GET /api/rooms/{room}/members`.
    Members,
    /// `DELETE /api/users/{user}/connections`.
    DisconnectUser,
    /// `DELETE /api/connections/{connection}`.
    DisconnectConnection,
    /// `DELETE /api/rooms/{room}/members/{user}`.
    RemoveMember,
    /// `POST /api/blocks`.
    Block,
    /// `GET /api/blocks`.
    Blocks,
    /// `DELETE /api/blocks/{block}`.
    Unblock,
    /// `POST /api/why`.
    Why,
}

/// What a key has to be good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scope {
    Publish,
    Read,
    Disconnect,
}

impl Route {
    const fn scope(self) -> Scope {
        match self {
            Self::PublishToRoom | Self::PublishToUser => Scope::Publish,
            Self::User | Self::Members | Self::Why => Scope::Read,
            Self::DisconnectUser
            | Self::DisconnectConnection
            | Self::RemoveMember
            | Self::Block
            | Self::Blocks
            | Self::Unblock => Scope::Disconnect,
        }
    }
}

/// The API's routes.
pub(super) fn routes(served: &Served) -> Router {
    let handler = |route| ApiHandler {
        served: served.clone(),
        route,
    };
    let at = |path: &str| Router::with_path(path.to_owned());
    let read = |path, route| taking(at(path).get(handler(route)), "GET, OPTIONS");
    let post = |path, route| taking(at(path).post(handler(route)), "POST, OPTIONS");
    let delete = |path, route| taking(at(path).delete(handler(route)), "DELETE, OPTIONS");
    let blocks = at("blocks")
        .get(handler(Route::Blocks))
        .post(handler(Route::Block));
    Router::with_path("api")
        .push(post("rooms/{room}/messages", Route::PublishToRoom))
        .push(read("rooms/{room}/members", Route::Members))
        .push(delete("rooms/{room}/members/{user}", Route::RemoveMember))
        .push(read("users/{user}", Route::User))
        .push(post("users/{user}/messages", Route::PublishToUser))
        .push(delete("users/{user}/connections", Route::DisconnectUser))
        .push(delete(
            "connections/{connection}",
            Route::DisconnectConnection,
        ))
        .push(taking(blocks, "GET, POST, OPTIONS"))
        .push(delete("blocks/{block}", Route::Unblock))
        .push(post("why", Route::Why))
}

/// The handler of one route.
struct ApiHandler {
    served: Served,
    route: Route,
}

#[async_trait]
impl Handler for ApiHandler {
    async fn handle(
        &self,
        request: &mut Request,
        _: &mut Depot,
        response: &mut Response,
        _: &mut FlowCtrl,
    ) {
        match self.answer(request).await {
            Ok(answer) => response.render(Json(answer)),
            Err(reject) => problem::write(&reject, response),
        }
    }
}

impl ApiHandler {
    async fn answer(&self, request: &mut Request) -> Result<Value, Reject> {
        let plan = self.served.engine.plan().clone();
        let key = authorize(request, plan.server.api.as_ref())?;
        check_scope(key, self.route.scope())?;
        let call = Call {
            engine: &self.served.engine,
            key,
            query: arrival::query(request),
        };
        match self.route {
            Route::PublishToRoom => call.publish_to_room(request).await,
            Route::PublishToUser => call.publish_to_user(request).await,
            Route::User => call.user(request),
            Route::Members => call.members(request),
            Route::DisconnectUser => call.disconnect_user(request),
            Route::DisconnectConnection => call.disconnect_connection(request),
            Route::RemoveMember => call.remove_member(request),
            Route::Block => call.block(request).await,
            Route::Blocks => call.blocks(),
            Route::Unblock => call.unblock(request),
            Route::Why => call.why(request, &self.served.authenticator).await,
        }
    }
}

/// A call whose key has the scope.
struct Call<'a> {
    engine: &'a std::sync::Arc<Engine>,
    key: &'a ApiKey,
    query: Parameters,
}

impl Call<'_> {
    /// The room of the path, if the key may use it.
    fn room(&self, request: &Request) -> Result<RoomName, Reject> {
        let written = parameter(request, "room");
        let room = RoomName::parse(&written).map_err(|error| {
            let shown: String = written.chars().take(128).collect();
            let text = format!("`{shown}` is not a room's name: {error}");
            Reject::new(RejectCode::BadRoom, text)
        })?;
        if may_use_room(self.key, &room) {
            return Ok(room);
        }
        let text = format!("this key may not use `{room}`");
        Err(Reject::new(RejectCode::Forbidden, text))
    }

    /// The user of the path, wherever it is: not for keys that are bound to rooms.
    fn user_anywhere(&self, request: &Request) -> Result<UserId, Reject> {
        self.check_unbound()?;
        user(request)
    }

    /// A key that is bound to rooms does nothing that reaches beyond them.
    fn check_unbound(&self) -> Result<(), Reject> {
        if self.key.rooms.is_empty() {
            return Ok(());
        }
        let text = "this key is for rooms alone: it takes one without `rooms` to reach users";
        Err(Reject::new(RejectCode::Forbidden, text))
    }

    /// The number that the query has under `name`, at most `max`, which it is by default.
    fn limit(&self, max: usize) -> Result<usize, Reject> {
        let Some(written) = self.query.get("limit") else {
            return Ok(max);
        };
        match written.parse() {
            Ok(limit) if (1..=max).contains(&limit) => Ok(limit),
            _ => {
                let text = format!("`limit` is a number from 1 to {max}");
                Err(Reject::new(RejectCode::BadFrame, text))
            }
        }
    }
}

fn parameter(request: &Request, name: &str) -> String {
    request.param::<String>(name).unwrap_or_default()
}

/// The user of the path.
fn user(request: &Request) -> Result<UserId, Reject> {
    UserId::parse(&parameter(request, "user"))
        .map_err(|error| Reject::new(RejectCode::BadFrame, error.to_string()))
}

fn authorize<'p>(request: &Request, api: Option<&'p Api>) -> Result<&'p ApiKey, Reject> {
    let api = api.ok_or_else(|| {
        Reject::new(RejectCode::Internal, "internal error").cause("the API is off, but has a route")
    })?;
    let header = request
        .headers()
        .get(AUTHORIZATION)
        .and_then(|value| value.to_str().ok());
    authorize_api(api, header)
        .map_err(|error| Reject::new(RejectCode::Unauthenticated, error.to_string()))
}

fn check_scope(key: &ApiKey, scope: Scope) -> Result<(), Reject> {
    let (has, name) = match scope {
        Scope::Publish => (key.publish, "publish"),
        Scope::Read => (key.read, "read"),
        Scope::Disconnect => (key.disconnect, "disconnect"),
    };
    if has {
        return Ok(());
    }
    let text = format!("this key lacks the scope `{name}`");
    Err(Reject::new(RejectCode::Forbidden, text))
}
