//! Responses of several parts, taken apart.

use std::ops::Range;

use super::Response;

/// A part of a `multipart/byteranges`.
pub(crate) struct Part {
    /// The lines of its head.
    pub(crate) fields: String,
    /// What it says that it is, of the whole.
    pub(crate) range: Range<usize>,
    pub(crate) bytes: Vec<u8>,
}

impl Response {
    /// The parts of the body, which must be nothing but parts.
    pub(crate) fn parts(&self) -> Vec<Part> {
        let content_type = self.field("content-type").expect("a type");
        let boundary = content_type
            .strip_prefix("multipart/byteranges; boundary=")
            .expect("several parts");
        let delimiter = format!("\r\n--{boundary}");
        let mut parts = Vec::new();
        let mut rest = &self.body[..];
        loop {
            rest = rest
                .strip_prefix(delimiter.as_bytes())
                .expect("a delimiter");
            let Some(part) = rest.strip_prefix(b"\r\n") else {
                assert_eq!(rest, b"--\r\n", "the end of the last part");
                return parts;
            };
            let head = part.windows(4).position(|at| at == b"\r\n\r\n");
            let (fields, bytes) = part.split_at(head.expect("a head"));
            let fields = String::from_utf8(fields.to_vec()).expect("ASCII");
            let range = range_of(&fields);
            // The bytes are counted by what the part says of itself.
            let (bytes, behind) = bytes[4..].split_at(range.len());
            parts.push(Part {
                fields,
                range,
                bytes: bytes.to_vec(),
            });
            rest = behind;
        }
    }
}

/// The range in a `Content-Range`.
fn range_of(fields: &str) -> Range<usize> {
    let (_, range) = fields.split_once("Content-Range: bytes ").expect("a range");
    let (range, _) = range.split_once('/').expect("a length");
    let (first, last) = range.split_once('-').expect("two numbers");
    let last: usize = last.parse().expect("a number");
    first.parse().expect("a number")..last + 1
}
