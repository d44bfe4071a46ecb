//! `webhooks`, of the file and of rooms and endpoints.

use std::sync::Arc;
use std::time::Duration;

use crate::config::{self, EndpointEvent, RoomEvent, Spanned, Text};
use crate::plan::lower::server::value;
use crate::plan::lower::{Lowering, call};
use crate::plan::{EndpointWebhooks, RoomWebhooks, Webhook};

const RETRIES: u32 = 5;

impl Lowering<'_> {
    /// Every webhook that is declared, with nothing in the place of those that cannot be called.
    pub(super) fn webhooks(&mut self) -> Vec<Option<Arc<Webhook>>> {
        let config = self.config;
        let numbered = config.webhooks.iter().enumerate();
        numbered
            .map(|(index, (name, written))| {
                let what = format!("the webhook `{}`", name.value);
                let instead = "let the application join the room as a client, which hears the same";
                self.unsupported(name.span, &what, instead);
                self.webhook(index, &name.value, written).map(Arc::new)
            })
            .collect()
    }

    fn webhook(&mut self, index: usize, name: &str, written: &config::Webhook) -> Option<Webhook> {
        let timeout: Duration = self.above_zero(written.timeout, call::TIMEOUT, "timeout");
        let url = self.http_url(written.url.as_ref()?)?;
        Some(Webhook {
            index,
            name: name.into(),
            url,
            secret: written.secret.as_ref()?.value.clone(),
            timeout,
            retries: value(written.retries, RETRIES),
        })
    }

    /// The webhook called `name`; a finding where there is none.
    pub(super) fn webhook_cited(&mut self, name: &Text) -> Option<Arc<Webhook>> {
        let index = self.webhook_names.cite(name, &mut self.findings)?;
        self.webhooks.get(index).cloned().flatten()
    }

    pub(super) fn room_webhooks(&mut self, written: &[(Spanned<RoomEvent>, Text)]) -> RoomWebhooks {
        let mut webhooks = RoomWebhooks::default();
        for (event, name) in written {
            let cited = self.webhook_cited(name);
            *match event.value {
                RoomEvent::Joined => &mut webhooks.joined,
                RoomEvent::Left => &mut webhooks.left,
                RoomEvent::Occupied => &mut webhooks.occupied,
                RoomEvent::Empty => &mut webhooks.empty,
                RoomEvent::Message => &mut webhooks.message,
            } = cited;
        }
        webhooks
    }

    pub(super) fn endpoint_webhooks(
        &mut self,
        written: &[(Spanned<EndpointEvent>, Text)],
    ) -> EndpointWebhooks {
        let mut webhooks = EndpointWebhooks::default();
        for (event, name) in written {
            let cited = self.webhook_cited(name);
            *match event.value {
                EndpointEvent::Connected => &mut webhooks.connected,
                EndpointEvent::Disconnected => &mut webhooks.disconnected,
            } = cited;
        }
        webhooks
    }
}
