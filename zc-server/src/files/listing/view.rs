//! The format, the layout and the order of a listing.

/// How a directory is listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct View {
    pub(crate) format: Format,
    pub(crate) layout: Layout,
    pub(crate) key: SortKey,
    pub(crate) descending: bool,
}

/// The media type of a listing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    Html,
    Json,
}

/// How a page in HTML shows the entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Layout {
    Rows,
    /// Pictures and films as tiles, other files below them.
    Gallery,
}

/// What entries are sorted by. Directories always come first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SortKey {
    Name,
    Size,
    Time,
}

impl View {
    /// The view of a query: `format=json|html`, `view=gallery`, `sort=name|size|time`, `order=asc|desc`. Other
    /// values are ignored.
    pub(crate) fn from_query(query: Option<&[u8]>, prefers_json: bool) -> Self {
        let value = |name| query.and_then(|query| zc_http::query_value(query, name));
        Self {
            format: match value("format") {
                Some(b"json") => Format::Json,
                Some(b"html") => Format::Html,
                _ if prefers_json => Format::Json,
                _ => Format::Html,
            },
            layout: match value("view") {
                Some(b"gallery") => Layout::Gallery,
                _ => Layout::Rows,
            },
            key: match value("sort") {
                Some(b"size") => SortKey::Size,
                Some(b"time") => SortKey::Time,
                _ => SortKey::Name,
            },
            descending: value("order") == Some(b"desc"),
        }
    }
    pub(super) fn is_gallery(self) -> bool {
        self.format == Format::Html && self.layout == Layout::Gallery
    }

    /// The part of a query that keeps the order, behind another part and in an attribute of HTML; empty for the
    /// order that needs none.
    pub(super) fn order_in_query(self) -> &'static str {
        match (self.key, self.descending) {
            (SortKey::Name, false) => "",
            (SortKey::Name, true) => "&amp;order=desc",
            (SortKey::Size, false) => "&amp;sort=size",
            (SortKey::Size, true) => "&amp;sort=size&amp;order=desc",
            (SortKey::Time, false) => "&amp;sort=time",
            (SortKey::Time, true) => "&amp;sort=time&amp;order=desc",
        }
    }
}
