//! `POST /api/why`: what somebody may do now, step by step. Nothing is done.

use salvo::Request;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::auth::Authenticator;
use crate::protocol::{Reject, RejectCode};
use crate::transport::api::{Call, body};
use crate::transport::why::{Answering, Question, explain};

impl Call<'_> {
    /// The question is answered with how things stand, so it is for keys that may see all of that.
    pub(super) async fn why(
        &self,
        request: &mut Request,
        authenticator: &Authenticator,
    ) -> Result<Value, Reject> {
        self.check_unbound()?;
        let shape = r#"{"endpoint":…,"token" | "user":…,"join" | "send":…}"#;
        let text: &RawValue = body::read(request, shape).await?;
        let question = Question::read(text.get())
            .map_err(|error| Reject::new(RejectCode::BadFrame, error.to_string()))?;
        let answering = Answering {
            plan: self.engine.plan(),
            authenticator,
            around: &**self.engine,
            now: self.engine.clock().now(),
        };
        Ok(explain(&answering, &question).await.to_json())
    }
}
