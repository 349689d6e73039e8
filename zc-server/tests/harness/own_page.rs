//! What is asserted of every page that the server writes itself.

use sha2::{Digest, Sha256};

use super::Response;

/// Base64 with padding.
pub(crate) fn base64(bytes: &[u8]) -> String {
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for three in bytes.chunks(3) {
        let whole = [three, &[0; 2]].concat();
        let bits = whole[..3]
            .iter()
            .fold(0, |bits, &byte| bits << 8 | usize::from(byte));
        let digits = [18, 12, 6, 0].map(|shift| char::from(alphabet[bits >> shift & 63]));
        text.extend(&digits[..=three.len()]);
        text.extend(std::iter::repeat_n('=', 3 - three.len()));
    }
    text
}

/// The texts of the elements of this name.
pub(crate) fn contents<'p>(page: &'p str, element: &str) -> Vec<&'p str> {
    let (open, close) = (format!("<{element}>"), format!("</{element}>"));
    let elements = page.split(&open[..]).skip(1);
    elements
        .map(|rest| rest.split_once(&close[..]).expect("an end").0)
        .collect()
}

/// Asserts that a browser applies each style of a page and runs each script of it, and answers the page.
#[track_caller]
pub(crate) fn allowed_by_its_policy(response: &Response) -> String {
    let page = String::from_utf8(response.body.clone()).expect("UTF-8");
    let policy = response.field("content-security-policy").expect("a policy");
    for (element, directive) in [("style", "style-src"), ("script", "script-src")] {
        let mut directives = policy.split("; ").map(|text| text.split(' '));
        let sources = directives.find(|words| words.clone().next() == Some(directive));
        let sources: Vec<_> = sources.into_iter().flatten().skip(1).collect();
        for text in contents(&page, element) {
            let hash = format!("'sha256-{}'", base64(&Sha256::digest(text)));
            assert!(sources.contains(&&hash[..]), "{text} by {policy}");
        }
    }
    page
}

/// The references of all links of a page.
pub(crate) fn links(page: &str) -> Vec<&str> {
    let links = page.split("<a href=\"").skip(1);
    links
        .map(|rest| rest.split_once('"').expect("an end").0)
        .collect()
}

/// The path that a browser takes a relative reference on the page at `path` to mean, which must not lead above the
/// root.
pub(crate) fn resolved(path: &str, reference: &str) -> String {
    let mut segments: Vec<_> = path.split('/').skip(1).collect();
    segments.pop();
    for step in reference.split_terminator('/') {
        match step {
            "." => {}
            ".." => {
                assert!(segments.pop().is_some(), "{reference} on {path}");
            }
            name => segments.push(name),
        }
    }
    segments
        .iter()
        .fold("/".to_owned(), |path, segment| path + segment + "/")
}
