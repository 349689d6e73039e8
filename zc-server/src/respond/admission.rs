//! Requests that take a password.

use std::sync::Arc;

use zc_http::Status;

use super::pending::{LookUp, LookUpAnswer, Thread};
use super::{Responded, Responder, plan};
use crate::auth::{Gate, Known, User, Verdict};

impl Responder<'_, '_> {
    /// Answers whoever may ask, and says who that is. What is answered without a look at files is for everybody.
    #[inline]
    pub(super) fn answer_to(self, user: &mut Option<User>, path: &mut Vec<u8>) -> Responded {
        match self.content.gate_of(self.index) {
            Some(gate) if plan::without_a_look(self.request).is_none() => {
                self.answer_to_known(gate, user, path)
            }
            _ => self.answer(path),
        }
    }

    /// Answers who has a password of `gate`, and says who that is; all others with 401. It comes before the cache and
    /// the files are asked for anything but the page of the error. A password that nobody remembers is left to a
    /// thread.
    fn answer_to_known(
        self,
        gate: &Arc<Gate>,
        user: &mut Option<User>,
        path: &mut Vec<u8>,
    ) -> Responded {
        let told = self.pending.as_ref();
        let told = told.and_then(|pending| pending.verdict.clone());
        let known = told.map_or_else(|| gate.ask(&self.request.headers), Known::Verdict);
        match known {
            Known::Verdict(Verdict::Granted(name)) => {
                *user = Some(name);
                self.answer(path)
            }
            Known::Verdict(Verdict::Denied) => self.error(Status::Unauthorized),
            Known::Nothing(credentials) => {
                let (gate, checks) = (Arc::clone(gate), Arc::clone(&self.services.checks));
                let work = move |_: &_| LookUpAnswer::Verdict(gate.check(&credentials, &checks));
                self.wait_for(LookUp {
                    thread: Thread::Check,
                    work: Box::new(work),
                })
            }
        }
    }
}
