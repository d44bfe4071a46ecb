//! From an HTTP request to a WebSocket's bare socket (RFC 6455 §4.2).
//!
//! [`UpgradeRequest::read`] checks what the client asked for; who it is and whether it may come in is decided between that and
//! [`UpgradeRequest::accept`], which answers 101. Then [`Upgrading::finish`] gives the socket and that answer, to be written
//! with the first frame, with nothing of HTTP left around it: no buffer, no task, no limit. Whatever ends the connection from here on is the caller's.

use bytes::Bytes;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use salvo::conn::ConnCtrl;
use salvo::http::header::{
    ALLOW, AsHeaderName, CONNECTION, CONTENT_LENGTH, HeaderMap, HeaderValue, SEC_WEBSOCKET_ACCEPT,
    SEC_WEBSOCKET_EXTENSIONS, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION,
    TRANSFER_ENCODING, UPGRADE,
};
use salvo::http::{Method, StatusCode, Version};
use salvo::writing::Text;
use salvo::{Request, Response};

use crate::protocol::websocket::{ClientKey, Deflation, VERSION, VersionOffer, has_token, tokens};
use crate::transport::stream::HttpStream;
use crate::transport::wire::Socket;

/// A request that may be answered with 101.
#[derive(Debug)]
pub struct UpgradeRequest {
    key: ClientKey,
    on_upgrade: OnUpgrade,
    connection: ConnCtrl,
}

/// Why a request is not one for a WebSocket, in the words that the client gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UpgradeRefusal {
    /// RFC 6455 §4.2.1, 1.
    #[error("a WebSocket is opened with GET")]
    Method,
    /// RFC 6455 §4.2.1, 1.
    #[error("a WebSocket is opened with HTTP/1.1")]
    HttpVersion,
    /// RFC 6455 §4.2.1, 3 and 4.
    #[error("this is a WebSocket: `Connection: Upgrade` and `Upgrade: websocket` are missing")]
    NotAnUpgrade,
    /// RFC 6455 §4.2.1, 6, and §4.4.
    #[error("Sec-WebSocket-Version has to be 13")]
    WebSocketVersion,
    /// RFC 6455 §4.2.1, 5.
    #[error("Sec-WebSocket-Key has to be 16 bytes in base64, once")]
    Key,
    /// What follows the head would belong to the request by HTTP and to the WebSocket by RFC 6455: smuggling starts that way.
    #[error("a request that opens a WebSocket has no body")]
    Body,
    /// The server that the request came through does not offer upgrades, or this one was taken already.
    #[error("this connection cannot be upgraded")]
    Unavailable,
}

/// What is agreed with a 101, beside that the connection is a WebSocket (RFC 6455 §4.2.2).
#[derive(Debug, Default)]
pub struct Agreement {
    /// The subprotocol that was chosen among [`offered_subprotocols`].
    pub subprotocol: Option<HeaderValue>,
    /// Compression, as [`offered_deflation`] can be kept.
    pub deflation: Option<Deflation>,
}

/// The answer is 101 and the socket will be free once the handler has returned.
#[derive(Debug)]
#[must_use = "the socket closes with it"]
pub struct Upgrading(OnUpgrade);

/// A WebSocket after its handshake.
pub struct Upgraded {
    /// The socket.
    pub stream: Socket,
    /// The answer 101: to be written first, with what comes next.
    pub answer: Bytes,
    /// What the client sent along with its request: to be decoded first.
    pub already_read: Bytes,
}

/// The 101 did not lead to a WebSocket.
#[derive(Debug, thiserror::Error)]
pub enum UpgradeError {
    /// The connection was closed before it was a WebSocket.
    #[error("the connection ended within the handshake: {0}")]
    Ended(hyper::Error),
    /// The request came through another acceptor than [`super::acceptor::SocketAcceptor`].
    #[error("the upgraded connection is not one of our sockets")]
    NotOurs,
}

impl UpgradeRequest {
    /// Checks the request, and takes the right to upgrade out of it (RFC 6455 §4.2.1).
    ///
    /// # Errors
    /// What is wrong with it, to be told to the client by [`UpgradeRefusal::write`].
    pub fn read(request: &mut Request) -> Result<Self, UpgradeRefusal> {
        let key = check(request)?;
        let extensions = request.extensions_mut();
        let on_upgrade = extensions.remove::<OnUpgrade>();
        let connection = extensions.get::<ConnCtrl>().cloned();
        let (Some(on_upgrade), Some(connection)) = (on_upgrade, connection) else {
            return Err(UpgradeRefusal::Unavailable);
        };
        Ok(Self {
            key,
            on_upgrade,
            connection,
        })
    }

    /// Answers 101, and with it agrees (RFC 6455 §4.2.2).
    pub fn accept(self, response: &mut Response, agreement: Agreement) -> Upgrading {
        // From now on the stream keeps back what is written: the answer.
        self.connection.relax_timeouts();
        response.status_code(StatusCode::SWITCHING_PROTOCOLS);
        let headers = response.headers_mut();
        headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
        if let Ok(accept) = HeaderValue::try_from(self.key.accept()) {
            headers.insert(SEC_WEBSOCKET_ACCEPT, accept);
        }
        if let Some(subprotocol) = agreement.subprotocol {
            headers.insert(SEC_WEBSOCKET_PROTOCOL, subprotocol);
        }
        let extension = agreement.deflation.map(|deflation| deflation.to_string());
        if let Some(Ok(extension)) = extension.map(HeaderValue::try_from) {
            headers.insert(SEC_WEBSOCKET_EXTENSIONS, extension);
        }
        Upgrading(self.on_upgrade)
    }
}

/// The subprotocols that the client offers, the best first (RFC 6455 §4.1, Sec-WebSocket-Protocol).
pub fn offered_subprotocols(request: &Request) -> impl Iterator<Item = &str> {
    tokens(values(request.headers(), SEC_WEBSOCKET_PROTOCOL))
}

/// The client's first offer of permessage-deflate that can be kept (RFC 6455 §9.1, RFC 7692 §5.1).
pub fn offered_deflation(request: &Request) -> Option<Deflation> {
    Deflation::negotiate(values(request.headers(), SEC_WEBSOCKET_EXTENSIONS))
}

fn check(request: &Request) -> Result<ClientKey, UpgradeRefusal> {
    let headers = request.headers();
    if *request.method() != Method::GET {
        return Err(UpgradeRefusal::Method);
    }
    if request.version() != Version::HTTP_11 {
        return Err(UpgradeRefusal::HttpVersion);
    }
    if !has_token(values(headers, CONNECTION), "upgrade")
        || !has_token(values(headers, UPGRADE), "websocket")
    {
        return Err(UpgradeRefusal::NotAnUpgrade);
    }
    if VersionOffer::parse(values(headers, SEC_WEBSOCKET_VERSION)) == VersionOffer::Unsupported {
        return Err(UpgradeRefusal::WebSocketVersion);
    }
    let has_length = values(headers, CONTENT_LENGTH).any(|length| length != b"0");
    if has_length || headers.contains_key(TRANSFER_ENCODING) {
        return Err(UpgradeRefusal::Body);
    }
    let mut keys = values(headers, SEC_WEBSOCKET_KEY);
    match (keys.next().and_then(ClientKey::parse), keys.next()) {
        (Some(key), None) => Ok(key),
        _ => Err(UpgradeRefusal::Key),
    }
}

fn values(headers: &HeaderMap, name: impl AsHeaderName) -> impl Iterator<Item = &[u8]> {
    headers.get_all(name).iter().map(HeaderValue::as_bytes)
}

impl UpgradeRefusal {
    /// Answers the request with what is wrong, and with what would be right (RFC 6455 §4.2.2, §4.4; RFC 9110 §15.5.22).
    pub fn write(self, response: &mut Response) {
        let (status, hint) = match self {
            Self::Method => (StatusCode::METHOD_NOT_ALLOWED, Some((ALLOW, "GET"))),
            Self::HttpVersion => (StatusCode::HTTP_VERSION_NOT_SUPPORTED, None),
            Self::NotAnUpgrade => (StatusCode::UPGRADE_REQUIRED, None),
            Self::WebSocketVersion => (
                StatusCode::UPGRADE_REQUIRED,
                Some((SEC_WEBSOCKET_VERSION, VERSION)),
            ),
            Self::Key | Self::Body => (StatusCode::BAD_REQUEST, None),
            Self::Unavailable => (StatusCode::INTERNAL_SERVER_ERROR, None),
        };
        response.status_code(status);
        if status == StatusCode::UPGRADE_REQUIRED {
            response
                .headers_mut()
                .insert(CONNECTION, HeaderValue::from_static("Upgrade"));
            response
                .headers_mut()
                .insert(UPGRADE, HeaderValue::from_static("websocket"));
        }
        if let Some((name, value)) = hint {
            response
                .headers_mut()
                .insert(name, HeaderValue::from_static(value));
        }
        response.render(Text::Plain(self.to_string()));
    }
}

impl Upgrading {
    /// Takes the socket once HTTP is done with it. That waits for nothing that the client does: the answer is kept for us.
    ///
    /// It must not be awaited in the handler: the answer is given only after that has returned.
    ///
    /// # Errors
    /// The connection was closed before, or the request did not come over one of our sockets.
    pub async fn finish(self) -> Result<Upgraded, UpgradeError> {
        let upgraded = self.0.await.map_err(UpgradeError::Ended)?;
        let parts = upgraded
            .downcast::<TokioIo<HttpStream>>()
            .map_err(|_| UpgradeError::NotOurs)?;
        // A copy, even of nothing: hyper's view keeps its whole buffer of 8 KB or more alive.
        let already_read = Bytes::copy_from_slice(&parts.read_buf);
        let (stream, answer) = parts.io.into_inner().into_parts();
        Ok(Upgraded {
            stream,
            answer,
            already_read,
        })
    }
}
