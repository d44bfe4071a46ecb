//! Why somebody is let in, or not: a handshake, and what may follow it, asked step by step instead of done.
//!
//! [`explain`] goes the way of an endpoint's handler and of the frames behind it, with the same functions. It is asked of a file
//! alone by the command line and of a running server by `POST /api/why`; the network is asked by neither.

mod doorman;
mod identity;
mod question;

use std::net::IpAddr;

use salvo::Request;
use salvo::http::header::{HOST, HeaderValue, ORIGIN};

use crate::auth::Authenticator;
use crate::decision::{
    Explanation, Inquiry, Sending, Step, Surroundings, Target, Telling, Verdict, Visitor,
};
use crate::plan::{Clause, Endpoint, Plan};
use crate::protocol::{Reject, RejectCode};
use crate::transport::arrival;
use crate::transport::origin::{self, OriginRefusal, Site};
use crate::vocab::{ConnectionId, Parameters, Timestamp};

pub use question::{Act, Question, QuestionError, Who};

/// What a question is answered with.
#[derive(Clone, Copy)]
pub struct Answering<'a> {
    /// What is decided by.
    pub plan: &'a Plan,
    /// Who checks credentials.
    pub authenticator: &'a Authenticator,
    /// How things stand.
    pub around: &'a dyn Surroundings,
    /// The moment.
    pub now: Timestamp,
}

/// A handshake that is not made.
struct Knock<'a> {
    question: &'a Question,
    endpoint: &'a std::sync::Arc<Endpoint>,
    path: Parameters,
    query: Parameters,
    ip: IpAddr,
    id: ConnectionId,
}

/// Each step of what `question` asks for, up to the first that refuses.
pub async fn explain(answering: &Answering<'_>, question: &Question) -> Explanation {
    let mut inquiry = Inquiry::new(answering.plan, answering.around, answering.authenticator);
    // Whoever refuses has said so.
    let _ = walk(answering, question, &mut inquiry).await;
    inquiry.trail.finish()
}

async fn walk(
    answering: &Answering<'_>,
    question: &Question,
    inquiry: &mut Inquiry<'_>,
) -> Option<()> {
    let knock = knock(answering.plan, question, inquiry)?;
    inquiry.knocking(knock.endpoint, knock.ip)?;
    check_origin(answering.plan, &knock, inquiry)?;
    inquiry.arriving(knock.endpoint, knock.ip)?;
    let identity = identity::identify(answering, &knock, inquiry).await?;
    let harmless = arrival::harmless(&knock.query, knock.endpoint);
    let query_tokens = arrival::join_tokens(&knock.query, knock.endpoint);
    let visitor = Visitor {
        endpoint: knock.endpoint,
        user: &identity.user,
        path: &knock.path,
        query: &harmless,
        query_tokens: &query_tokens,
        frame_tokens: question.join_token.as_slice(),
        ip: knock.ip,
        id: knock.id,
        now: answering.now,
    };
    let mut rooms = inquiry.connecting(&visitor)?;
    match &question.act {
        Act::Connect => Some(()),
        Act::Join(room) => inquiry.joining(&visitor, &rooms, room).map(|_| ()),
        Act::Send { name, room, data } => {
            if let Some(room) = room {
                join_before(&visitor, &mut rooms, room, inquiry)?;
            }
            let sending = Sending {
                name,
                room: room.as_deref(),
                data,
            };
            inquiry.sending(&visitor, &rooms, &sending)
        }
    }
}

/// Who sends to a room has to be in it: one that is not an automatic one has to be joined first.
fn join_before(
    visitor: &Visitor<'_>,
    rooms: &mut Vec<Target>,
    room: &str,
    inquiry: &mut Inquiry<'_>,
) -> Option<()> {
    if rooms.iter().all(|known| known.name.as_str() != room) {
        rooms.push(inquiry.joining(visitor, rooms, room)?);
    }
    let detail = "in this room a connection of the user is once it has come so far";
    inquiry
        .trail
        .take(Step::new("joined", room).detail(detail), &[])
}

/// The endpoint that has the question's path.
fn knock<'a>(
    plan: &'a Plan,
    question: &'a Question,
    inquiry: &mut Inquiry<'_>,
) -> Option<Knock<'a>> {
    let (path, query) = match question.endpoint.split_once('?') {
        Some((path, query)) => (path, query),
        None => (&*question.endpoint, ""),
    };
    let mut endpoints = plan.endpoints.iter();
    let found = endpoints.find_map(|endpoint| Some((endpoint, endpoint.path.matches(path)?)));
    let step = Step::new("endpoint", path);
    let Some((endpoint, parameters)) = found else {
        let paths = plan.endpoints.iter().take(8);
        let paths: Vec<String> = paths
            .map(|endpoint| format!("`{}`", endpoint.path))
            .collect();
        let detail = format!("no endpoint has this path; there are {}", paths.join(", "));
        inquiry
            .trail
            .take(step.refused_with(404).detail(detail), &[]);
        return None;
    };
    let clauses = [Clause::new("endpoints", endpoint.path.as_str(), "")];
    let step = step.detail(format!("it is one of `{}`", endpoint.path));
    inquiry.trail.take(step, &clauses)?;
    let written = form_urlencoded::parse(query.as_bytes())
        .map(|(name, value)| (name.into_owned(), value.into_owned()));
    let query = written.chain(question.query.iter().cloned()).collect();
    Some(Knock {
        question,
        endpoint,
        path: parameters,
        query,
        ip: question.ip,
        id: ConnectionId::from_random(0),
    })
}

/// Whether pages of the question's origin may connect.
fn check_origin(plan: &Plan, knock: &Knock<'_>, inquiry: &mut Inquiry<'_>) -> Option<()> {
    let origins = &knock.endpoint.origins;
    let clauses = [Clause::new(
        "endpoints",
        knock.endpoint.path.as_str(),
        "origins",
    )];
    let Some(origin) = &knock.question.origin else {
        let step = Step::new("origin", "");
        let detail = "no `Origin`: the request does not come from a page in a browser";
        return inquiry.trail.take(step.detail(detail), &clauses);
    };
    let step = Step::new("origin", origin.as_str());
    let refused = match asked(knock, origin) {
        Some(request) => origin::check(&request, origins, Site::of(&plan.server)).err(),
        None => Some(OriginRefusal::Malformed),
    };
    let Some(refused) = refused else {
        return inquiry.trail.take(step, &clauses);
    };
    if origins.same && knock.question.host.is_none() {
        let detail = "`same-origin` depends on the `Host` of the request, which the question does not say: add it";
        let step = step.verdict(Verdict::Unknown).detail(detail);
        return inquiry.trail.take(step, &clauses);
    }
    let reject = Reject::new(RejectCode::Forbidden, refused.to_string());
    inquiry
        .trail
        .demand(step, &clauses, Telling::Status, Err(reject))
}

/// A request of a page of `origin`; none where no header can hold that.
fn asked(knock: &Knock<'_>, origin: &str) -> Option<Request> {
    let mut request = Request::default();
    *request.remote_addr_mut() = std::net::SocketAddr::from((knock.ip, 0)).into();
    for (name, value) in [
        (ORIGIN, Some(origin)),
        (HOST, knock.question.host.as_deref()),
    ] {
        if let Some(value) = value {
            let value = HeaderValue::from_str(value).ok()?;
            request.headers_mut().insert(name, value);
        }
    }
    Some(request)
}
