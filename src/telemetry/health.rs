//! Whether the server lives and takes connections.

use std::sync::atomic::{AtomicU8, Ordering};

/// Where in its life the server is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HealthState {
    /// Not listening yet.
    Starting,
    /// Serving.
    Ready,
    /// Shutting down: who is here may finish, nobody new is taken.
    Draining,
}

impl HealthState {
    /// The state in a word, as `/healthz` and `/readyz` answer it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Ready => "ready",
            Self::Draining => "draining",
        }
    }

    /// Whether `/readyz` says yes. `/healthz` says yes in every state: that it answers is the point.
    pub const fn is_ready(self) -> bool {
        matches!(self, Self::Ready)
    }
}

/// The server's [`HealthState`], shared.
#[derive(Debug, Default)]
pub struct Health(AtomicU8);

impl Health {
    /// A server that starts.
    pub const fn new() -> Self {
        Self(AtomicU8::new(0))
    }

    /// The present state.
    pub fn state(&self) -> HealthState {
        match self.0.load(Ordering::Acquire) {
            0 => HealthState::Starting,
            1 => HealthState::Ready,
            _ => HealthState::Draining,
        }
    }

    /// The server serves, unless it drains already: there is no way back from that.
    pub fn ready(&self) {
        self.0.fetch_max(1, Ordering::AcqRel);
    }

    /// The server drains.
    pub fn draining(&self) {
        self.0.fetch_max(2, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::{Health, HealthState};

    #[test]
    fn health_goes_one_way() {
        let health = Health::new();
        assert_eq!(health.state(), HealthState::Starting);
        health.ready();
        assert_eq!(health.state(), HealthState::Ready);
        health.draining();
        health.ready();
        assert_eq!(health.state(), HealthState::Draining);
        assert!(!health.state().is_ready());
    }
}
