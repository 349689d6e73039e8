//! Facts that are read from a file or from a sidecar, and that its mount remembers.

use zc_http::EntityTag;

/// What the sidecar `NAME.etag` of a file declares.
#[derive(Debug, Clone)]
pub(crate) struct SidecarTag {
    /// `None` where there is no sidecar, or none that counts.
    pub(crate) tag: Option<Box<EntityTag>>,
    /// When the sidecar was looked for, by
    /// [`coarse_now_ns`](crate::files::file_state::coarse_now_ns).
    pub(crate) looked_ns: i128,
}

/// What a precompressed file contains.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CodedContent {
    /// The file is empty, ends inside a frame, or is in another coding.
    Cut,
    /// Whole, of unknown length.
    Whole,
    /// Whole, and so many bytes long when decoded.
    WholeOf(u64),
    /// Whole, with a decoded length that has these lower 32 bits.
    WholeOfLower(u32),
}

impl CodedContent {
    /// Whether it may be the content of a file of `length` bytes.
    pub(crate) fn may_have_length(self, length: u64) -> bool {
        match self {
            Self::Cut => false,
            Self::Whole => true,
            Self::WholeOf(known) => known == length,
            Self::WholeOfLower(known) => known == length as u32,
        }
    }
}
