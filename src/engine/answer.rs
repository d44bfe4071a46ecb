//! Frames that ask something or say something of the connection itself.

use std::sync::Arc;

use crate::engine::Engine;
use crate::engine::connection::Connection;
use crate::engine::membership::seat;
use crate::engine::pipeline::Refused;
use crate::engine::presence::{MEMBERS_PAGE_MAX, members_frame};
use crate::plan::RoomKind;
use crate::protocol::{
    ClientFrame, HistoryQuery, JoinFrame, MembersQuery, Object, Reject, RejectCode,
};
use crate::vocab::{Parameters, Seq};

const PAGE: u64 = 100;
const HISTORY_PAGE_MAX: usize = 1000;

impl Engine {
    /// Answers a frame that is no message.
    pub(super) fn answer(
        self: &Arc<Self>,
        connection: &Arc<Connection>,
        id: Option<&str>,
        frame: ClientFrame<'_>,
    ) -> Result<(), Refused> {
        match frame {
            ClientFrame::Ping => {
                connection.send(&Object::new("pong", 32).optional("id", id).finish());
                Ok(())
            }
            ClientFrame::Pong => Ok(()),
            ClientFrame::Join(JoinFrame { rooms, token }) => {
                let max = connection.endpoint.limits.rooms_per_connection;
                if rooms.len() > max {
                    return Err(Reject::new(
                        RejectCode::TooManyRooms,
                        format!("a connection may be in {max} rooms here"),
                    )
                    .into());
                }
                let (last, others) = match rooms.split_last() {
                    Some(split) => split,
                    None => return Ok(()),
                };
                // Each room is answered for itself: one that refuses does not keep the connection from the others.
                for (room, since) in others {
                    if let Err(refused) = self.join_by_frame(connection, (room, *since), None, id) {
                        self.refuse(connection, id, &refused);
                    }
                }
                self.join_by_frame(connection, (&last.0, last.1), token.as_deref(), id)
            }
            ClientFrame::Leave(room) => Ok(self.leave_by_frame(connection, &room, id)?),
            ClientFrame::Members(query) => Ok(self.members(connection, id, &query)?),
            ClientFrame::History(query) => Ok(self.history(connection, id, &query)?),
            ClientFrame::Received { room, seq } => {
                Ok(self.received(connection, id, room.as_deref(), seq)?)
            }
            ClientFrame::Token(token) => Ok(self.refresh(connection, id, &token)?),
            ClientFrame::State => Err(Reject::new(
                RejectCode::UnknownType,
                "no presence state is declared here",
            )
            .into()),
            ClientFrame::Message(_) => Err(Reject::new(RejectCode::Internal, "internal error")
                .cause("a message came to the answers")
                .into()),
        }
    }

    fn members(
        &self,
        connection: &Arc<Connection>,
        id: Option<&str>,
        query: &MembersQuery<'_>,
    ) -> Result<(), Reject> {
        let hall = seat(connection, &query.room)?;
        if !hall.kind.presence.members {
            return Err(Reject::new(
                RejectCode::Forbidden,
                format!("`{}` does not tell its members", hall.name),
            ));
        }
        let limit = usize::try_from(query.limit.unwrap_or(PAGE))
            .unwrap_or(MEMBERS_PAGE_MAX)
            .clamp(1, MEMBERS_PAGE_MAX);
        let frame = members_frame(
            "members",
            id,
            &hall,
            &hall.lock().room,
            query.after.as_deref(),
            limit,
        );
        connection.send(&frame);
        Ok(())
    }

    fn history(
        &self,
        connection: &Arc<Connection>,
        id: Option<&str>,
        query: &HistoryQuery<'_>,
    ) -> Result<(), Reject> {
        let hall = seat(connection, &query.room)?;
        let limit = usize::try_from(query.limit.unwrap_or(PAGE))
            .unwrap_or(HISTORY_PAGE_MAX)
            .clamp(1, HISTORY_PAGE_MAX);
        let page = if hall.kind.history.is_some() {
            let (now, audiences) = (self.clock.now(), connection.audiences_in(&hall));
            hall.lock().room.page(now, query.before, limit, audiences)
        } else {
            None
        };
        let Some(page) = page else {
            return Err(Reject::new(
                RejectCode::Forbidden,
                format!("`{}` keeps no history", hall.name),
            ));
        };
        // A page must not fill the reader's own queue: the oldest of it are left for the next.
        let mut left = connection.endpoint.limits.queue_bytes.len() / 2;
        let mut first = true;
        let fits = page.entries.iter().rev().take_while(|entry| {
            let len = entry.frame.payload().len() + 1;
            let fits = len <= left || std::mem::take(&mut first);
            first = false;
            left = left.saturating_sub(len);
            fits
        });
        let kept = fits.count();
        let entries = &page.entries[page.entries.len() - kept..];
        let frame = Object::new("history", 128)
            .optional("id", id)
            .field("room", hall.name.as_str())
            .json_list(
                "messages",
                entries.iter().map(|entry| entry.frame.payload()),
            )
            .field("more", &(page.more || kept < page.entries.len()))
            .finish();
        connection.send(&frame);
        Ok(())
    }

    fn received(
        &self,
        connection: &Arc<Connection>,
        id: Option<&str>,
        room: Option<&str>,
        seq: Seq,
    ) -> Result<(), Reject> {
        let hall = match room {
            Some(room) => seat(connection, room)?,
            None => {
                let inner = connection.inner.lock();
                let mut inboxes = inner.seats.iter().filter(|seat| seat.kind.inbox.is_some());
                match (inboxes.next(), inboxes.next()) {
                    (Some(seat), None) => seat.hall.clone(),
                    _ => {
                        return Err(Reject::new(
                            RejectCode::BadRoom,
                            "say with `room` which inbox you mean",
                        ));
                    }
                }
            }
        };
        if !self.owns_inbox(connection, &hall.kind, &hall.parameters) {
            return Err(Reject::new(
                RejectCode::Forbidden,
                format!("`{}` is not your inbox", hall.name),
            ));
        }
        let mut state = hall.lock();
        state
            .room
            .received(self.clock.now(), seq, connection.device());
        drop(state);
        if let Some(id) = id {
            connection.send(
                &Object::new("ack", 64)
                    .field("id", id)
                    .field("room", hall.name.as_str())
                    .finish(),
            );
        }
        Ok(())
    }

    /// Whether the room has an inbox, and the connection's user is whose it is.
    pub(super) fn owns_inbox(
        &self,
        connection: &Connection,
        kind: &RoomKind,
        parameters: &Parameters,
    ) -> bool {
        let Some(inbox) = &kind.inbox else {
            return false;
        };
        let user = connection.identity();
        let facts = crate::rule::Facts {
            params: Some(parameters),
            ..connection.facts(&user, self.clock.now(), self.clock.monotonic())
        };
        match inbox.owner.evaluate(&facts) {
            Ok(serde_json::Value::String(owner)) => owner == connection.user.id.as_str(),
            Ok(_) => false,
            Err(failure) => {
                tracing::warn!(room = %kind.pattern, %failure, "whose inbox this is could not be told");
                false
            }
        }
    }
}
