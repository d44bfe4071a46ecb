//! Keeping people out: users, tokens and addresses, each until a moment. Each act is logged with the key's name.

use std::net::IpAddr;

use salvo::Request;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::engine::{Block, BlockOrder, BlockTarget, PAGE_MAX, network};
use crate::protocol::websocket::REASON_BYTES_MAX;
use crate::protocol::{Reject, RejectCode};
use crate::transport::api::{Call, body, parameter};
use crate::vocab::{BlockId, Timestamp, TokenId, UserId};

#[derive(Deserialize)]
struct Body {
    user_id: Option<String>,
    token_id: Option<String>,
    ip: Option<String>,
    until: String,
    reason: Option<String>,
}

impl Call<'_> {
    /// `POST /api/blocks`.
    pub(super) async fn block(&self, request: &mut Request) -> Result<Value, Reject> {
        self.check_unbound()?;
        let shape = r#"{"user_id" | "token_id" | "ip":…,"until":…,"reason":…}"#;
        let body: Body = body::read(request, shape).await?;
        let order = BlockOrder {
            target: target(&body)?,
            until: self.until(&body.until)?,
            reason: reason(body.reason)?,
        };
        let (block, disconnected) = self.engine.block(order)?;
        tracing::info!(by = %self.key.name, block = %block.id, target = %block.order.target, until = %block.order.until, disconnected, "blocked");
        let mut answer = shown(&block);
        answer["disconnected"] = disconnected.into();
        Ok(answer)
    }

    /// `GET /api/blocks?after=&limit=`.
    pub(super) fn blocks(&self) -> Result<Value, Reject> {
        self.check_unbound()?;
        let after = match self.query.get("after") {
            Some(after) => Some(block_id(after)?),
            None => None,
        };
        let (blocks, more) = self.engine.blocks_page(after, self.limit(PAGE_MAX)?);
        let mut answer =
            json!({"blocks": blocks.iter().map(|block| shown(block)).collect::<Vec<_>>()});
        if let Some(last) = blocks.last().filter(|_| more) {
            answer["next"] = last.id.to_string().into();
        }
        Ok(answer)
    }

    /// `DELETE /api/blocks/{block}`.
    pub(super) fn unblock(&self, request: &Request) -> Result<Value, Reject> {
        self.check_unbound()?;
        let id = block_id(&parameter(request, "block"))?;
        let removed = self.engine.unblock(id);
        if let Some(block) = &removed {
            tracing::info!(by = %self.key.name, block = %id, target = %block.order.target, "unblocked");
        }
        Ok(json!({"removed": usize::from(removed.is_some())}))
    }

    fn until(&self, text: &str) -> Result<Timestamp, Reject> {
        let until = Timestamp::parse(text).map_err(|error| bad(format!("`until`: {error}")))?;
        if until > self.engine.clock().now() {
            return Ok(until);
        }
        Err(bad("`until` is over already"))
    }
}

fn bad(text: impl Into<std::borrow::Cow<'static, str>>) -> Reject {
    Reject::new(RejectCode::BadFrame, text)
}

fn target(body: &Body) -> Result<BlockTarget, Reject> {
    match (&body.user_id, &body.token_id, &body.ip) {
        (Some(user), None, None) => UserId::parse(user)
            .map(BlockTarget::User)
            .map_err(|error| bad(error.to_string())),
        (None, Some(token), None) => TokenId::parse(token)
            .map(BlockTarget::Token)
            .map_err(|error| bad(error.to_string())),
        (None, None, Some(ip)) => {
            let ip: IpAddr = ip
                .parse()
                .map_err(|_| bad("`ip` is an address, such as 203.0.113.7"))?;
            Ok(BlockTarget::Address(ip.to_canonical()))
        }
        _ => Err(bad("a block names one of `user_id`, `token_id` and `ip`")),
    }
}

fn reason(text: Option<String>) -> Result<Option<Box<str>>, Reject> {
    match text {
        Some(text) if text.len() > REASON_BYTES_MAX => {
            let len = text.len();
            let text =
                format!("`reason` has at most {REASON_BYTES_MAX} bytes, and this one has {len}");
            Err(bad(text))
        }
        text => Ok(text.map(String::into_boxed_str)),
    }
}

fn block_id(text: &str) -> Result<BlockId, Reject> {
    BlockId::parse(text).map_err(|error| bad(error.to_string()))
}

fn shown(block: &Block) -> Value {
    let mut shown = json!({"id": block.id.to_string()});
    match &block.order.target {
        BlockTarget::User(user) => shown["user_id"] = user.as_str().into(),
        BlockTarget::Token(token) => shown["token_id"] = token.as_str().into(),
        BlockTarget::Address(address) => shown["ip"] = network(*address).into(),
    }
    shown["until"] = block.order.until.to_string().into();
    if let Some(reason) = &block.order.reason {
        shown["reason"] = (**reason).into();
    }
    shown
}
