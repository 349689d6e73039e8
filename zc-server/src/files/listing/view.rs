//! The format and the order of a listing.

/// How a directory is listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct View {
    pub(crate) format: Format,
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
            is_chosen: value("sort").is_some() || value("order").is_some(),
        }
    }

    /// The query of links to other directories, escaped: the order is kept where it was chosen. Links of the
    /// page without a query have none, so that programs that mirror a tree see each page once.
    pub(crate) fn kept(&self) -> &'static str {
        match (self.is_chosen, self.key, self.descending) {
            (false, ..) => "",
            (true, SortKey::Name, false) => "?sort=name&amp;order=asc",
            (true, SortKey::Name, true) => "?sort=name&amp;order=desc",
            (true, SortKey::Size, false) => "?sort=size&amp;order=asc",
            (true, SortKey::Size, true) => "?sort=size&amp;order=desc",
            (true, SortKey::Time, false) => "?sort=time&amp;order=asc",
            (true, SortKey::Time, true) => "?sort=time&amp;order=desc",
        }
    }
}
