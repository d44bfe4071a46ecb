//! Connections, the message pipeline, fan-out.
