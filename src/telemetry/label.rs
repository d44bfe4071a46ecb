//! Labels that do not come from the file: what a handshake comes to, which limit was exceeded.

/// What a handshake comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HandshakeOutcome {
    /// A connection.
    Accepted,
    /// The page may not connect.
    Origin,
    /// No valid credential.
    Unauthenticated,
    /// A rule says no.
    Forbidden,
    /// Too many connections, or too fast.
    Limited,
    /// Not a WebSocket handshake.
    BadRequest,
    /// It took too long.
    Timeout,
    /// Cannot be done now.
    Unavailable,
    /// The application keeps the user, the token or the address out.
    Blocked,
}

impl HandshakeOutcome {
    /// Every outcome.
    pub const ALL: [Self; 9] = [
        Self::Accepted,
        Self::Origin,
        Self::Unauthenticated,
        Self::Forbidden,
        Self::Limited,
        Self::BadRequest,
        Self::Timeout,
        Self::Unavailable,
        Self::Blocked,
    ];

    /// The outcome as the label `outcome` has it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Origin => "origin",
            Self::Unauthenticated => "unauthenticated",
            Self::Forbidden => "forbidden",
            Self::Limited => "limited",
            Self::BadRequest => "bad_request",
            Self::Timeout => "timeout",
            Self::Unavailable => "unavailable",
            Self::Blocked => "blocked",
        }
    }
}

/// A limit of how many there may be at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CountLimitName {
    /// `server.limits.connections`.
    Connections,
    /// `server.limits.connections_per_ip`.
    ConnectionsPerIp,
    /// `limits.connections` of an endpoint.
    EndpointConnections,
    /// `limits.connections_per_user` of an endpoint.
    ConnectionsPerUser,
    /// `limits.rooms_per_connection` of an endpoint.
    RoomsPerConnection,
    /// `limits.strikes` of an endpoint.
    Strikes,
    /// `limits.users` of a room.
    RoomUsers,
}

impl CountLimitName {
    /// Every name.
    pub const ALL: [Self; 7] = [
        Self::Connections,
        Self::ConnectionsPerIp,
        Self::EndpointConnections,
        Self::ConnectionsPerUser,
        Self::RoomsPerConnection,
        Self::Strikes,
        Self::RoomUsers,
    ];

    /// The name as the label `limit` has it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Connections => "connections",
            Self::ConnectionsPerIp => "connections_per_ip",
            Self::EndpointConnections => "endpoint_connections",
            Self::ConnectionsPerUser => "connections_per_user",
            Self::RoomsPerConnection => "rooms_per_connection",
            Self::Strikes => "strikes",
            Self::RoomUsers => "room_users",
        }
    }
}
