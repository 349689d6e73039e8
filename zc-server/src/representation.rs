//! A file as it would be sent: what the disk told of it, and the fields that follow from that.

use zc_http::{HttpTime, Validators};

use crate::lookup::Resource;
use crate::resolve::OpenFile;
use crate::site::Rules;
use crate::validators::validators;

/// A file and the fields of its responses, as far as they depend on the file alone.
#[derive(Debug)]
pub(crate) struct Representation {
    pub(crate) resource: Resource,
    pub(crate) validators: Validators,
    pub(crate) content_type: String,
    pub(crate) cache_control: Option<String>,
}

impl Representation {
    pub(crate) fn new(resource: Resource, rules: &Rules, now: HttpTime) -> Self {
        let OpenFile {
            state, stability, ..
        } = &resource.file;
        let (declared, coding) = (resource.declared_tag, resource.coding);
        Self {
            validators: validators(state, *stability, declared, coding, rules.etags, now),
            content_type: rules.types.of(&resource.path).into_owned(),
            cache_control: rules.cache_control(&resource.path).map(str::to_owned),
            resource,
        }
    }

    /// Length of the whole file, in bytes.
    pub(crate) fn length(&self) -> u64 {
        self.resource.file.state.length
    }
}
