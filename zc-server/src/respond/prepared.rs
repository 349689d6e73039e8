//! Responses that are made once and sent often.

use std::ops::Range;
use std::os::unix::fs::FileExt;

use zc_http::{HttpTime, Method, Persistence, Version};

use crate::config::Scheme;
use crate::files::file_state::FileState;
use crate::files::mounts::ReadPath;
use crate::files::representation::Representation;
use crate::files::rules::Rules;
use crate::respond::plan::{self, Plan};
use crate::respond::render::{Framing, render};
use crate::services::Services;

/// The length of an IMF-fixdate.
pub(crate) const DATE_BYTES: usize = 29;

/// A response in bytes that are the same each time, but for the date.
#[derive(Debug)]
pub(crate) struct Prepared {
    bytes: Vec<u8>,
    head_bytes: usize,
    has_body: bool,
    /// Where the date stands, and which one it is.
    date_at: usize,
    date: HttpTime,
}

/// Whether this response is the one that is kept ready: asked for by GET in HTTP/1.1, on a
/// connection that goes on, and with no fields but those that all requests get.
pub(crate) fn is_ordinary(framing: &Framing<'_>, rules: &Rules) -> bool {
    framing.method == Method::Get
        && framing.version == Version::Http11
        && framing.after == Persistence::KeepAlive
        && framing.disposition.is_none()
        && framing.request_id.is_none()
        && (framing.scheme == Scheme::Https || !rules.depends_on_scheme())
        && framing
            .grant
            .is_like(plan::grant(rules.cors.as_ref(), None))
}

/// The 200 for `file`, with its bytes if it is not longer than `file_max` and can be read without
/// waiting.
pub(crate) fn whole(
    file: &Representation,
    file_max: u64,
    services: &Services,
    rules: &Rules,
    now: HttpTime,
) -> Prepared {
    let mut bytes = Vec::new();
    let head_bytes = head(&Plan::Whole(file), rules, now, &mut bytes);
    let has_body = file.length() <= file_max && append_content(file, services, &mut bytes);
    bytes.shrink_to_fit();
    Prepared::new(bytes, head_bytes, has_body, now)
}

/// The 304 for `file`.
pub(crate) fn not_modified(file: &Representation, rules: &Rules, now: HttpTime) -> Prepared {
    let mut bytes = Vec::new();
    let head_bytes = head(&Plan::NotModified(file), rules, now, &mut bytes);
    bytes.shrink_to_fit();
    Prepared::new(bytes, head_bytes, false, now)
}

fn head(plan: &Plan<'_>, rules: &Rules, now: HttpTime, bytes: &mut Vec<u8>) -> usize {
    let framing = Framing {
        method: Method::Get,
        version: Version::Http11,
        after: Persistence::KeepAlive,
        now,
        request_id: None,
        lines: rules.lines(Scheme::Https),
        scheme: Scheme::Https,
        own_lines: &rules.own_lines,
        own_style: rules.own_style.as_ref(),
        error_form: None,
        grant: plan::grant(rules.cors.as_ref(), None),
        disposition: None,
        has_routes: rules.spa.is_some(),
    };
    debug_assert!(is_ordinary(&framing, rules));
    render(plan, framing, bytes).head_end
}

/// Appends the bytes of the file, all or none of them. Answers whether it did.
fn append_content(file: &Representation, services: &Services, bytes: &mut Vec<u8>) -> bool {
    let start = bytes.len();
    let opened = &file.resource.file;
    // What was read belongs to the state that was told only if that is its state still.
    let is_read = append_range(file, 0..file.length(), services, bytes)
        && FileState::from_file(&opened.file).is_ok_and(|state| state == opened.state);
    if !is_read {
        bytes.truncate(start);
    }
    is_read
}

/// Appends a range of the file if it can be read without waiting, all or nothing of it. Answers
/// whether it did.
pub(crate) fn append_range(
    file: &Representation,
    range: Range<u64>,
    services: &Services,
    bytes: &mut Vec<u8>,
) -> bool {
    let opened = &file.resource.file;
    let Ok(length) = usize::try_from(range.end - range.start) else {
        return false;
    };
    let start = bytes.len();
    bytes.resize(start + length, 0);
    let room = &mut bytes[start..];
    let is_read = match services.read_path(opened) {
        ReadPath::Direct => opened.file.file().read_exact_at(room, range.start).is_ok(),
        ReadPath::Probe | ReadPath::Prefetched => {
            opened.file.lets_probe(range.clone()) && {
                let read = zc_core::read_resident(&opened.file, room, range.start);
                let is_whole = read.is_ok_and(|count| count == room.len());
                if !is_whole {
                    // The kernel reads the rest now, and nobody waits for that.
                    drop(opened.file.gate().begin(range.end - range.start));
                }
                is_whole
            }
        }
        ReadPath::Offload => false,
    };
    if !is_read {
        bytes.truncate(start);
    }
    is_read
}

impl Prepared {
    /// `bytes` begin with a head that has `date` in its `Date` field.
    fn new(bytes: Vec<u8>, head_bytes: usize, has_body: bool, date: HttpTime) -> Self {
        let text = date.imf_fixdate();
        let date_at = bytes.windows(DATE_BYTES).position(|window| window == text);
        Self {
            // In a head without a date there is nothing to renew.
            date_at: date_at.unwrap_or(bytes.len()),
            bytes,
            head_bytes,
            has_body,
            date,
        }
    }

    /// Puts the date of `now`, which is `text`, in its place.
    pub(crate) fn renew(&mut self, now: HttpTime, text: &[u8; DATE_BYTES]) {
        if self.date != now {
            self.date = now;
            if let Some(place) = self.bytes.get_mut(self.date_at..self.date_at + DATE_BYTES) {
                place.copy_from_slice(text);
            }
        }
    }

    /// Head, and body if it has one.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(crate) fn head(&self) -> &[u8] {
        &self.bytes[..self.head_bytes]
    }

    /// What stands behind the head; `None` where the body is not kept.
    pub(crate) fn body(&self) -> Option<&[u8]> {
        self.has_body.then(|| &self.bytes[self.head_bytes..])
    }

    /// Bytes of memory.
    pub(crate) fn weight(&self) -> usize {
        self.bytes.capacity()
    }
}
