//! Conditional requests.

use crate::{EntityTag, Headers, HttpTime, Method, etag_list_matches};

/// What identifies the current state of a representation
/// ([RFC 9110 §8.8](https://www.rfc-editor.org/rfc/rfc9110#section-8.8)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validators {
    /// Its entity-tag, if it has one.
    pub etag: Option<EntityTag>,
    /// When it was last modified, if that is known.
    pub last_modified: Option<HttpTime>,
}

/// The outcome of the preconditions of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Precondition {
    /// Answer as if there were none.
    Proceed,
    /// Answer 304: the client's copy is still good.
    NotModified,
    /// Answer 412: the client expects another state than the current one.
    PreconditionFailed,
}

/// Evaluates the preconditions in `headers` against a representation that exists, in the order of
/// [RFC 9110 §13.2.2](https://www.rfc-editor.org/rfc/rfc9110#section-13.2.2).
///
/// To be called only where the response without preconditions would be a success
/// ([§13.2.1](https://www.rfc-editor.org/rfc/rfc9110#section-13.2.1)). A malformed list of
/// entity-tags matches nothing; a date field that is malformed or repeated is ignored.
/// `If-Range` is evaluated by [`range_applies`].
pub fn evaluate_preconditions(
    method: Method,
    headers: &Headers<'_>,
    validators: &Validators,
) -> Precondition {
    if matches!(method, Method::Connect | Method::Options | Method::Trace) {
        return Precondition::Proceed;
    }
    let reads = matches!(method, Method::Get | Method::Head);

    // Steps 1 and 2: what must hold for the request to be carried out.
    let is_expected = matches_any(headers, "if-match", validators, false)
        .or_else(|| is_unmodified_since(headers, "if-unmodified-since", validators))
        .unwrap_or(true);
    if !is_expected {
        return Precondition::PreconditionFailed;
    }

    // Steps 3 and 4: what must not hold for a response to be worth sending.
    match matches_any(headers, "if-none-match", validators, true) {
        Some(true) if reads => Precondition::NotModified,
        Some(true) => Precondition::PreconditionFailed,
        Some(false) => Precondition::Proceed,
        None if reads
            && is_unmodified_since(headers, "if-modified-since", validators) == Some(true) =>
        {
            Precondition::NotModified
        }
        None => Precondition::Proceed,
    }
}

/// Whether `If-Range` lets a `Range` field apply
/// ([RFC 9110 §13.1.5](https://www.rfc-editor.org/rfc/rfc9110#section-13.1.5)): it is absent, or names
/// exactly the current state. Otherwise send the whole representation.
///
/// An entity-tag must match strongly. A date must be `Last-Modified` exactly, and only counts when
/// that is at least a second before `now`: within the same second the file may have been written
/// again ([§8.8.2.2](https://www.rfc-editor.org/rfc/rfc9110#section-8.8.2.2)).
pub fn range_applies(headers: &Headers<'_>, validators: &Validators, now: HttpTime) -> bool {
    let mut fields = headers.get_all("if-range");
    let Some(value) = fields.next() else {
        return true;
    };
    if fields.next().is_some() {
        return false;
    }
    if value.starts_with(b"\"") || value.starts_with(b"W/") {
        return validators.etag.is_some_and(|etag| etag.strong_eq(value));
    }
    validators.last_modified.is_some_and(|last_modified| {
        HttpTime::parse(value) == Some(last_modified)
            && last_modified.unix_seconds() < now.unix_seconds()
    })
}

/// Whether the fields called `name` list the current entity-tag, or are `*`; `None` when there are
/// no such fields.
fn matches_any(
    headers: &Headers<'_>,
    name: &str,
    validators: &Validators,
    weak: bool,
) -> Option<bool> {
    let mut fields = headers.get_all(name).peekable();
    let first = *fields.peek()?;
    if first == b"*" {
        fields.next();
        return Some(fields.next().is_none());
    }
    let Some(etag) = validators.etag else {
        return Some(false);
    };
    let found = fields.try_fold(false, |found, value| {
        Some(found | etag_list_matches(value, &etag, weak)?)
    });
    Some(found.unwrap_or(false))
}

/// Whether the representation was last modified at the date in field `name` or before; `None` when
/// there is no such field, or it has to be ignored.
fn is_unmodified_since(headers: &Headers<'_>, name: &str, validators: &Validators) -> Option<bool> {
    let mut fields = headers.get_all(name);
    let value = fields.next()?;
    if fields.next().is_some() {
        return None;
    }
    let since = HttpTime::parse(value)?;
    Some(validators.last_modified? <= since)
}
