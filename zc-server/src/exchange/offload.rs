//! What is not in memory, waited for: by the kernel's word, or by a thread that reads or sends.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use zc_core::{Progress, SendError};

use super::completion::{end, end_without_body, over};
use super::{Ending, Exchange, Next, Outcome, Peer, Stall, State};
use crate::body::{Figures, ResponseBody, WINDOW_BYTES};
use crate::disk::{CancelToken, JobHandle, Role};
use crate::files::open_file::FileHandle;
use crate::files::open_file::file_named;
use crate::observe::counters::Measured;
use crate::rate::Allowance;
use crate::respond::failure::Failure;
use crate::respond::response::{AfterResponse, ExchangeId, Response, ResponseEnd};
use crate::worker::{Done, Worker};

/// A response whose body a thread has.
#[derive(Debug)]
pub(super) struct Offloaded {
    pub(super) id: ExchangeId,
    mount: crate::disk::Key,
    end: ResponseEnd,
    job: JobHandle,
    /// The progress of the job when its deadline was set.
    progress: u64,
    /// Whether the thread sends, and does not only read.
    sends: bool,
    /// What was done before the thread had it.
    before: Figures,
    /// The file that the thread reads.
    file: Option<Arc<FileHandle>>,
    /// Whether the socket became writable since: that edge comes once.
    pub(super) writable: bool,
}

/// A response whose body has come back.
#[derive(Debug)]
pub(super) struct Returned {
    pub(super) offloaded: Offloaded,
    body: Box<ResponseBody>,
    result: Result<Progress, SendError>,
}

/// Waits for the disk: for what was requested of it already, or by a thread.
pub(super) fn wait_for_disk(
    mut response: Box<Response>,
    peer: &mut impl Peer,
    worker: &mut Worker,
) -> Next {
    // Also for a client that is gone: the probe has begun a read.
    response.body.await_read();
    if peer.is_gone() {
        return end(*response, Outcome::PeerGone, peer, worker);
    }
    if worker.ring.is_some()
        && let Some(prefetch) = response.body.take_prefetch()
        && worker.watch_read(prefetch, response.id)
    {
        let deadline_ms = worker.now_ms + worker.timeouts.disk_ms;
        let state = State::Prefetching { response };
        return Next::Wait(Exchange { state, deadline_ms });
    }
    offload(response, peer, worker)
}

/// The kernel has told of what was requested of the disk.
pub(super) fn after_prefetch(
    mut response: Box<Response>,
    result: &io::Result<()>,
    peer: &mut impl Peer,
    worker: &mut Worker,
) -> Next {
    let is_there = response.body.is_prefetched();
    match result {
        Ok(()) if is_there => Next::Go(Exchange::sending(response, worker)),
        // A thread reads what is not there yet, and can tell why something cannot be read.
        _ => offload(response, peer, worker),
    }
}

/// Has a thread carry the response on.
fn offload(mut response: Box<Response>, peer: &mut impl Peer, worker: &mut Worker) -> Next {
    response.body.await_read();
    let before = response.figures();
    let file = response.body.file().cloned();
    let Response {
        id,
        body,
        mount,
        end,
    } = worker.boxes.empty(response);
    let mount = body.mount().unwrap_or(mount);
    let mut body = Box::new(body);
    let mut sends = false;
    let submitted = if body.is_offloaded() {
        let Ok(socket) = socket_of(peer, worker) else {
            return end_without_body(end, Outcome::Failed, before, peer, worker);
        };
        sends = socket.is_some();
        let mut budget = WINDOW_BYTES;
        if let Some(limit) = end.limit
            && let Allowance::Bytes(bytes) =
                peer.bucket()
                    .allowance(limit, body.accepted(), worker.now_ms)
        {
            budget = budget.min(bytes);
        }
        let work = move |fetcher: &_, cancel: &CancelToken| {
            let result = match &socket {
                Some(socket) => body.advance_and_wait(fetcher, cancel, socket, budget)?,
                #[cfg(feature = "tls")]
                None => body.fill_and_wait(cancel)?,
                #[cfg(not(feature = "tls"))]
                None => return None,
            };
            Some(Done::Carried(body, result))
        };
        worker.submit(Role::Other, mount, id, work)
    } else {
        let work = move |fetcher: &_, cancel: &CancelToken| {
            let result = body.read_and_wait(fetcher, cancel)?;
            Some(Done::Carried(body, result))
        };
        worker.submit(Role::Read, mount, id, work)
    };
    match submitted {
        Some(job) => {
            let deadline_ms = worker.now_ms + worker.timeouts.disk_ms;
            let offloaded = Offloaded {
                id,
                mount,
                end,
                job,
                progress: 0,
                sends,
                before,
                file,
                writable: false,
            };
            let state = State::Offloaded(Box::new(offloaded));
            Next::Wait(Exchange { state, deadline_ms })
        }
        None if before.head_bytes == 0 => {
            let (busy, after) = (Failure::DiskBusy.status(), AfterResponse::Linger);
            Next::Go(Exchange::refusing_instead(end, id, busy, after, worker))
        }
        None => end_without_body(end, Outcome::Failed, before, peer, worker),
    }
}

/// The socket for a thread that sends; `None` where a thread may only read. Warns where there can be none.
fn socket_of(peer: &impl Peer, worker: &mut Worker) -> io::Result<Option<OwnedFd>> {
    let socket = match peer.offload_fd() {
        Err(_) if worker.shed_descriptors() => peer.offload_fd(),
        socket => socket,
    };
    socket.inspect_err(|error| {
        let line = format!(
            "response to {} failed: cannot duplicate its socket for a disk I/O thread: {error}",
            peer.client().remote
        );
        worker.services.diagnostics.warn(line);
    })
}

impl Offloaded {
    pub(super) fn returned(
        self,
        body: Box<ResponseBody>,
        result: Result<Progress, SendError>,
    ) -> Returned {
        Returned {
            offloaded: self,
            body,
            result,
        }
    }

    /// The file, what was done before the thread had it, and what is measured.
    pub(super) fn under_way(&self) -> (Option<Arc<FileHandle>>, Figures, Measured) {
        (self.file.clone(), self.before, self.end.measured)
    }

    /// It ends where it stood when the thread took it, unless the thread has begun to send.
    pub(super) fn end(self, outcome: Outcome, peer: &mut impl Peer, worker: &mut Worker) -> Next {
        self.job.cancel();
        end_without_body(self.end, outcome, self.before, peer, worker)
    }

    /// The deadline has passed. A thread that has come further is waited for, and so is the message of one
    /// that has read everything. Else the disk has not answered in time, and while nothing is sent the
    /// client can be told.
    pub(super) fn on_deadline(
        mut self: Box<Self>,
        peer: &mut impl Peer,
        worker: &mut Worker,
    ) -> Next {
        let progress = self.job.progress();
        let has_moved = progress > std::mem::replace(&mut self.progress, progress);
        let was_cancelled = !has_moved && self.job.cancel();
        if has_moved || !was_cancelled && !self.sends {
            let deadline_ms = worker.now_ms + worker.timeouts.disk_ms;
            let state = State::Offloaded(self);
            return Next::Wait(Exchange { state, deadline_ms });
        }
        warn_of_timeout(self.file.as_ref(), peer, worker);
        if was_cancelled && self.before.head_bytes == 0 {
            let (status, after) = (Failure::DiskTimeout.status(), AfterResponse::Linger);
            let refusing = Exchange::refusing_instead(self.end, self.id, status, after, worker);
            return Next::Yield(refusing);
        }
        end_without_body(self.end, Outcome::DiskTimeout, self.before, peer, worker);
        Next::End(Ending::CutOff)
    }
}

impl Returned {
    /// Goes on with what the thread has left.
    pub(super) fn resume(self, peer: &mut impl Peer, worker: &mut Worker) -> Next {
        let Self {
            offloaded,
            body,
            result,
        } = self;
        let Offloaded {
            id,
            mount,
            end,
            before,
            file,
            writable,
            ..
        } = offloaded;
        let is_offloaded = body.is_offloaded();
        if let Some(limit) = end.limit {
            let sent = before.head_bytes + before.body_bytes;
            let bytes = body.accepted() - sent;
            peer.bucket().charge(limit, sent, bytes, worker.now_ms);
        }
        let has_sent = body.accepted() > 0;
        let mut end = end;
        end.measured = worker.with_first_byte(end.measured, body.accepted() as usize);
        let response = Response {
            id,
            body: *body,
            mount,
            end,
        };
        match result {
            // No edge comes any more where the socket became writable since the thread gave up; a
            // worker that may try finds out by itself.
            Ok(Progress::WouldBlock) if is_offloaded && !writable => {
                let response = worker.boxes.fill(response);
                Next::Wait(Exchange::blocked(
                    response,
                    Stall::new(worker),
                    peer,
                    worker,
                ))
            }
            Ok(Progress::BudgetSpent | Progress::NeedsDisk(_)) if is_offloaded => {
                let response = worker.boxes.fill(response);
                Next::Yield(Exchange::sending(response, worker))
            }
            // It is read, and to be sent in this turn.
            Ok(Progress::WouldBlock | Progress::BudgetSpent | Progress::NeedsDisk(_)) => {
                let response = worker.boxes.fill(response);
                Next::Go(Exchange::sending(response, worker))
            }
            Err(error) if !has_sent && !error.is_peer_gone() => {
                let file = file_named(file.as_deref());
                let error = io::Error::from(error);
                let line = format!("cannot read for {}: {file}{error}", peer.client().remote);
                worker.services.diagnostics.warn(line);
                let (status, after) = (Failure::Read.status(), AfterResponse::Linger);
                let end = response.end;
                Next::Go(Exchange::refusing_instead(end, id, status, after, worker))
            }
            answer => over(response, answer, peer, worker),
        }
    }
}

pub(super) fn warn_of_timeout(
    file: Option<&Arc<FileHandle>>,
    peer: &mut impl Peer,
    worker: &mut Worker,
) {
    let file = file_named(file.map(AsRef::as_ref));
    let line = format!(
        "{file}the disk did not answer within --disk-timeout, for {}",
        peer.client().remote
    );
    worker.services.diagnostics.warn(line);
}
