//! Publishing: a message to a room or to a user.

use salvo::Request;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::engine::{Publication, Published};
use crate::protocol::{KEY_BYTES_MAX, Reject, RejectCode};
use crate::transport::api::{Call, body};
use crate::vocab::UserId;

#[derive(Deserialize)]
struct Body<'a> {
    #[serde(rename = "type")]
    name: String,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
    key: Option<String>,
}

impl Call<'_> {
    /// `POST /api/rooms/{room}/messages`.
    pub(super) async fn publish_to_room(&self, request: &mut Request) -> Result<Value, Reject> {
        let room = self.room(request)?;
        self.publish(request, |publication| {
            self.engine.publish_to_room(room.as_str(), publication)
        })
        .await
    }

    /// `POST /api/users/{user}/messages`.
    pub(super) async fn publish_to_user(&self, request: &mut Request) -> Result<Value, Reject> {
        let user = self.user_anywhere(request)?;
        self.publish(request, |publication| {
            self.engine.publish_to_user(user, publication)
        })
        .await
    }

    async fn publish(
        &self,
        request: &mut Request,
        publish: impl FnOnce(Publication<'_>) -> Result<Published, Reject>,
    ) -> Result<Value, Reject> {
        let header_key = idempotency_key(request)?;
        let body: Body<'_> = body::read(request, r#"{"type":…,"data":…,"key":…}"#).await?;
        if let Some(key) = &body.key
            && key.len() > KEY_BYTES_MAX
        {
            let text = format!("`key` has at most {KEY_BYTES_MAX} bytes");
            return Err(Reject::new(RejectCode::BadFrame, text));
        }
        let published = publish(Publication {
            key_name: &UserId::of_application(&self.key.name),
            name: &body.name,
            data: body.data.map_or("null", RawValue::get),
            key: body.key.as_deref().or(header_key.as_deref()),
        })?;
        let mut answer = json!({"message_id": published.message_id.to_string()});
        if let Some(seq) = published.seq {
            answer["seq"] = seq.get().into();
        }
        Ok(answer)
    }
}

fn idempotency_key(request: &Request) -> Result<Option<String>, Reject> {
    let Some(value) = request.headers().get("idempotency-key") else {
        return Ok(None);
    };
    match value.to_str() {
        Ok(key) if !key.is_empty() && key.len() <= KEY_BYTES_MAX => Ok(Some(key.to_owned())),
        _ => {
            let text = format!("Idempotency-Key is 1 to {KEY_BYTES_MAX} bytes of ASCII");
            Err(Reject::new(RejectCode::BadFrame, text))
        }
    }
}
