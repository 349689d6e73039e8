//! The pages of the admin listener: metrics, health, and what is under way.
//!
//! They are served by a reactor of their own, on a thread of its own, so that workers that are busy delay no health
//! check. Its exchanges are those of any other, but for where the response comes from: [`Admin::answer`].

mod health;
mod metrics;
mod page;
pub(crate) mod status;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::{fmt, io};

use prometheus_client::encoding::prometheus_text;
use prometheus_client::registry::Registry;
use zc_http::{Method, Request, Status, Version};

use crate::disk::{Disk, Role};
use crate::observe::counters::Process;
use crate::respond::reply::{Buffers, Moment, Reply};
use crate::respond::{LookUp, LookUpAnswer, PendingLookup, Responded, Thread};
use metrics::Metrics;
pub(crate) use metrics::Sources;
use page::Page;
use status::AskedWorker;

/// Threads that wait for what workers have to say: as many clients ask at a time.
const THREADS_MAX: usize = 4;
/// Requests that wait for such a thread.
const QUEUE_MAX: usize = 64;

/// What the admin listener answers with.
pub(crate) struct Admin {
    registry: Registry,
    sources: Arc<Sources>,
    /// Those who can be asked, each at the place of its counters.
    workers: Arc<[AskedWorker]>,
    /// They wait for the answers of workers.
    pub(crate) threads: Disk,
}

impl Admin {
    /// Starts the first of its threads.
    pub(crate) fn start(sources: Sources, workers: Vec<AskedWorker>) -> io::Result<Self> {
        let sources = Arc::new(sources);
        let mut registry = Registry::default();
        registry.register_collector(Box::new(Metrics(Arc::clone(&sources))));
        Ok(Self {
            registry,
            sources,
            workers: workers.into(),
            threads: Disk::start(Role::Other, THREADS_MAX, QUEUE_MAX)?,
        })
    }

    /// Answers a request, or says what a thread has to ask first.
    pub(crate) fn answer(
        &self,
        request: &Request<'_>,
        pending: Option<Box<PendingLookup>>,
        moment: &Moment,
        buffers: &mut Buffers,
    ) -> Responded {
        if let Some(status) = pending.and_then(|pending| pending.status) {
            let page = Page::new(Status::Ok, "application/json", status);
            return Responded::Reply(page.reply(request.method, request.version, moment, buffers));
        }
        if request.target.path() == Some(b"/status") && is_read(request.method) {
            let (sources, workers) = (Arc::clone(&self.sources), Arc::clone(&self.workers));
            let work = move |_: &_| LookUpAnswer::Status(status::to_json(&sources, &workers));
            let look_up = LookUp {
                thread: Thread::Disk(0),
                work: Box::new(work),
            };
            return Responded::LookUp(Box::default(), look_up);
        }
        let page = self.page(request, moment.now_ms);
        Responded::Reply(page.reply(request.method, request.version, moment, buffers))
    }

    /// Answers what is no request, or cannot be answered in time.
    pub(crate) fn refuse(&self, status: Status, moment: &Moment, buffers: &mut Buffers) -> Reply {
        Page::of_status(status).reply(Method::Get, Version::Http11, moment, buffers)
    }

    fn page(&self, request: &Request<'_>, now_ms: u64) -> Page {
        let page = match request.target.path() {
            Some(b"/metrics") => self.metrics(),
            Some(b"/healthz") => self.health(now_ms),
            Some(b"/readyz") => readiness(&self.sources.process),
            // It needs a thread for any other method.
            Some(b"/status") => Page::of_status(Status::MethodNotAllowed),
            _ => return Page::of_status(Status::NotFound),
        };
        if is_read(request.method) {
            page
        } else {
            Page::of_status(Status::MethodNotAllowed)
        }
    }

    fn metrics(&self) -> Page {
        let mut text = String::new();
        match prometheus_text::encode(&mut text, &self.registry) {
            Ok(()) => Page::new(Status::Ok, prometheus_text::CONTENT_TYPE, text.into()),
            Err(_) => Page::of_status(Status::InternalServerError),
        }
    }

    fn health(&self, now_ms: u64) -> Page {
        let workers = self.sources.workers.iter().enumerate();
        let turns = workers.map(|(index, worker)| (index, worker.turn_began_ms()));
        match health::stuck(turns, now_ms) {
            None => Page::text(Status::Ok, "ok\n".to_owned()),
            Some(stuck) => Page::text(Status::ServiceUnavailable, format!("{stuck}\n")),
        }
    }
}

/// Whether new connections are wanted.
fn readiness(process: &Process) -> Page {
    if process.ready.load(Ordering::Acquire) {
        Page::text(Status::Ok, "ready\n".to_owned())
    } else {
        Page::text(Status::ServiceUnavailable, "draining\n".to_owned())
    }
}

fn is_read(method: Method) -> bool {
    matches!(method, Method::Get | Method::Head)
}

impl fmt::Debug for Admin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Admin").finish_non_exhaustive()
    }
}
