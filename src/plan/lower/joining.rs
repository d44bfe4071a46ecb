//! `may_join`: a rule, the application, or a signed token.

use crate::config::{self, Spanned};
use crate::plan::lower::Lowering;
use crate::plan::{HttpCall, MayJoin};
use crate::rule::Known;

impl Lowering<'_> {
    /// Who may join the rooms of the pattern `room`.
    pub(super) fn may_join(
        &mut self,
        room: &str,
        written: Option<&config::MayJoin>,
        known: &Known,
    ) -> Option<MayJoin> {
        let name = format!("rooms.{room}.may_join");
        match written? {
            config::MayJoin::Rule(text) => self.rule(text, known, &name).map(MayJoin::Rule),
            config::MayJoin::Http(call) => {
                let label = self.labelled(&name, self.sources.place(call.span), "http".to_owned());
                let call = self.join_call(call)?;
                Some(MayJoin::Http { call, label })
            }
            config::MayJoin::Token(token) => {
                let label =
                    self.labelled(&name, self.sources.place(token.span), "token".to_owned());
                let keys =
                    self.token_keys(token.value.algorithms.as_ref(), token.value.key.as_ref())?;
                Some(MayJoin::Token { keys, label })
            }
        }
    }

    fn join_call(&mut self, written: &Spanned<config::HttpCall>) -> Option<HttpCall> {
        let call = &written.value;
        if let Some(forward) = call.forward.iter().flat_map(|listed| &listed.value).next() {
            let message = "`forward` has no effect: a join has no request to pass on".to_owned();
            let help = "remove it: the application gets the user, the room, its parameters and the endpoint";
            self.no_effect(forward.span(), message, help);
        }
        self.http_call(call)
    }
}
