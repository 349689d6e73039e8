//! A plan → what is sent: bytes that are ready, or a head with what a file, its parts or a listing
//! bring behind it.

use std::sync::Arc;

use bytes::BytesMut;
use zc_core::{PREFETCH_BYTES, PipePool, ProbedTransfer, Residency};
use zc_http::{HttpTime, Persistence, Request, Status};

use crate::body::{InMemory, MultipartBody, NextPart, Promise, ResponseBody, Source, WINDOW_BYTES};
use crate::clients::Sender;
use crate::config::Scheme;
use crate::disk::Key;
use crate::files::listing::Listing;
use crate::files::mounts::ReadPath;
use crate::files::open_file::FileHandle;
use crate::files::rules::Rules;
use crate::pool::BoxPool;
use crate::rate::RateLimit;
use crate::respond::cache::{CachedFile, Hot, Id};
use crate::respond::error_body::Form;
use crate::respond::plan::{self, Plan, Problem};
use crate::respond::prepared::{DATE_BYTES, Prepared, append_range, is_ordinary, not_modified};
use crate::respond::render::{Framing, Rendered, Rest, render};
use crate::respond::response::Stream;
use crate::services::Services;

/// The longest body that is read into memory to go behind its head in one call, in bytes. Longer
/// ones are sent by `sendfile` behind a head that is marked `MSG_MORE`. That cost 1.06 times as much with
/// bodies of 10 KiB, 0.99 times with 16 KiB, 0.91 times with 32 KiB and 0.73 times with 64 KiB.
const READ_BYTES_MAX: u64 = 16 * 1024;

/// The longest page of an error that is sent where nothing may be waited for, in bytes: what is sent of it later
/// stays in memory.
const PAGE_BYTES_MAX: u64 = 64 * 1024;

/// When a request is answered, and what follows.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Moment {
    pub(crate) after: Persistence,
    pub(crate) sender: Sender,
    pub(crate) now: HttpTime,
    /// `now` as it stands in a head.
    pub(crate) date: [u8; DATE_BYTES],
    /// Milliseconds of the worker's clock.
    pub(crate) now_ms: u64,
    /// What the connection speaks.
    pub(crate) scheme: Scheme,
}

/// A response that is in memory as a whole.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ready {
    pub(crate) status: Status,
    pub(crate) place: Place,
    pub(crate) bytes: InMemory,
    /// The most that it is sent at.
    pub(crate) limit: Option<RateLimit>,
}

/// Where the bytes of a ready response are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// At the end of the output buffer.
    Output,
    /// The 200 of an entry of the cache.
    Whole(Id),
    /// Its 304.
    NotModified(Id),
}

/// What is sent.
#[derive(Debug)]
pub(crate) enum Reply {
    Ready(Ready),
    /// In a box, so that one that is ready is moved with few bytes.
    Stream(Box<Stream>),
}

impl Ready {
    pub(crate) fn length(&self) -> usize {
        self.bytes.length()
    }
}

/// Buffers of a worker that a response is written into.
#[derive(Debug, Default)]
pub(crate) struct Buffers {
    /// Responses, one behind the other, until they are sent.
    pub(crate) output: Vec<u8>,
    /// TLS records, until they are sent.
    pub(crate) sealed: Vec<u8>,
    /// Taken by a [`Stream`] for its head, and given back by whoever has sent it.
    pub(crate) head: BytesMut,
    /// Boxes for what is streamed.
    pub(crate) streams: BoxPool<Stream>,
}

/// What a reply is made from, beside its plan.
pub(crate) struct ReplyBuilder<'a> {
    pub(crate) services: &'a Services,
    pub(crate) rules: &'a Rules,
    pub(crate) framing: Framing<'a>,
    pub(crate) moment: &'a Moment,
    /// How a body is to go.
    pub(crate) method: zc_core::SendMethod,
}

/// What is known of the file behind a head.
pub(super) struct Delivery {
    read_path: ReadPath,
    mount: Key,
    promise: Option<Promise>,
}

impl Delivery {
    /// There is none.
    pub(super) const FROM_MEMORY: Self = Self {
        read_path: ReadPath::Direct,
        mount: 0,
        promise: None,
    };
}

/// What is known of a response once its head is in the output buffer.
pub(super) struct HeadWritten {
    status: Status,
    /// Where the head starts and ends in the output buffer.
    start: usize,
    pub(super) rendered: Rendered,
    /// The most that the body is sent at.
    limit: Option<RateLimit>,
}

/// A 200 that is kept ready.
enum Whole {
    Ready(Ready),
    /// Its head alone: the body goes by another way.
    Head(HeadWritten),
}

impl ReplyBuilder<'_> {
    /// The reply by a plan that has no file.
    pub(crate) fn reply(&self, plan: &Plan<'_>, buffers: &mut Buffers) -> Reply {
        self.write_head(plan, buffers).ready(false, buffers)
    }

    /// The reply that says what is wrong, in the form that the client asks for.
    pub(crate) fn reply_error(
        &self,
        request: &Request<'_>,
        plan: &Plan<'_>,
        buffers: &mut Buffers,
    ) -> Reply {
        let framing = Framing {
            error_form: Some(Form::of(request)),
            ..self.framing
        };
        self.write_head_by(framing, plan, buffers)
            .ready(false, buffers)
    }

    /// The reply that sends `file`, or a part of it, or says that the client has it. `id` is its
    /// entry in the cache.
    pub(crate) fn reply_file(
        &self,
        request: &Request<'_>,
        file: &mut CachedFile,
        id: Option<Id>,
        buffers: &mut Buffers,
    ) -> Reply {
        let plan = plan::for_file(request, &file.representation, self.moment.now);
        let id = id.filter(|_| is_ordinary(&self.framing, self.rules));
        match (&plan, id) {
            (Plan::Whole(_), Some(id)) if let Some(whole) = &mut file.whole => {
                let length = file.representation.length();
                match self.whole(
                    whole,
                    (length, file.representation.limit),
                    id,
                    &mut buffers.output,
                ) {
                    Whole::Ready(ready) => Reply::Ready(ready),
                    Whole::Head(head) => self.send(head, file, buffers),
                }
            }
            (Plan::NotModified(_), Some(id)) => self.not_modified(file, id, plan.status()),
            _ if Problem::of(&plan).is_some() => self.reply_error(request, &plan, buffers),
            _ => {
                let head = self.write_head(&plan, buffers);
                self.send(head, file, buffers)
            }
        }
    }

    /// The reply that sends `file` as the page of an error.
    pub(crate) fn reply_page(
        &self,
        problem: Problem,
        file: &mut CachedFile,
        buffers: &mut Buffers,
    ) -> Reply {
        let head = self.write_head(&Plan::Page(problem, &file.representation), buffers);
        self.send(head, file, buffers)
    }

    /// The same where nothing may be waited for: `None` if the page is longer than [`PAGE_BYTES_MAX`], or not
    /// in memory.
    pub(crate) fn reply_page_at_once(
        &self,
        problem: Problem,
        file: &CachedFile,
        buffers: &mut Buffers,
    ) -> Option<Reply> {
        let head = self.write_head(&Plan::Page(problem, &file.representation), buffers);
        let output = &mut buffers.output;
        let is_there = match (&head.rendered.rest, file.content()) {
            (Rest::File(_), Some(content)) => {
                output.extend_from_slice(content);
                true
            }
            (Rest::File(range), None) => {
                range.end <= PAGE_BYTES_MAX
                    && append_range(&file.representation, range.clone(), self.services, output)
            }
            _ => true,
        };
        if !is_there {
            output.truncate(head.start);
            return None;
        }
        Some(head.ready(file.content().is_none(), buffers))
    }

    /// The reply that lists a directory.
    pub(crate) fn reply_listing(&self, listing: Box<Listing>, buffers: &mut Buffers) -> Reply {
        let head = self.write_head(&Plan::Listing(listing.form()), buffers);
        let Rest::Listing { chunked } = head.rendered.rest else {
            return head.ready(false, buffers);
        };
        let next_part = NextPart::Listing {
            listing,
            chunked,
            ended: false,
        };
        Reply::Stream(head.stream(None, next_part, Delivery::FROM_MEMORY, buffers))
    }

    pub(super) fn write_head(&self, plan: &Plan<'_>, buffers: &mut Buffers) -> HeadWritten {
        self.write_head_by(self.framing, plan, buffers)
    }

    fn write_head_by(
        &self,
        framing: Framing<'_>,
        plan: &Plan<'_>,
        buffers: &mut Buffers,
    ) -> HeadWritten {
        let limit = match plan {
            Plan::Whole(file) | Plan::Part(file, _) | Plan::Parts(file, _) => file.limit,
            Plan::Page(_, file) | Plan::Thumbnail(file, _) => file.limit,
            Plan::Listing(_) | Plan::Player(_) | Plan::Archive(..) => self.rules.limit_of_others(),
            _ => None,
        };
        HeadWritten {
            limit,
            status: plan.status(),
            start: buffers.output.len(),
            rendered: render(plan, framing, &mut buffers.output),
        }
    }

    /// The 200 that is kept ready: as a whole, or its head in the output buffer.
    fn whole(
        &self,
        whole: &mut Prepared,
        (length, limit): (u64, Option<RateLimit>),
        id: Id,
        out: &mut Vec<u8>,
    ) -> Whole {
        whole.renew(self.moment.now, &self.moment.date);
        if let Some(body) = whole.body()
            && self.method == zc_core::SendMethod::Auto
        {
            return Whole::Ready(Ready {
                status: Status::Ok,
                place: Place::Whole(id),
                bytes: InMemory {
                    head_bytes: whole.head().len(),
                    body_bytes: body.len(),
                    was_read: false,
                },
                limit,
            });
        }
        let start = out.len();
        out.extend_from_slice(whole.head());
        Whole::Head(HeadWritten {
            status: Status::Ok,
            start,
            rendered: Rendered {
                head_end: out.len(),
                rest: Rest::File(0..length),
            },
            limit,
        })
    }

    /// The 304 that is kept ready, made when it is first asked for.
    fn not_modified(&self, file: &mut CachedFile, id: Id, status: Status) -> Reply {
        let now = self.moment.now;
        let mut ready = file
            .not_modified
            .take()
            .unwrap_or_else(|| not_modified(&file.representation, self.rules, now));
        ready.renew(now, &self.moment.date);
        let head_bytes = ready.head().len();
        file.not_modified = Some(ready);
        Reply::Ready(Ready {
            status,
            place: Place::NotModified(id),
            bytes: InMemory {
                head_bytes,
                body_bytes: 0,
                was_read: false,
            },
            limit: None,
        })
    }

    /// What stands behind the head is sent the cheapest way: from memory, by reading it behind its
    /// head, or by the kernel.
    fn send(&self, head: HeadWritten, file: &mut CachedFile, buffers: &mut Buffers) -> Reply {
        let opened = &file.representation.resource.file;
        let mut delivery = Delivery {
            read_path: ReadPath::Direct,
            mount: opened.mount.key(),
            promise: Some(Promise::of(&opened.state)),
        };
        match head.rendered.rest {
            Rest::File(ref range) => {
                let range = range.clone();
                if self.method == zc_core::SendMethod::Auto {
                    if let Some(content) = file.content() {
                        // A length of bytes in memory fits; a part lies in the whole.
                        let part = &content[range.start as usize..range.end as usize];
                        buffers.output.extend_from_slice(part);
                        return head.ready(false, buffers);
                    }
                    let is_short = range.end - range.start <= READ_BYTES_MAX;
                    let out = &mut buffers.output;
                    if is_short
                        && append_range(&file.representation, range.clone(), self.services, out)
                    {
                        return head.ready(true, buffers);
                    }
                }
                let residency = self.residency(file);
                let source = self.source(file);
                let length = file.representation.length();
                let is_whole = range == (0..length);
                let begun = (residency == Some(Residency::Cold))
                    .then(|| source.file.gate().begin(length.min(PREFETCH_BYTES)));
                delivery.read_path = source.read_path;
                let mut transfer = source.into_transfer(range);
                match residency {
                    Some(Residency::Hot) => transfer.assume_resident_until(length),
                    Some(residency) if is_whole => {
                        transfer.assume_cold();
                        if residency == Residency::Cold && length <= PREFETCH_BYTES {
                            delivery.read_path = ReadPath::Prefetched;
                        }
                    }
                    _ => {}
                }
                let mut stream = head.stream(Some(transfer), NextPart::Nothing, delivery, buffers);
                stream.body.set_begun(begun);
                Reply::Stream(stream)
            }
            Rest::Parts(_) => {
                let source = self.source(file);
                delivery.read_path = source.read_path;
                head.stream_parts(source, delivery, buffers)
            }
            Rest::Nothing | Rest::Listing { .. } | Rest::Archive(_) => head.ready(false, buffers),
        }
    }

    /// Whether a file of one window is in memory: asked here, so that the next requests for it need
    /// not. `None` for others, which are asked window by window, or never. Of a file that is
    /// [`Cold`](Residency::Cold), the first bytes have been requested of the disk.
    fn residency(&self, file: &mut CachedFile) -> Option<Residency> {
        let now_ms = self.moment.now_ms;
        let opened = &file.representation.resource.file;
        let length = opened.state.length;
        if length > WINDOW_BYTES || self.services.read_path(opened) != ReadPath::Probe {
            return None;
        }
        if file.hot.as_mut().is_some_and(|hot| hot.ask(now_ms)) {
            return Some(Residency::Hot);
        }
        if !opened.file.lets_probe(0..length) {
            return Some(Residency::Unknown);
        }
        let residency = if file.hot.is_none() {
            Residency::prefetch(&opened.file, 0..length)
        } else if length > PREFETCH_BYTES {
            // Most often it still is: a look costs less there.
            Residency::probe(&opened.file, 0..length)
        } else {
            Residency::probe_or_prefetch(&opened.file, 0..length)
        };
        file.hot = (residency == Residency::Hot).then(|| Hot::found(now_ms));
        Some(residency)
    }

    /// The file and how it is to be sent.
    fn source(&self, file: &CachedFile) -> Source {
        let opened = &file.representation.resource.file;
        Source {
            file: Arc::clone(&opened.file),
            file_system: opened.mount.file_system,
            policy: Arc::clone(&self.services.policy),
            read_path: self.services.read_path(opened),
            method: self.method,
            pipes: self.pipes(),
        }
    }

    /// The workers share the pool: only who needs it touches its count of references.
    pub(super) fn pipes(&self) -> Option<PipePool> {
        (self.method == zc_core::SendMethod::Splice).then(|| self.services.pipes.clone())
    }
}

impl HeadWritten {
    /// All that is to be sent is in the output buffer.
    pub(super) fn ready(self, was_read: bool, buffers: &Buffers) -> Reply {
        let body_bytes = buffers.output.len() - self.rendered.head_end;
        Reply::Ready(Ready {
            status: self.status,
            place: Place::Output,
            bytes: InMemory {
                head_bytes: self.rendered.head_end - self.start,
                body_bytes,
                was_read,
            },
            limit: self.limit.filter(|_| body_bytes > 0),
        })
    }

    /// The head leaves the output buffer, to be followed by more than bytes.
    pub(super) fn stream(
        self,
        body: Option<ProbedTransfer<Arc<FileHandle>>>,
        next_part: NextPart,
        delivery: Delivery,
        buffers: &mut Buffers,
    ) -> Box<Stream> {
        let mut head = std::mem::take(&mut buffers.head);
        head.clear();
        head.extend_from_slice(&buffers.output[self.start..]);
        buffers.output.truncate(self.start);
        buffers.streams.fill(Stream {
            ends_by_close: matches!(next_part, NextPart::Listing { chunked: false, .. }),
            body: ResponseBody::new(head, body, next_part, delivery.read_path)
                .with_promise(delivery.promise),
            status: self.status,
            mount: delivery.mount,
            limit: self.limit,
        })
    }

    fn stream_parts(mut self, source: Source, delivery: Delivery, buffers: &mut Buffers) -> Reply {
        let next_part = match std::mem::replace(&mut self.rendered.rest, Rest::Nothing) {
            Rest::Parts(multipart) => {
                NextPart::Parts(Box::new(MultipartBody { source, multipart }))
            }
            _ => NextPart::Nothing,
        };
        Reply::Stream(self.stream(None, next_part, delivery, buffers))
    }
}
