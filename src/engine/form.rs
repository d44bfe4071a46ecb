//! The forms in which frames go out: JSON as it is made, texts by an endpoint's templates, raw frames as they came.

use bytes::Bytes;

use crate::engine::render;
use crate::plan::{Endpoint, Protocol, TextProtocol};
use crate::protocol::{Frame, FrameKind};

/// What a connection's frames look like on the wire.
#[derive(Clone, Copy, Debug)]
pub(super) enum Form<'p> {
    /// JSON frames.
    Json,
    /// Frames that passed unread.
    Raw,
    /// Texts, by the templates of this endpoint.
    Text(&'p TextProtocol),
}

impl<'p> Form<'p> {
    /// The form that connections of `endpoint` get.
    pub(super) const fn of(endpoint: &'p Endpoint) -> Self {
        match &endpoint.protocol {
            Protocol::Json | Protocol::EveryFrame(_) => Self::Json,
            Protocol::Raw(_) => Self::Raw,
            Protocol::Text(text) => Self::Text(text),
        }
    }

    /// The bytes of `frame` in this form; none where nothing of it is sent.
    pub(super) fn bytes(self, frame: &Frame) -> Option<Bytes> {
        let kind = match self {
            Self::Json => FrameKind::Json,
            Self::Raw => FrameKind::Raw,
            Self::Text(text) => {
                return render::render(text, frame).map(|frame| frame.bytes().clone());
            }
        };
        (frame.kind() == kind).then(|| frame.bytes().clone())
    }
}
