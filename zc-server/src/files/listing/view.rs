//! The format, the layout and the order of a listing.

use std::borrow::Cow;

/// How a directory is listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct View {
    pub(crate) format: Format,
    pub(crate) layout: Layout,
    pub(crate) key: SortKey,
    pub(crate) descending: bool,
    /// Whether the query says what entries are sorted by.
    is_chosen: bool,
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

/// The form of a listing on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ListingForm {
    pub(crate) format: Format,
    /// Whether it is in the content coding gzip.
    pub(crate) is_gzip: bool,
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
            is_chosen: value("sort").is_some() || value("order").is_some(),
        }
    }

    /// The query of links to other directories, escaped: the layout and the order are kept where they were chosen.
    /// Links of the page without a query have none, so that programs that mirror a tree see each page once.
    pub(crate) fn kept(&self) -> Cow<'static, str> {
        let order = self.kept_order();
        match (self.layout, order.strip_prefix("&amp;")) {
            (Layout::Rows, None) => "".into(),
            (Layout::Rows, Some(order)) => format!("?{order}").into(),
            (Layout::Gallery, _) => format!("?view=gallery{order}").into(),
        }
    }

    /// The end of a query that keeps the order where it was chosen, escaped.
    pub(super) fn kept_order(&self) -> String {
        match self.chosen() {
            Some((key, order)) => format!("&amp;sort={key}&amp;order={order}"),
            None => String::new(),
        }
    }

    /// The key and the direction, as the query names them, where they were chosen.
    pub(super) fn chosen(&self) -> Option<(&'static str, &'static str)> {
        let key = match self.key {
            SortKey::Name => "name",
            SortKey::Size => "size",
            SortKey::Time => "time",
        };
        let order = if self.descending { "desc" } else { "asc" };
        self.is_chosen.then_some((key, order))
    }

    pub(super) fn is_gallery(self) -> bool {
        self.format == Format::Html && self.layout == Layout::Gallery
    }
}
