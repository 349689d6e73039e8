//! The format and the order of a listing.

/// How a directory is listed.
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

/// What entries are sorted by. Directories always come first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SortKey {
    Name,
    Size,
    Time,
}

impl View {
    /// The view of a query: `format=json|html`, `sort=name|size|time`, `order=asc|desc`. Other values are
    /// ignored.
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
