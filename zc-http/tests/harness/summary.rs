//! A parsed request put into words.

use std::fmt::Write;

use zc_http::{BodyFraming, Persistence, Request, Target, persistence};

/// A request in the words of the `.expected` files.
pub(crate) fn summary(request: &Request<'_>) -> String {
    let mut out = format!("method {}\n", request.method.as_str());
    match request.target {
        Target::Origin { .. } => out.push_str("target origin\n"),
        Target::Absolute { authority, .. } => {
            writeln!(out, "target absolute {}", shown(authority)).unwrap();
        }
        Target::Authority(authority) => {
            writeln!(out, "target authority {}", shown(authority)).unwrap();
        }
        Target::Asterisk => out.push_str("target asterisk\n"),
    }
    if let Some(path) = request.target.path() {
        writeln!(out, "path {}", shown(path)).unwrap();
    }
    if let Some(query) = request.target.query() {
        writeln!(out, "query {}", shown(query)).unwrap();
    }
    writeln!(out, "version {}", request.version.as_str()).unwrap();
    for (name, value) in request.headers.iter() {
        writeln!(out, "field {}: {}", shown(name), shown(value)).unwrap();
    }
    match request.body {
        BodyFraming::None => out.push_str("body none\n"),
        BodyFraming::Length(bytes) => writeln!(out, "body length {bytes}").unwrap(),
        BodyFraming::Chunked => out.push_str("body chunked\n"),
    }
    writeln!(out, "head {} bytes", request.head_bytes).unwrap();
    out.push_str(match persistence(request) {
        Persistence::KeepAlive => "after keep-alive\n",
        Persistence::Close => "after close\n",
    });
    out
}

/// Bytes as printable text, and long ones by their length.
pub(crate) fn shown(bytes: &[u8]) -> String {
    if bytes.len() > 100 {
        return format!("<{} bytes>", bytes.len());
    }
    let mut out = String::new();
    for &byte in bytes {
        match byte {
            b'\t' => out.push_str("\\t"),
            b'\\' => out.push_str("\\\\"),
            b' '..=b'~' => out.push(char::from(byte)),
            _ => write!(out, "\\x{byte:02x}").unwrap(),
        }
    }
    out
}
