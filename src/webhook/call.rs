//! One question to the application, and what its answer's status means.

use bytes::Bytes;

use crate::plan::HttpCall;
use crate::webhook::{ANSWER_BYTES_MAX, CallError, Client};

/// What the application said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// 2xx, and the body.
    Told(Bytes),
    /// 401 or 403.
    Refused,
}

/// Why there is no usable answer. Its text is for the log.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// None came.
    #[error(transparent)]
    Call(#[from] CallError),
    /// One came whose status says neither yes nor no: a redirect is one.
    #[error("the answer has the status {0}")]
    Status(u16),
    /// What came is not the JSON that is due.
    #[error("the answer is not as it has to be: {0}")]
    Nonsense(String),
    /// What came does not make sense for this question; others may fare better.
    #[error("the answer is of no use: {0}")]
    Unusable(String),
    /// Another kind of store cannot be asked.
    #[error("the look-up failed: {0}")]
    Store(String),
}

impl Fault {
    /// Whether it says that nobody else would fare better now: none came, or something in front of the application says so (502,
    /// 503, 504). A status such as 400 or 500, or an answer that is no JSON, does not: whoever knows credentials that the application
    /// stumbles over could otherwise keep everybody out.
    pub const fn is_outage(&self) -> bool {
        match self {
            Self::Call(CallError::Busy | CallError::Unsendable)
            | Self::Nonsense(_)
            | Self::Unusable(_) => false,
            Self::Call(_) | Self::Store(_) => true,
            Self::Status(status) => matches!(*status, 502..=504),
        }
    }
}

impl Client {
    /// Posts the JSON `question` as `call` says.
    ///
    /// # Errors
    /// There is no answer, or its status is neither 2xx nor 401 or 403.
    pub async fn ask(&self, call: &HttpCall, question: Bytes) -> Result<Reply, Fault> {
        let bearer = call
            .secret
            .as_ref()
            .map(|secret| format!("Bearer {}", secret.expose()));
        let header = bearer.as_deref().map(|bearer| ("authorization", bearer));
        let answer = self
            .post(
                &call.url,
                question,
                header.as_slice(),
                call.timeout,
                ANSWER_BYTES_MAX,
            )
            .await?;
        match answer.status {
            200..=299 => Ok(Reply::Told(answer.body)),
            401 | 403 => Ok(Reply::Refused),
            other => Err(Fault::Status(other)),
        }
    }
}
