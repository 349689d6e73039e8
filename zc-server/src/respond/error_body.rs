//! What an error says, in the form that the client asks for: a line of text, a page, or JSON.
//!
//! No form repeats anything of the request, so that nobody can put a text of his own into a page of the server.

use std::borrow::Cow;
use std::io::Write;

use serde_json::json;
use zc_http::{
    Headers, MediaAcceptance, Request, Status, Target, media_acceptance, prefers_media_type,
};

use super::plan;
use crate::html::{self, OwnStyle, put};

const HTML: &str = "text/html";
const JSON: &str = "application/json";
/// [RFC 9457 §3](https://www.rfc-editor.org/rfc/rfc9457#section-3).
const PROBLEM: &str = "application/problem+json";
const TEXT: &str = "text/plain";

/// The form of an error. Only forms that a client names take the place of text: `*/*` is what programs send that
/// show the text to somebody, or to nobody.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    Text,
    Page(Place),
    /// An object of RFC 9457, under this media type.
    Json(&'static str),
}

/// Where in the tree a client takes the target of its request to be, which the links of a page start from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    /// How many directories below the root.
    depth: usize,
    /// Whether the target is a directory itself.
    is_directory: bool,
}

impl Form {
    pub(crate) fn of(request: &Request<'_>) -> Self {
        let headers = &request.headers;
        // Most programs send one of these.
        if matches!(headers.get("accept"), None | Some(b"*/*")) {
            return Self::Text;
        }
        let is_named = |kind| media_acceptance(headers, kind) == MediaAcceptance::Named;
        let is_best = |kind| is_named(kind) && !is_below_another(headers, kind);
        if is_best(HTML) {
            return Self::Page(Place::of(request.target));
        }
        if !is_best(PROBLEM) && !is_best(JSON) {
            return Self::Text;
        }
        match media_acceptance(headers, PROBLEM) {
            MediaAcceptance::Refused => Self::Json(JSON),
            _ => Self::Json(PROBLEM),
        }
    }
}

/// Whether the client prefers another form to that of `kind`.
fn is_below_another(headers: &Headers<'_>, kind: &str) -> bool {
    let others = [HTML, PROBLEM, JSON, TEXT];
    let mut others = others.into_iter().filter(|&other| other != kind);
    others.any(|other| prefers_media_type(headers, other, kind))
}

impl Place {
    fn of(target: Target<'_>) -> Self {
        let path = target.path().unwrap_or(b"/");
        Self {
            depth: plan::depth(path),
            is_directory: path.ends_with(b"/"),
        }
    }

    /// The relative reference to the directory above; `None` for the root, and for what lies in the root itself.
    fn parent(self) -> Option<&'static str> {
        match (self.is_directory, self.depth) {
            (_, 0) | (true, 1) => None,
            (true, _) => Some("../"),
            (false, _) => Some("./"),
        }
    }

    /// That to the root: it holds below a proxy that serves the root under a prefix.
    fn root(self) -> String {
        match self.depth {
            0 => "./".to_owned(),
            depth => "../".repeat(depth),
        }
    }
}

/// The body of an error, and its media type.
pub(crate) struct Body {
    pub(crate) content_type: &'static str,
    pub(crate) bytes: Vec<u8>,
}

/// The body that is no text; `None` for text. `more` is what is known beside the status.
pub(crate) fn of(
    form: Form,
    status: Status,
    more: &str,
    own_style: Option<&OwnStyle>,
) -> Option<Body> {
    let detail = || match more {
        "" => Cow::Borrowed(detail(status)),
        more => Cow::Owned(sentence(more)),
    };
    let mut bytes = Vec::new();
    let content_type = match form {
        Form::Text => return None,
        Form::Page(place) => {
            page(&mut bytes, place, (status, &detail()), own_style);
            "text/html; charset=utf-8"
        }
        Form::Json(content_type) => {
            let problem = json!({
                "status": status.code(),
                "title": status.reason(),
                "detail": detail(),
            });
            // A `Vec` takes every write.
            let _ = writeln!(bytes, "{problem}");
            content_type
        }
    };
    Some(Body {
        content_type,
        bytes,
    })
}

fn page(
    out: &mut Vec<u8>,
    place: Place,
    (status, detail): (Status, &str),
    own_style: Option<&OwnStyle>,
) {
    let styles = [html::BASE, html::ERROR];
    html::start(out, &status.to_string(), &styles, own_style);
    let detail = html_escape::encode_safe(detail);
    put(
        out,
        format_args!("<main>\n<h1>{status}</h1>\n<p>{detail}</p>\n<nav>\n"),
    );
    if let Some(parent) = place.parent() {
        put(
            out,
            format_args!("<a href=\"{parent}\">Parent folder</a>\n"),
        );
    }
    let root = place.root();
    put(
        out,
        format_args!("<a href=\"{root}\">Start page</a>\n</nav>\n</main>\n"),
    );
    html::end(out);
}

/// A line of text as a sentence.
fn sentence(line: &str) -> String {
    let mut chars = line.trim_end().chars();
    let first = chars.next().map(|first| first.to_ascii_uppercase());
    first.into_iter().chain(chars).chain(['.']).collect()
}

/// What happened, and what to do.
fn detail(status: Status) -> &'static str {
    match status {
        Status::BadRequest => {
            "The server cannot understand the request. Check the address for a typing error."
        }
        Status::Unauthorized => {
            "This needs a user name and a password. Reload to be asked for them, or ask the operator for access."
        }
        Status::Forbidden => "You may not see this. Ask the operator for access if you need it.",
        Status::NotFound => {
            "There is nothing at this address. Check it for a typing error, or look for the file in a folder above."
        }
        Status::MethodNotAllowed => {
            "Files here can be read, not changed: use GET, HEAD or OPTIONS."
        }
        Status::NotAcceptable => {
            "The file has no form that the request accepts. Allow another coding in Accept-Encoding."
        }
        Status::RequestTimeout => "The request took too long to arrive. Try again.",
        Status::PreconditionFailed => {
            "The file is no longer the one that the request expects. Load it anew."
        }
        Status::ContentTooLarge => "The request has a body that is too large. Send it without one.",
        Status::UriTooLong => "The address is too long. Use a shorter one.",
        Status::RangeNotSatisfiable => {
            "The file ends before the part that was asked for. Load it from its start."
        }
        Status::ExpectationFailed => {
            "The request expects what this server does not do. Send it without the field Expect."
        }
        Status::RequestHeaderFieldsTooLarge => {
            "The request has too many fields. Delete the cookies of this site, and try again."
        }
        Status::InternalServerError => {
            "The server cannot read this. Try again later, or tell the operator."
        }
        Status::NotImplemented => {
            "The server does not know the method of the request: use GET, HEAD or OPTIONS."
        }
        Status::ServiceUnavailable => {
            "The server is too busy, or cannot reach its files for now. Try again in a moment."
        }
        Status::GatewayTimeout => "The disk did not answer in time. Try again in a moment.",
        Status::HttpVersionNotSupported => {
            "The server does not speak this version of HTTP. Use HTTP/1.1."
        }
        // None of them is an error.
        Status::Ok
        | Status::NoContent
        | Status::PartialContent
        | Status::MovedPermanently
        | Status::PermanentRedirect
        | Status::NotModified => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use zc_http::{Limits, Parse, parse};

    fn form(target: &str, fields: &str) -> Form {
        let head = format!("GET {target} HTTP/1.1\r\nHost: a\r\n{fields}\r\n");
        let Ok(Parse::Complete(request)) = parse(head.as_bytes(), &Limits::default()) else {
            panic!("{head}");
        };
        Form::of(&request)
    }

    #[test]
    fn the_form_is_one_that_the_client_names_and_prefers() {
        let page = Form::Page(Place {
            depth: 0,
            is_directory: true,
        });
        for (accept, expected) in [
            // curl, wget, scripts in a browser.
            ("*/*", Form::Text),
            ("", Form::Text),
            ("text/plain", Form::Text),
            ("text/*", Form::Text),
            ("application/*", Form::Text),
            ("image/avif,image/webp,*/*;q=0.8", Form::Text),
            ("text/html;q=0", Form::Text),
            ("nonsense;;;, /", Form::Text),
            // Firefox, Chromium, Safari, lynx.
            (
                "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
                page,
            ),
            (
                "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,*/*;q=0.8,\
                 application/signed-exchange;v=b3;q=0.7",
                page,
            ),
            ("text/html, text/plain, text/sgml, */*;q=0.01", page),
            ("TEXT/HTML", page),
            ("text/html, application/json", page),
            ("text/html;q=0.5, */*", Form::Text),
            ("text/html;q=0.5, text/plain", Form::Text),
            ("text/html;q=0.5, application/json", Form::Json(JSON)),
            ("application/json", Form::Json(JSON)),
            ("application/json;q=0.5, */*;q=0.1", Form::Json(PROBLEM)),
            ("application/json;q=0.5, */*", Form::Text),
            // A common library of scripts.
            ("application/json, text/plain, */*", Form::Json(PROBLEM)),
            ("application/problem+json", Form::Json(PROBLEM)),
            (
                "application/json, application/problem+json",
                Form::Json(PROBLEM),
            ),
            (
                "application/json, application/problem+json;q=0",
                Form::Json(JSON),
            ),
        ] {
            assert_eq!(
                form("/", &format!("Accept: {accept}\r\n")),
                expected,
                "{accept}"
            );
        }
        assert_eq!(form("/", ""), Form::Text);
        let both = "Accept: application/json;q=0.5\r\nAccept: text/html\r\n";
        assert_eq!(form("/", both), page);
    }

    #[test]
    fn the_links_lead_up_from_any_depth() {
        for (target, parent, root) in [
            ("/", None, "./"),
            ("/a", None, "./"),
            ("/a/", None, "../"),
            ("/a/b", Some("./"), "../"),
            ("/a/b/", Some("../"), "../../"),
            ("/a/b/c?x=/y/z/", Some("./"), "../../"),
            ("http://a/b/c/d", Some("./"), "../../"),
            ("http://a", None, "./"),
        ] {
            let Form::Page(place) = form(target, "Accept: text/html\r\n") else {
                panic!("no page");
            };
            assert_eq!(
                (place.parent(), &place.root()[..]),
                (parent, root),
                "{target}"
            );
        }
    }

    #[test]
    fn each_error_says_what_happened_and_what_to_do() {
        let place = Place {
            depth: 1,
            is_directory: false,
        };
        let mut details: Vec<_> = Status::ERRORS.map(detail).to_vec();
        for status in Status::ERRORS {
            assert!(detail(status).ends_with('.'), "{status}");
            let page = of(Form::Page(place), status, "", None).expect("a page");
            let page = String::from_utf8(page.bytes).expect("UTF-8");
            assert!(page.contains(&format!("<h1>{status}</h1>")), "{page}");
            let problem = of(Form::Json(PROBLEM), status, "", None).expect("an object");
            let problem: serde_json::Value =
                serde_json::from_slice(&problem.bytes).expect("one of JSON");
            assert_eq!(problem["status"], status.code());
            assert_eq!(problem["title"], status.reason());
            assert_eq!(problem["detail"], detail(status));
            assert!(of(Form::Text, status, "", None).is_none());
        }
        details.sort_unstable();
        details.dedup();
        assert_eq!(details.len(), Status::ERRORS.len());
    }

    #[test]
    fn what_more_is_known_takes_the_place_of_the_sentence() {
        let body = of(
            Form::Json(JSON),
            Status::BadRequest,
            "unknown <b>; use a\n",
            None,
        )
        .expect("JSON");
        let text = String::from_utf8(body.bytes).expect("UTF-8");
        assert!(text.contains(r#""detail":"Unknown <b>; use a.""#), "{text}");
    }
}
