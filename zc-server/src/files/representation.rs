//! The selected representation of a resource (RFC 9110 §3.2): a file, and the fields that depend on it alone.

use zc_http::{Coding, HttpTime, Validators};

use crate::files::lookup::Resource;
use crate::files::open_file::OpenFile;
use crate::files::rules::Rules;
use crate::files::validators::validators;
use crate::rate::RateLimit;

/// A file, and the fields of its responses that depend on the file alone.
#[derive(Debug)]
pub(crate) struct Representation {
    pub(crate) resource: Resource,
    pub(crate) validators: Validators,
    pub(crate) content_type: String,
    /// The content coding of the file itself, which is not negotiated.
    own_coding: Option<String>,
    pub(crate) cache_control: Option<String>,
    /// The most that it is sent at.
    pub(crate) limit: Option<RateLimit>,
    /// Configured fields, as lines of a head.
    pub(crate) lines: Vec<u8>,
}

impl Representation {
    pub(crate) fn new(resource: Resource, rules: &Rules, now: HttpTime) -> Self {
        let OpenFile {
            state, stability, ..
        } = &resource.file;
        let (declared, coding) = (resource.declared_tag, resource.coding);
        let own_coding = rules.own_coding(&resource.path);
        Self {
            validators: validators(state, *stability, declared, coding, rules.etags, now),
            content_type: rules
                .types
                .media_type(&resource.path, own_coding)
                .into_owned(),
            own_coding: own_coding.map(str::to_owned),
            limit: rules.limit(&resource.path),
            lines: rules.file_lines(&resource.path),
            cache_control: rules.cache_control(&resource.path).map(str::to_owned),
            resource,
        }
    }

    /// The value of `Content-Encoding`, if it has one.
    pub(crate) fn content_encoding(&self) -> Option<&str> {
        match (&self.own_coding, self.resource.coding) {
            (Some(own), _) => Some(own),
            (None, Coding::Identity) => None,
            (None, coded) => Some(coded.token()),
        }
    }

    /// Length of the whole file, in bytes.
    pub(crate) fn length(&self) -> u64 {
        self.resource.file.state.length
    }
}
