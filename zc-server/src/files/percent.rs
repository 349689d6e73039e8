//! Percent-encoding of file names in URLs (RFC 3986 §2.1).

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC};

/// The characters that are encoded in one segment of a path: all but the unreserved ones
/// ([RFC 3986 §2.3](https://www.rfc-editor.org/rfc/rfc3986#section-2.3)).
pub(crate) const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');
