//! What a request wants of a listing: its format and its order.

/// In which order, and as what, a directory is listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct View {
    pub(crate) format: Format,
    pub(crate) key: SortKey,
    pub(crate) descending: bool,
}

/// The media type of a listing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    Html,
    Json,
}

/// What entries are sorted by; directories come first in any case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SortKey {
    Name,
    Size,
    Time,
}

impl View {
    /// What the query asks for: `format=json|html`, `sort=name|size|time`, `order=asc|desc`. Other
    /// words are as good as none.
    pub(crate) fn from_query(query: Option<&[u8]>, prefers_json: bool) -> Self {
        let value = |name| query.and_then(|query| zc_http::query_value(query, name));
        Self {
            format: match value("format") {
                Some(b"json") => Format::Json,
                Some(b"html") => Format::Html,
                _ if prefers_json => Format::Json,
                _ => Format::Html,
            },
            key: match value("sort") {
                Some(b"size") => SortKey::Size,
                Some(b"time") => SortKey::Time,
                _ => SortKey::Name,
            },
            descending: value("order") == Some(b"desc"),
        }
    }
}
