//! A message's way: decoded → rate limits → `allow` → schema → `sanitize` → stored and numbered → delivered → answered.
//!
//! Each step takes only what the one before it hands out, so that none can be left out: [`Decoded`] → [`Admitted`] →
//! [`Permitted`] → [`Fit`] → [`Valid`]. What the application publishes over HTTP goes the same way with another [`Origin`].

use std::borrow::Cow;
use std::sync::Arc;

use crate::decision::{self, Target};
use crate::engine::connection::Connection;
use crate::engine::data::{Data, reads};
use crate::engine::limit::{Exceeded, Subject};
use crate::engine::{Engine, Hall};
use crate::plan::{Message, RateKey, RateLimit};
use crate::protocol::{Reject, RejectCode};
use crate::room::Outcome;
use crate::rule::{Facts, RoomFacts};
use crate::vocab::json::DEPTH_MAX;
use crate::vocab::{Monotonic, Parameters, RoomName, Timestamp, User, UserId};

/// Whose message it is.
#[derive(Clone, Copy)]
pub(super) enum Origin<'a> {
    /// A client's.
    Client(&'a Arc<Connection>),
    /// The application's, with the name of its API key as a user id for idempotency.
    Application(&'a UserId),
}

impl Origin<'_> {
    pub(super) fn key_owner(&self) -> &UserId {
        match self {
            Self::Client(connection) => &connection.user.id,
            Self::Application(name) => name,
        }
    }
}

/// Where a message was sent.
#[derive(Clone)]
pub(super) enum Place {
    /// To the endpoint.
    Endpoint,
    /// To a room that its sender is in.
    Seat(Arc<Hall>),
    /// To a room, by the application.
    Room(Target),
    /// To every connection of a user, by the application.
    User(UserId),
}

impl Place {
    pub(super) fn room(&self) -> Option<(&RoomName, &Parameters)> {
        match self {
            Self::Seat(hall) => Some((&hall.name, &hall.parameters)),
            Self::Room(target) => Some((&target.name, &target.parameters)),
            Self::Endpoint | Self::User(_) => None,
        }
    }
}

/// A message whose type and place are known.
pub(super) struct Decoded<'a> {
    pub(super) origin: Origin<'a>,
    pub(super) id: Option<Cow<'a, str>>,
    pub(super) key: Option<Cow<'a, str>>,
    pub(super) message: Arc<Message>,
    pub(super) place: Place,
    /// The data as it came, or as `sanitize` left it; JSON only once it is [`Admitted`]'s turn to say so.
    pub(super) data: Cow<'a, str>,
    /// The data, where it has been read already.
    pub(super) read: Option<Data>,
    /// Bytes of the frame that brought it, or of the data where none did.
    pub(super) bytes: usize,
}

/// A message for which there was a token in every bucket, with its data read.
pub(super) struct Admitted<'a> {
    pub(super) decoded: Decoded<'a>,
    data: Data,
    /// Its sender, where that is a client.
    pub(super) user: Option<Arc<User>>,
    /// The data as it came, where `sanitize` changed it.
    sent: Option<Cow<'a, str>>,
    /// How many users the room had, where a rule or an expression may ask.
    users_count: usize,
    /// When it came: rules, the store and the frame say the same.
    pub(super) now: Timestamp,
    monotonic: Monotonic,
}

/// A message that its sender may send.
pub(super) struct Permitted<'a>(Admitted<'a>);

/// A message whose data fits its schema as it came.
pub(super) struct Fit<'a>(Admitted<'a>);

/// A message that may be delivered: its data is clean, and fits its schema as it is now.
pub(super) struct Valid<'a>(pub(super) Admitted<'a>);

impl Admitted<'_> {
    /// The data as it came: what tells whether the same was sent again.
    pub(super) fn sent(&self) -> &str {
        self.sent.as_ref().unwrap_or(&self.decoded.data)
    }
}

impl Engine {
    /// The whole way.
    pub(super) fn run(self: &Arc<Self>, decoded: Decoded<'_>) -> Result<Outcome, Refused> {
        self.metrics.messages_received[decoded.message.index].inc();
        let admitted = self.admit_message(decoded)?;
        let permitted = self.permit(admitted)?;
        let valid = sanitize(validate(permitted)?)?;
        self.dispatch(&valid)
    }

    fn admit_message<'a>(&self, mut decoded: Decoded<'a>) -> Result<Admitted<'a>, Refused> {
        let monotonic = self.clock.monotonic();
        self.spend(&decoded, monotonic).map_err(Refused::TooFast)?;
        // Behind the limits: who tries again and again pays for it.
        self.ceiling.check_message()?;
        let reads = reads(&decoded.message);
        let data = read_data(&mut decoded)?;
        data.prepare(reads);
        // Counted now: a reply is made while the room is locked.
        let users_count = if reads.users_count {
            self.users_count(&decoded.place)
        } else {
            0
        };
        let user = match &decoded.origin {
            Origin::Client(connection) => Some(connection.identity()),
            Origin::Application(_) => None,
        };
        Ok(Admitted {
            user,
            decoded,
            data,
            sent: None,
            users_count,
            now: self.clock.now(),
            monotonic,
        })
    }

    /// Takes a token from each bucket of the endpoint and of the type.
    fn spend(&self, decoded: &Decoded<'_>, now: Monotonic) -> Result<(), Exceeded> {
        let message = &decoded.message;
        let room = decoded.place.room().map(|(name, _)| name);
        let Origin::Client(connection) = decoded.origin else {
            // The key's scopes stand in for the limits of users and connections, not for those of rooms, types and the server.
            let applies = |limit: &&Arc<RateLimit>| {
                matches!(limit.per, RateKey::Room | RateKey::Type | RateKey::Server)
            };
            let limits = message.rate_limits.iter().filter(applies);
            let subject = Subject {
                room,
                message: Some(message.index),
                bytes: decoded.bytes,
                ..Subject::default()
            };
            return self.limits.spend_at(now, limits, subject, None);
        };
        let endpoint = &connection.endpoint;
        let subject = Subject {
            room,
            message: Some(message.index),
            ..Subject::asking(connection, decoded.bytes)
        };
        if endpoint.message_limits.is_empty() && message.rate_limits.is_empty() {
            return Ok(());
        }
        let mut inner = connection.inner.lock();
        let own = &mut inner.buckets;
        self.limits
            .spend_at(now, &endpoint.message_limits, subject, Some(own))?;
        // A bucket that the endpoint cites too has given its token.
        let is_spent = |limit: &Arc<RateLimit>| {
            let mut spent = endpoint.message_limits.iter();
            spent.any(|spent| spent.index == limit.index)
        };
        let limits = message.rate_limits.iter().filter(|limit| !is_spent(limit));
        self.limits.spend_at(now, limits, subject, Some(own))
    }

    fn permit<'a>(&self, admitted: Admitted<'a>) -> Result<Permitted<'a>, Refused> {
        let Decoded {
            origin, message, ..
        } = &admitted.decoded;
        let Origin::Client(_) = origin else {
            return Ok(Permitted(admitted));
        };
        decision::is_allowed(self, message, || self.facts(&admitted))?;
        Ok(Permitted(admitted))
    }

    pub(super) fn facts<'a>(&self, admitted: &'a Admitted<'_>) -> Facts<'a> {
        let decoded = &admitted.decoded;
        let now = admitted.now;
        let base = match (&decoded.origin, &admitted.user) {
            (Origin::Client(connection), Some(user)) => {
                connection.facts(user, now, admitted.monotonic)
            }
            _ => Facts::at(now),
        };
        let room = decoded.place.room();
        Facts {
            sender: admitted.user.as_deref(),
            params: room.map(|(_, parameters)| parameters),
            room: room.map(|(name, _)| RoomFacts {
                name: name.as_str(),
                users_count: admitted.users_count,
            }),
            data: Some(admitted.data.facts()),
            ..base
        }
    }

    fn users_count(&self, place: &Place) -> usize {
        let count = |hall: &Hall| hall.lock().room.members.users_count();
        match place {
            Place::Seat(hall) => count(hall),
            Place::Room(target) => self
                .rooms
                .find(target.name.as_str())
                .map_or(0, |hall| count(&hall)),
            Place::Endpoint | Place::User(_) => 0,
        }
    }
}

/// Why a message goes no further.
#[derive(Debug)]
pub(super) enum Refused {
    /// The sender is told so.
    Reject(Reject),
    /// What happens is the limit's to say.
    TooFast(Exceeded),
}

impl From<Reject> for Refused {
    fn from(reject: Reject) -> Self {
        Self::Reject(reject)
    }
}

/// `rate_limited`, with the time to wait.
pub(super) fn too_fast(exceeded: &Exceeded) -> Reject {
    Reject::new(RejectCode::RateLimited, "too fast").retry_after(exceeded.wait)
}

/// The data, if it is JSON that is taken here.
fn read_data(decoded: &mut Decoded<'_>) -> Result<Data, Refused> {
    let Decoded { message, data, .. } = decoded;
    decision::size_fits(message, data.len())?;
    if let Some(read) = decoded.read.take() {
        return Ok(read);
    }
    let depth = match decoded.origin {
        Origin::Client(connection) => connection.endpoint.limits.depth,
        Origin::Application(_) => DEPTH_MAX,
    };
    let mut read = Data::blank();
    decision::read(read.tape_mut(), data, depth)?;
    Ok(read)
}

fn validate(permitted: Permitted<'_>) -> Result<Fit<'_>, Refused> {
    let admitted = permitted.0;
    decision::fits(&admitted.decoded.message, admitted.data.tape())?;
    Ok(Fit(admitted))
}

fn sanitize(fit: Fit<'_>) -> Result<Valid<'_>, Refused> {
    let mut admitted = fit.0;
    if admitted.decoded.message.sanitize.is_empty() {
        return Ok(Valid(admitted));
    }
    let decoded = &mut admitted.decoded;
    let message = decoded.message.clone();
    let endpoint_max = match decoded.origin {
        Origin::Client(connection) => Some(connection.endpoint.limits.message_size),
        Origin::Application(_) => None,
    };
    let Some(clean) = decision::cleaned(&message, &decoded.data, endpoint_max)? else {
        return Ok(Valid(admitted));
    };
    // The data as it came keeps the thread's tape.
    let mut read = Data::blank();
    read.tape_mut().read(&clean, DEPTH_MAX).map_err(|error| {
        Reject::new(RejectCode::Internal, "internal error")
            .cause(format!("sanitized data of `{}`: {error}", message.name))
    })?;
    admitted.data = read;
    admitted.data.prepare(reads(&message));
    admitted.sent = Some(std::mem::replace(&mut decoded.data, Cow::Owned(clean)));
    decision::fits_sanitized(&message, admitted.data.tape())?;
    Ok(Valid(admitted))
}
