//! A file as it would be sent: what the disk told of it, and the fields that follow from that.

use zc_http::{Coding, HttpTime, Validators};

use crate::files::lookup::Resource;
use crate::files::open_file::OpenFile;
use crate::files::rules::Rules;
use crate::files::validators::validators;

/// A file and the fields of its responses, as far as they depend on the file alone.
#[derive(Debug)]
pub(crate) struct Representation {
    pub(crate) resource: Resource,
    pub(crate) validators: Validators,
    pub(crate) content_type: String,
    /// The coding of its bytes that is not a matter of negotiation.
    own_coding: Option<String>,
    pub(crate) cache_control: Option<String>,
    /// Further fields, as lines of a head.
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
            lines: rules.file_lines(&resource.path),
            cache_control: rules.cache_control(&resource.path).map(str::to_owned),
            resource,
        }
    }

    /// The value of `Content-Encoding`, where it has one.
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
