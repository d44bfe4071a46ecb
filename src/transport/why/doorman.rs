//! Join tokens, verified for a question as the engine has them verified.

use crate::auth::{AuthError, Authenticator, RefusalKind};
use crate::decision::{Doorman, Opened, Target};
use crate::protocol::{Reject, RejectCode};
use crate::vocab::UserId;

impl Doorman for Authenticator {
    fn opens(&self, target: &Target, user: &UserId, tokens: &[Box<str>]) -> Opened {
        let (kind, room) = (&target.kind, target.name.as_str());
        let forbidden = |text: String| Opened::No(Reject::new(RejectCode::Forbidden, text));
        let mut outcome = None;
        for token in tokens {
            outcome = Some(self.open_join_token_now(kind, token, user, room));
            // One that is for another room says nothing about this one.
            if !matches!(outcome, Some(Some(Err(AuthError::JoinRoom)))) {
                break;
            }
        }
        match outcome {
            None => forbidden(format!("`{room}` is joined with a `token`")),
            Some(None) => {
                Opened::Unknown("the token's keys are fetched, and not here now".to_owned())
            }
            Some(Some(Err(error))) if error.kind() == RefusalKind::Unavailable => {
                Opened::Unknown(format!("{error}: this could not be told"))
            }
            Some(Some(Err(error))) => forbidden(match error.cause() {
                Some(cause) => format!("{error}: {cause}"),
                None => error.to_string(),
            }),
            Some(Some(Ok(grant))) => {
                let names = grant.audiences.as_ref();
                let named = names
                    .map(|names| kind.audiences_named(names.iter().map(|name| &**name)))
                    .transpose();
                named.map_or_else(forbidden, Opened::Yes)
            }
        }
    }
}
