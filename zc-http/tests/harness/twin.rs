//! A second parser, slow and obvious: one byte at a time, everything copied, no code shared with the
//! first. It decides at the earliest byte, and so says what the first must decide, and when.

use std::fmt::Write;

use super::summary::shown;

/// What a head amounts to: its summary, or the status it is refused with.
pub(crate) type Verdict = Result<String, u16>;

/// The verdict on `bytes` and how many of them settle it; `None` while more are needed.
pub(crate) fn judge(bytes: &[u8], line_max: usize, head_max: usize) -> Option<(usize, Verdict)> {
    let mut twin = Twin {
        line_max,
        head_max,
        ..Twin::default()
    };
    for (index, &byte) in bytes.iter().enumerate() {
        if let Some(verdict) = twin.feed(byte) {
            return Some((index + 1, verdict));
        }
    }
    None
}

#[derive(Clone, Copy, Default, PartialEq)]
enum At {
    #[default]
    Start,
    StartLf,
    Method,
    Target,
    Version,
    LineCr,
    LineLf,
    FieldStart,
    Name,
    Value,
    ValueLf,
    EndLf,
}

#[derive(Default)]
struct Twin {
    line_max: usize,
    head_max: usize,
    at: At,
    total: usize,
    empty_lines: usize,
    line: usize,
    method: String,
    target: String,
    version: String,
    name: String,
    value: String,
    fields: Vec<(String, String)>,
}

impl Twin {
    fn feed(&mut self, byte: u8) -> Option<Verdict> {
        self.total += 1;
        let was_end = self.at == At::EndLf;
        match self.next(byte) {
            Err(status) => return Some(Err(status)),
            Ok(_) if was_end => return Some(self.finish()),
            Ok(at) => self.at = at,
        }
        if matches!(self.at, At::Method | At::Target | At::Version) && self.line == self.line_max {
            return Some(Err(414));
        }
        (self.total == self.head_max).then_some(Err(431))
    }

    fn next(&mut self, byte: u8) -> Result<At, u16> {
        // Latin-1, so that every byte is one character.
        let c = char::from(byte);
        if self.at == At::Start && c != '\r' {
            self.at = At::Method;
        }
        if matches!(self.at, At::Method | At::Target | At::Version) {
            self.line += 1;
        }
        match (self.at, c) {
            (At::Start, _) if self.empty_lines == 4 => Err(400),
            (At::Start, _) => Ok(At::StartLf),
            (At::StartLf, '\n') => {
                self.empty_lines += 1;
                Ok(At::Start)
            }
            (At::Method, ' ') if !self.method.is_empty() => Ok(At::Target),
            (At::Method, _) if is_token(c) => push(&mut self.method, c, At::Method),
            (At::Target, ' ') if is_target(&self.method, &self.target) => Ok(At::Version),
            (At::Target, '!'..='~' | '\u{80}'..) if c != '#' => {
                self.target.push(c);
                if may_become_target(&self.method, &self.target) {
                    Ok(At::Target)
                } else {
                    Err(400)
                }
            }
            (At::Version, _) => self.version_byte(c),
            (At::LineCr, '\r') => Ok(At::LineLf),
            (At::LineLf, '\n') => Ok(At::FieldStart),
            (At::FieldStart, '\r') => Ok(At::EndLf),
            (At::FieldStart, ' ' | '\t') => Err(400),
            (At::FieldStart, _) if self.fields.len() == 100 => Err(431),
            (At::FieldStart, _) if is_token(c) => {
                self.name = c.to_string();
                self.value.clear();
                Ok(At::Name)
            }
            (At::Name, ':') => Ok(At::Value),
            (At::Name, _) if is_token(c) => push(&mut self.name, c, At::Name),
            (At::Value, '\r') => Ok(At::ValueLf),
            (At::Value, '\t' | ' '..='~' | '\u{80}'..) => push(&mut self.value, c, At::Value),
            (At::ValueLf, '\n') => {
                let value = self.value.trim_matches([' ', '\t']).to_owned();
                self.fields.push((self.name.clone(), value));
                Ok(At::FieldStart)
            }
            (At::EndLf, '\n') => Ok(At::EndLf),
            _ => Err(400),
        }
    }

    fn version_byte(&mut self, c: char) -> Result<At, u16> {
        self.version.push(c);
        let pattern = "HTTP/0.0".chars();
        let fits = |(c, p): (char, char)| c == p || (p == '0' && c.is_ascii_digit());
        if !self.version.chars().zip(pattern).all(fits) {
            return Err(400);
        }
        if self.version.len() < 8 {
            return Ok(At::Version);
        }
        if !self.version.starts_with("HTTP/1") {
            return Err(505);
        }
        if self.target == "*" && self.method != "OPTIONS" {
            return Err(400);
        }
        Ok(At::LineCr)
    }

    fn all(&self, name: &str) -> Vec<&str> {
        let matching = self.fields.iter().filter(|(n, _)| n.to_lowercase() == name);
        matching.map(|(_, value)| value.as_str()).collect()
    }

    fn finish(&self) -> Verdict {
        let is_10 = self.version == "HTTP/1.0";
        match self.all("host")[..] {
            [] if is_10 => {}
            [host] if host.is_empty() || port_of(host).is_some() => {}
            _ => return Err(400),
        }
        let body = self.body(is_10)?;
        let connection = self.all("connection").join(",").to_lowercase();
        let mut options = connection.split(',').map(|o| o.trim_matches([' ', '\t']));
        let closes = options.clone().any(|option| option == "close");
        let keeps = !closes && (!is_10 || options.any(|option| option == "keep-alive"));

        let known = "GET HEAD POST PUT DELETE CONNECT OPTIONS TRACE PATCH";
        let is_known = known.split(' ').any(|method| method == self.method);
        let method = if is_known {
            &self.method
        } else {
            "UNRECOGNIZED"
        };
        let mut out = format!("method {method}\n");
        self.describe_target(&mut out);
        let version = if is_10 { "HTTP/1.0" } else { "HTTP/1.1" };
        writeln!(out, "version {version}").unwrap();
        for (name, value) in &self.fields {
            writeln!(out, "field {}: {}", latin1(name), latin1(value)).unwrap();
        }
        writeln!(out, "body {body}\nhead {} bytes", self.total).unwrap();
        out.push_str(if keeps {
            "after keep-alive\n"
        } else {
            "after close\n"
        });
        Ok(out)
    }

    fn describe_target(&self, out: &mut String) {
        let target = &self.target;
        if self.method == "CONNECT" {
            return writeln!(out, "target authority {}", latin1(target)).unwrap();
        }
        if target == "*" {
            return out.push_str("target asterisk\n");
        }
        let (uri, query) = match target.split_once('?') {
            Some((uri, query)) => (uri, Some(query)),
            None => (target.as_str(), None),
        };
        if uri.starts_with('/') {
            writeln!(out, "target origin\npath {}", latin1(uri)).unwrap();
        } else {
            let after = uri.split_once("://").unwrap().1;
            let (authority, path) = after.split_once('/').unwrap_or((after, ""));
            let path = format!("/{path}");
            writeln!(
                out,
                "target absolute {}\npath {}",
                latin1(authority),
                latin1(&path)
            )
            .unwrap();
        }
        if let Some(query) = query {
            writeln!(out, "query {}", latin1(query)).unwrap();
        }
    }

    fn body(&self, is_10: bool) -> Result<String, u16> {
        let lengths = self.all("content-length");
        let codings = self.all("transfer-encoding");
        if !codings.is_empty() {
            if !lengths.is_empty() || is_10 {
                return Err(400);
            }
            let list = codings.join(",").to_lowercase();
            let list: Vec<_> = list
                .split(',')
                .map(|c| c.trim_matches([' ', '\t']))
                .collect();
            let (last, others) = list.split_last().unwrap();
            let are_tokens = others
                .iter()
                .all(|other| !other.is_empty() && other.chars().all(is_token));
            return match () {
                () if *last != "chunked" || others.contains(last) || !are_tokens => Err(400),
                () if others.is_empty() => Ok("chunked".to_owned()),
                () => Err(501),
            };
        }
        match lengths[..] {
            [] => Ok("none".to_owned()),
            [length] if length.chars().all(|c| c.is_ascii_digit()) => match length.parse::<u64>() {
                Ok(0) => Ok("none".to_owned()),
                Ok(bytes) => Ok(format!("length {bytes}")),
                Err(_) => Err(400),
            },
            _ => Err(400),
        }
    }
}

fn push(text: &mut String, c: char, at: At) -> Result<At, u16> {
    text.push(c);
    Ok(at)
}

fn latin1(text: &str) -> String {
    let bytes: Vec<u8> = text.chars().map(|c| c as u8).collect();
    shown(&bytes)
}

fn is_token(c: char) -> bool {
    c.is_ascii_graphic() && !"\"(),/:;<=>?@[\\]{}".contains(c)
}

fn is_authority_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || "-._~%!$&'()*+,;=:[]".contains(c)
}

fn is_target(method: &str, target: &str) -> bool {
    if method == "CONNECT" {
        return port_of(target).is_some_and(|port| !port.is_empty());
    }
    target == "*" || target.starts_with('/') || {
        let lower = target.to_lowercase();
        let is_http = lower.starts_with("http://") || lower.starts_with("https://");
        is_http && port_of(authority_of(target)).is_some()
    }
}

fn may_become_target(method: &str, start: &str) -> bool {
    if method == "CONNECT" {
        return start.chars().all(is_authority_char);
    }
    let lower = start.to_lowercase();
    let schemes = ["http://", "https://"];
    if schemes.iter().any(|scheme| lower.starts_with(scheme)) {
        let authority = authority_of(start);
        return if start.len() == start.find("://").unwrap() + 3 + authority.len() {
            authority.chars().all(is_authority_char)
        } else {
            port_of(authority).is_some()
        };
    }
    start == "*" || start.starts_with('/') || schemes.iter().any(|s| s.starts_with(&lower))
}

fn authority_of(target: &str) -> &str {
    let after = target.split_once("://").unwrap().1;
    after.split(['/', '?']).next().unwrap()
}

/// The port of a valid authority with a host, empty if there is none.
fn port_of(authority: &str) -> Option<&str> {
    let (host, port) = match authority.rfind(':') {
        Some(at) if !authority[at..].contains(']') => (&authority[..at], &authority[at + 1..]),
        _ => (authority, ""),
    };
    let inner = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'));
    let name = inner.unwrap_or(host);
    let excluded = if inner.is_some() { "[]%" } else { "[]:" };
    let is_plain = name
        .chars()
        .all(|c| is_authority_char(c) && !excluded.contains(c));
    let mut escapes = name.split('%').skip(1);
    let are_escaped = escapes.all(|after| {
        let digits: Vec<char> = after.chars().take(2).collect();
        digits.len() == 2 && digits.iter().all(char::is_ascii_hexdigit)
    });
    let is_valid = !name.is_empty() && is_plain && are_escaped;
    (is_valid && port.chars().all(|c| c.is_ascii_digit())).then_some(port)
}
