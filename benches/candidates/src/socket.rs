//! The reading half, the same for all candidates.

use std::io;

use bytes::Bytes;
use floor::frame::{self, BINARY, CLOSE, TEXT};
use floor::handshake;
use tokio::net::TcpStream;

/// What one call to [`Inbound::read`] makes of a socket at most.
const READ_BYTES: usize = 16 * 1024;

/// What has been read of frames that are not complete.
#[derive(Default)]
pub struct Inbound {
    partial: Vec<u8>,
}

impl Inbound {
    /// Answers the handshake; the room that its path names, `None` where the connection is over.
    pub async fn shake_hands(&mut self, stream: &TcpStream) -> Option<String> {
        stream.set_nodelay(true).ok()?;
        loop {
            stream.readable().await.ok()?;
            match self.fill(stream) {
                Err(error) if error.kind() != io::ErrorKind::WouldBlock => return None,
                Ok(()) | Err(_) => {}
            }
            let Some(handshake) = handshake::answer(&self.partial).ok()? else {
                continue;
            };
            self.partial.drain(..handshake.size);
            // An empty socket takes so much.
            stream.writable().await.ok()?;
            stream.try_write(&handshake.answer).ok()?;
            return handshake.path.strip_prefix("/ws/").map(str::to_owned);
        }
    }

    /// Reads what there is and calls back with each message, encoded as it leaves; false where the connection is over.
    pub fn read(&mut self, stream: &TcpStream, mut on_message: impl FnMut(Bytes)) -> bool {
        match self.fill(stream) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return true,
            Err(_) => return false,
        }
        let mut start = 0;
        while let Some(frame) = frame::parse(&self.partial[start..]) {
            start += frame.size;
            match frame.opcode {
                TEXT | BINARY => on_message(frame::encode(TEXT, &frame.payload).into()),
                CLOSE => return false,
                _ => {}
            }
        }
        self.partial.drain(..start);
        true
    }

    fn fill(&mut self, stream: &TcpStream) -> io::Result<()> {
        let mut scratch = [0; READ_BYTES];
        match stream.try_read(&mut scratch)? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            taken => {
                self.partial.extend_from_slice(&scratch[..taken]);
                Ok(())
            }
        }
    }
}
