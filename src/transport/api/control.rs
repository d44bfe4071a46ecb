//! Sending people away: connections ended, members taken out of rooms. Each act is logged with the key's name.

use salvo::Request;
use serde_json::{Value, json};

use crate::protocol::{CloseCode, Farewell, Reject, RejectCode};
use crate::transport::api::{Call, parameter, user};
use crate::vocab::ConnectionId;

impl Call<'_> {
    /// `DELETE /api/users/{user}/connections?code=&reason=`.
    pub(super) fn disconnect_user(&self, request: &Request) -> Result<Value, Reject> {
        let user = self.user_anywhere(request)?;
        let farewell = self.farewell()?;
        let disconnected = self.engine.disconnect_user(&user, &farewell);
        tracing::info!(by = %self.key.name, %user, code = farewell.code().get(), disconnected, "a user was disconnected");
        Ok(json!({ "disconnected": disconnected }))
    }

    /// `DELETE /api/connections/{connection}?code=&reason=`.
    pub(super) fn disconnect_connection(&self, request: &Request) -> Result<Value, Reject> {
        self.check_unbound()?;
        let id = ConnectionId::parse(&parameter(request, "connection"))
            .map_err(|error| Reject::new(RejectCode::BadFrame, error.to_string()))?;
        let farewell = self.farewell()?;
        let disconnected = self.engine.disconnect_connection(id, &farewell);
        tracing::info!(by = %self.key.name, connection = ?id, code = farewell.code().get(), disconnected, "a connection was disconnected");
        Ok(json!({ "disconnected": disconnected }))
    }

    /// `DELETE /api/rooms/{room}/members/{user}`.
    pub(super) fn remove_member(&self, request: &Request) -> Result<Value, Reject> {
        let (room, user) = (self.room(request)?, user(request)?);
        let removed = self.engine.remove_member(room.as_str(), &user)?;
        tracing::info!(by = %self.key.name, %room, %user, removed, "a member was removed");
        Ok(json!({ "removed": removed }))
    }

    /// How the query says that connections end: with 4010, unless it has a `code`.
    fn farewell(&self) -> Result<Farewell, Reject> {
        let bad = |text: String| Reject::new(RejectCode::BadFrame, text);
        let code = match self.query.get("code") {
            None => CloseCode::Disconnected.as_u16(),
            Some(code) => code
                .parse()
                .map_err(|_| bad("`code` is a close code, such as 4010".to_owned()))?,
        };
        Farewell::new(code, self.query.get("reason")).map_err(|error| bad(error.to_string()))
    }
}
