//! How far an inbox has been dealt with: by its owner, or by each of the owner's devices.

use std::time::Duration;

use crate::plan::Receipt;
use crate::vocab::{Seq, Timestamp};

/// Devices that one inbox tells apart; the one that was away longest goes first.
pub const DEVICES_MAX: usize = 10;
const DEVICE_AGE: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// What has been dealt with.
#[derive(Debug)]
pub struct Receipts {
    kind: Receipt,
    /// Messages stay for the history, whoever has dealt with them.
    keep: bool,
    start: Seq,
    user: Seq,
    devices: Vec<Device>,
}

#[derive(Debug)]
struct Device {
    id: Box<str>,
    through: Seq,
    seen: Timestamp,
}

impl Receipts {
    /// Nothing behind `start` has been dealt with yet; `keep`: the messages stay for the room's history.
    pub const fn new(kind: Receipt, keep: bool, start: Seq) -> Self {
        Self {
            kind,
            keep,
            start,
            user: start,
            devices: Vec::new(),
        }
    }

    /// The last message that `device`, or the owner, has dealt with.
    pub fn through(&mut self, device: Option<&str>, now: Timestamp) -> Seq {
        match (self.kind, device) {
            (Receipt::Device, Some(id)) => self.device(id, now).through,
            _ => self.user,
        }
    }

    /// Messages up to `seq` have been dealt with; returns up to where nobody needs them any more.
    pub fn receive(&mut self, seq: Seq, device: Option<&str>, now: Timestamp) -> Seq {
        match (self.kind, device) {
            (Receipt::Device, Some(id)) => {
                let device = self.device(id, now);
                device.through = device.through.max(seq);
            }
            _ => self.user = self.user.max(seq),
        }
        if self.keep {
            return Seq::default();
        }
        match self.kind {
            Receipt::User | Receipt::OnWrite => self.user,
            Receipt::Device => self
                .devices
                .iter()
                .map(|device| device.through)
                .min()
                .unwrap_or(self.user),
        }
    }

    fn device(&mut self, id: &str, now: Timestamp) -> &mut Device {
        self.devices
            .retain(|device| &*device.id == id || now.since(device.seen) < DEVICE_AGE);
        let at = match self.devices.iter().position(|device| &*device.id == id) {
            Some(at) => at,
            None => {
                if self.devices.len() == DEVICES_MAX {
                    let oldest = (0..self.devices.len())
                        .min_by_key(|at| self.devices[*at].seen)
                        .unwrap_or_default();
                    self.devices.remove(oldest);
                }
                self.devices.push(Device {
                    id: id.into(),
                    through: self.start,
                    seen: now,
                });
                self.devices.len() - 1
            }
        };
        let device = &mut self.devices[at];
        device.seen = now;
        device
    }
}
