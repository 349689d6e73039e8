//! The entries of the access log, and their formats.

use std::io::Write;
use std::time::SystemTime;

use jiff::Timestamp;

use super::record::{Client, TlsInfo};
use crate::clients::{RequestId, Sender};
use crate::config::LogFormat;
use crate::socket::Host;

/// What the access log has of one response.
#[derive(Debug, Clone)]
pub(crate) struct LogEntry<'a> {
    /// When the response ended.
    pub(crate) time: SystemTime,
    /// Whose connection it is.
    pub(crate) client: Client<'a>,
    /// Who has sent the request, and what that is called.
    pub(crate) sender: Sender,
    /// The user whose password the request had, or empty.
    pub(crate) user: &'a str,
    /// The request line as received, without its line end. Empty if none came.
    pub(crate) request_line: &'a [u8],
    /// The host as received: the authority of the target, or the `Host` field. Empty if there is neither.
    pub(crate) host: &'a [u8],
    /// The `Referer` field, or empty.
    pub(crate) referer: &'a [u8],
    /// The `User-Agent` field, or empty.
    pub(crate) user_agent: &'a [u8],
    /// The status code; `None` where the request ended without a response.
    pub(crate) status: Option<u16>,
    /// Bytes of the head that the socket accepted.
    pub(crate) head_bytes: u64,
    /// Bytes of the body that the socket accepted.
    pub(crate) body_bytes: u64,
    /// The send path of the body: `sendfile`, `splice`, `copy`, `memory` or `none`; over TLS `tls-copy`, `tls-memory`
    /// or `none`, and where the kernel seals `ktls-sendfile` or `ktls-splice`.
    pub(crate) send_path: &'static str,
    /// Why another send path than the configured one was taken, if so.
    pub(crate) fallback: Option<String>,
    /// System calls that sent bytes.
    pub(crate) calls: u64,
    /// How often the socket was full.
    pub(crate) would_blocks: u64,
    /// How often a disk I/O thread continued the response, since its bytes were not in memory.
    pub(crate) cold_windows: u64,
    /// The time that took, in microseconds.
    pub(crate) disk_micros: u64,
    /// From the first byte of the request to the last of the response, in microseconds.
    pub(crate) micros: u64,
    /// How it ended: `complete`, `truncated`, `peer_gone`, `stalled`, `disk_timeout`, `failed` or
    /// `shutdown`.
    pub(crate) outcome: &'static str,
}

impl LogEntry<'_> {
    /// The client: what a trusted proxy says, or what the connection does.
    fn address(&self) -> Host {
        let named = self.sender.client;
        named.map_or_else(|| self.client.address.host(), Host::Internet)
    }
}

/// Appends the line of `entry`, with its line end, to `out`. [`LogFormat::Off`] appends nothing.
///
/// Whatever came from the peer is escaped: every byte but printable ASCII, and also the quote and
/// the backslash, is written as `\xHH`. A line thus cannot be broken or forged, a terminal not be
/// controlled, and the bytes can be had back.
pub(crate) fn format(entry: &LogEntry<'_>, format: LogFormat, out: &mut Vec<u8>) {
    match format {
        LogFormat::Off => return,
        LogFormat::Clf => common(entry, out),
        LogFormat::Combined => {
            common(entry, out);
            for field in [entry.referer, entry.user_agent] {
                out.extend_from_slice(b" \"");
                escape_or_dash(field, out);
                out.push(b'"');
            }
            out.extend_from_slice(b" host=");
            escape_or_dash(entry.host, out);
            put(
                out,
                format_args!(
                    " send_path={} us={} outcome={}",
                    entry.send_path, entry.micros, entry.outcome
                ),
            );
        }
        LogFormat::Json => json(entry, out),
    }
    out.push(b'\n');
}

/// Version, cipher, name, resumption and the subject of the client; without TLS all of them are `null`.
fn json_tls(out: &mut Vec<u8>, tls: Option<&TlsInfo>) {
    let Some(tls) = tls else {
        let absent =
            b",\"tls\":null,\"cipher\":null,\"sni\":null,\"resumed\":null,\"client_subject\":null";
        return out.extend_from_slice(absent);
    };
    put(
        out,
        format_args!(",\"tls\":\"{}\",\"cipher\":\"{}\"", tls.version, tls.cipher),
    );
    match &tls.server_name {
        Some(name) => json_text(out, "sni", name.as_bytes()),
        None => out.extend_from_slice(b",\"sni\":null"),
    }
    put(
        out,
        format_args!(",\"resumed\":{},\"client_subject\":", tls.is_resumed),
    );
    // It is escaped already, and stands as OpenSSL and nginx have it; a `Vec` takes every write.
    let _ = serde_json::to_writer(out, &tls.client_subject.as_deref());
}

/// Apache's `%h %l %u %t "%r" %>s %b`; the date is in UTC.
fn common(entry: &LogEntry<'_>, out: &mut Vec<u8>) {
    let time = timestamp(entry.time).strftime("%d/%b/%Y:%H:%M:%S +0000");
    put(out, format_args!("{} - ", entry.address()));
    escape_word_or_dash(entry.user, out);
    put(out, format_args!(" [{time}] \""));
    escape_or_dash(entry.request_line, out);
    match entry.status {
        Some(status) => put(out, format_args!("\" {status} ")),
        None => out.extend_from_slice(b"\" - "),
    }
    match entry.body_bytes {
        0 => out.push(b'-'),
        bytes => put(out, format_args!("{bytes}")),
    }
}

/// One JSON object. The fields are always the same, and absent ones are `null`.
fn json(entry: &LogEntry<'_>, out: &mut Vec<u8>) {
    // The target is whatever lies between the outer spaces; a line that is not in three parts is
    // all target, so that nothing is lost.
    let line = entry.request_line;
    let outer = (
        line.iter().position(|&byte| byte == b' '),
        line.iter().rposition(|&byte| byte == b' '),
    );
    let (method, target, protocol) = match outer {
        (Some(first), Some(last)) if first < last => {
            (&line[..first], &line[first + 1..last], &line[last + 1..])
        }
        _ => (&line[..0], line, &line[..0]),
    };
    put(
        out,
        format_args!(
            "{{\"time\":\"{:.6}\",\"remote\":\"{}\",\"client\":\"{}\"",
            timestamp(entry.time),
            entry.client.remote,
            entry.address()
        ),
    );
    let request_id = entry.sender.request_id.as_ref();
    json_text(
        out,
        "request_id",
        request_id.map_or(b"", RequestId::as_bytes),
    );
    json_text(out, "user", entry.user.as_bytes());
    json_tls(out, entry.client.tls);
    json_text(out, "host", entry.host);
    json_text(out, "method", method);
    json_text(out, "target", target);
    json_text(out, "protocol", protocol);
    match entry.status {
        Some(status) => put(out, format_args!(",\"status\":{status}")),
        None => out.extend_from_slice(b",\"status\":null"),
    }
    put(
        out,
        format_args!(
            ",\"head_bytes\":{},\"bytes\":{},\"send_path\":\"{}\"",
            entry.head_bytes, entry.body_bytes, entry.send_path
        ),
    );
    json_text(
        out,
        "fallback",
        entry.fallback.as_deref().unwrap_or_default().as_bytes(),
    );
    put(
        out,
        format_args!(
            ",\"calls\":{},\"would_blocks\":{},\"cold_windows\":{},\"disk_us\":{},\"us\":{},\
             \"outcome\":\"{}\"",
            entry.calls,
            entry.would_blocks,
            entry.cold_windows,
            entry.disk_micros,
            entry.micros,
            entry.outcome
        ),
    );
    json_text(out, "referer", entry.referer);
    json_text(out, "user_agent", entry.user_agent);
    out.push(b'}');
}

/// Appends `,"name":"text"`, or `null` for an empty text.
fn json_text(out: &mut Vec<u8>, name: &str, text: &[u8]) {
    put(out, format_args!(",\"{name}\":"));
    if text.is_empty() {
        out.extend_from_slice(b"null");
        return;
    }
    let mut escaped = Vec::with_capacity(text.len());
    escape(text, &mut escaped);
    // The escaped text is ASCII, so that nothing is replaced; a `Vec` takes every write.
    let _ = serde_json::to_writer(out, &*String::from_utf8_lossy(&escaped));
}

/// Appends escaped text, or `-` where there is none.
fn escape_or_dash(text: &[u8], out: &mut Vec<u8>) {
    if text.is_empty() {
        out.push(b'-');
    } else {
        escape(text, out);
    }
}

/// The same of a word, which has no space.
fn escape_word_or_dash(word: &str, out: &mut Vec<u8>) {
    for (index, part) in word.split(' ').enumerate() {
        if index > 0 {
            out.extend_from_slice(b"\\x20");
        }
        escape(part.as_bytes(), out);
    }
    if word.is_empty() {
        out.push(b'-');
    }
}

/// Appends text with `\xHH` for all but printable ASCII, and for the quote and the backslash.
fn escape(text: &[u8], out: &mut Vec<u8>) {
    for &byte in text {
        match byte {
            b'"' | b'\\' => put(out, format_args!("\\x{byte:02X}")),
            b' '..=b'~' => out.push(byte),
            _ => put(out, format_args!("\\x{byte:02X}")),
        }
    }
}

/// Appends formatted text.
fn put(out: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    // A `Vec` takes every write.
    let _ = out.write_fmt(text);
}

/// The time as a timestamp; a clock that is outside of years -9999 to 9999 is shown as 1970.
fn timestamp(time: SystemTime) -> Timestamp {
    Timestamp::try_from(time).unwrap_or(Timestamp::UNIX_EPOCH)
}

#[cfg(test)]
pub(crate) mod tests {
    use std::net::{Ipv6Addr, SocketAddr};
    use std::time::Duration;

    use serde_json::Value;

    use super::*;

    pub(crate) fn entry() -> LogEntry<'static> {
        LogEntry {
            // The example of Apache's manual, 2000-10-10 20:55:36 UTC.
            time: SystemTime::UNIX_EPOCH + Duration::from_micros(971_211_336_000_042),
            client: Client {
                remote: SocketAddr::from(([127, 0, 0, 1], 4711)).into(),
                address: SocketAddr::from(([127, 0, 0, 1], 4711)).into(),
                tls: None,
            },
            sender: Sender::default(),
            user: "",
            request_line: b"GET /apache_pb.gif HTTP/1.0",
            host: b"www.example.com:8080",
            referer: b"http://www.example.com/start.html",
            user_agent: b"Mozilla/4.08 [en] (Win98; I ;Nav)",
            status: Some(200),
            head_bytes: 180,
            body_bytes: 2326,
            send_path: "sendfile",
            fallback: None,
            calls: 3,
            would_blocks: 1,
            cold_windows: 2,
            disk_micros: 345,
            micros: 1234,
            outcome: "complete",
        }
    }

    fn hostile() -> LogEntry<'static> {
        LogEntry {
            client: Client {
                remote: SocketAddr::from((Ipv6Addr::LOCALHOST, 1)).into(),
                address: SocketAddr::from((Ipv6Addr::LOCALHOST, 1)).into(),
                tls: None,
            },
            request_line: b"GET /a\"b\\c\x1b[2J\n\xff\xc3\xa9\x7f HTTP/1.1",
            host: b"",
            referer: b"",
            user_agent: b"x\" 200 1\r\n{}",
            body_bytes: 0,
            fallback: Some("sendfile: EINVAL \"odd\"".to_owned()),
            ..entry()
        }
    }

    pub(crate) fn line(entry: &LogEntry<'_>, log_format: LogFormat) -> String {
        let mut out = Vec::new();
        format(entry, log_format, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn common_log_format() {
        assert_eq!(
            line(&entry(), LogFormat::Clf),
            "127.0.0.1 - - [10/Oct/2000:20:55:36 +0000] \"GET /apache_pb.gif HTTP/1.0\" 200 2326\n"
        );
        assert_eq!(
            line(&hostile(), LogFormat::Clf),
            "::1 - - [10/Oct/2000:20:55:36 +0000] \
             \"GET /a\\x22b\\x5Cc\\x1B[2J\\x0A\\xFF\\xC3\\xA9\\x7F HTTP/1.1\" 200 -\n"
        );
        let nothing = LogEntry {
            request_line: b"",
            ..entry()
        };
        assert!(line(&nothing, LogFormat::Clf).contains("] \"-\" 200"));
    }

    #[test]
    fn the_user_is_one_word() {
        let user = LogEntry {
            user: "ann d \"\u{e9}\"",
            ..entry()
        };
        let common = line(&user, LogFormat::Clf);
        let expected = "127.0.0.1 - ann\\x20d\\x20\\x22\\xC3\\xA9\\x22 [10/Oct/2000:";
        assert!(common.starts_with(expected), "{common}");
        let value: Value = serde_json::from_str(&line(&user, LogFormat::Json)).unwrap();
        assert_eq!(value["user"], "ann d \\x22\\xC3\\xA9\\x22");
    }

    #[test]
    fn combined_log_format() {
        assert_eq!(
            line(&entry(), LogFormat::Combined),
            "127.0.0.1 - - [10/Oct/2000:20:55:36 +0000] \"GET /apache_pb.gif HTTP/1.0\" 200 2326 \
             \"http://www.example.com/start.html\" \"Mozilla/4.08 [en] (Win98; I ;Nav)\" \
             host=www.example.com:8080 send_path=sendfile us=1234 outcome=complete\n"
        );
        assert!(line(&hostile(), LogFormat::Combined).ends_with(
            " 200 - \"-\" \"x\\x22 200 1\\x0D\\x0A{}\" host=- send_path=sendfile us=1234 outcome=complete\n"
        ));
    }

    #[test]
    fn a_request_without_an_answer_has_no_status() {
        let entry = LogEntry {
            status: None,
            body_bytes: 0,
            ..entry()
        };
        let text = line(&entry, LogFormat::Clf);
        assert!(text.ends_with("HTTP/1.0\" - -\n"), "{text}");
        let value: Value = serde_json::from_str(&line(&entry, LogFormat::Json)).unwrap();
        assert_eq!(value["status"], Value::Null);
    }

    #[test]
    fn json_lines() {
        let text = line(&entry(), LogFormat::Json);
        assert!(
            text.starts_with("{\"time\":\"2000-10-10T20:55:36.000042Z\","),
            "{text}"
        );
        let value: Value = serde_json::from_str(&text).unwrap();
        let expected = serde_json::json!({
            "time": "2000-10-10T20:55:36.000042Z", "remote": "127.0.0.1:4711",
            "client": "127.0.0.1", "request_id": null, "user": null,
            "tls": null, "cipher": null, "sni": null, "resumed": null, "client_subject": null,
            "host": "www.example.com:8080", "method": "GET",
            "target": "/apache_pb.gif", "protocol": "HTTP/1.0", "status": 200, "head_bytes": 180,
            "bytes": 2326, "send_path": "sendfile", "fallback": null, "calls": 3, "would_blocks": 1, "cold_windows": 2, "disk_us": 345,
            "us": 1234, "outcome": "complete", "referer": "http://www.example.com/start.html",
            "user_agent": "Mozilla/4.08 [en] (Win98; I ;Nav)"
        });
        assert_eq!(value, expected);

        let value: Value = serde_json::from_str(&line(&hostile(), LogFormat::Json)).unwrap();
        assert_eq!(value["remote"], "[::1]:1");
        assert_eq!(
            value["target"],
            "/a\\x22b\\x5Cc\\x1B[2J\\x0A\\xFF\\xC3\\xA9\\x7F"
        );
        assert_eq!(value["fallback"], "sendfile: EINVAL \\x22odd\\x22");
        assert_eq!(
            (&value["referer"], &value["host"]),
            (&Value::Null, &Value::Null)
        );
    }

    #[test]
    fn the_client_stands_beside_the_peer() {
        let mut entry = entry();
        entry.client.address = SocketAddr::from(([192, 0, 2, 1], 5)).into();
        let value: Value = serde_json::from_str(&line(&entry, LogFormat::Json)).unwrap();
        assert_eq!(
            (&value["remote"], &value["client"]),
            (&"127.0.0.1:4711".into(), &"192.0.2.1".into())
        );
        entry.sender = Sender {
            client: Some(Ipv6Addr::LOCALHOST.into()),
            request_id: Some(crate::clients::RequestIds::default().next()),
        };
        let value: Value = serde_json::from_str(&line(&entry, LogFormat::Json)).unwrap();
        assert_eq!(value["client"], "::1");
        assert_eq!(value["request_id"].as_str().map(str::len), Some(32));
        for format in [LogFormat::Clf, LogFormat::Combined] {
            assert!(line(&entry, format).starts_with("::1 - - ["));
        }
    }

    #[test]
    fn json_tells_of_tls() {
        let mut tls = TlsInfo {
            version: "1.3",
            cipher: "TLS_AES_128_GCM_SHA256",
            server_name: Some("a.example".into()),
            is_resumed: true,
            client_subject: Some(r"CN=a\22\0A,O=b\, c".into()),
        };
        let value = |tls: &TlsInfo| -> Value {
            let mut entry = entry();
            entry.client.tls = Some(tls);
            serde_json::from_str(&line(&entry, LogFormat::Json)).unwrap()
        };
        let fields = |value: &Value| {
            ["tls", "cipher", "sni", "resumed", "client_subject"].map(|name| value[name].clone())
        };
        let subject = r"CN=a\22\0A,O=b\, c";
        let expected = serde_json::json!(["1.3", tls.cipher, "a.example", true, subject]);
        assert_eq!(Value::from(fields(&value(&tls)).to_vec()), expected);
        (tls.server_name, tls.client_subject) = (None, None);
        let absent = fields(&value(&tls));
        assert_eq!((&absent[2], &absent[4]), (&Value::Null, &Value::Null));
    }

    #[test]
    fn json_splits_the_request_line_at_its_outer_spaces() {
        for (request_line, method, target, protocol) in [
            (
                "GET /a b HTTP/1.1",
                Value::from("GET"),
                "/a b",
                Value::from("HTTP/1.1"),
            ),
            ("GET /a", Value::Null, "GET /a", Value::Null),
            ("nonsense", Value::Null, "nonsense", Value::Null),
        ] {
            let entry = LogEntry {
                request_line: request_line.as_bytes(),
                ..entry()
            };
            let value: Value = serde_json::from_str(&line(&entry, LogFormat::Json)).unwrap();
            assert_eq!(value["method"], method, "{request_line}");
            assert_eq!(value["target"], target, "{request_line}");
            assert_eq!(value["protocol"], protocol, "{request_line}");
        }
    }

    #[test]
    fn any_bytes_make_one_printable_line() {
        let all: Vec<u8> = (0..=u8::MAX).collect();
        let entry = LogEntry {
            request_line: &all,
            host: &all,
            referer: &all,
            user_agent: &all,
            ..entry()
        };
        for log_format in [LogFormat::Clf, LogFormat::Combined, LogFormat::Json] {
            let text = line(&entry, log_format);
            let body = text.strip_suffix('\n').unwrap();
            assert!(
                body.bytes().all(|byte| (b' '..=b'~').contains(&byte)),
                "{body}"
            );
            let quotes = body.bytes().filter(|&byte| byte == b'"').count();
            assert_eq!(quotes % 2, 0);
        }
        // The escaped text gives the bytes back.
        let mut escaped = Vec::new();
        escape(&all, &mut escaped);
        assert_eq!(unescape(&escaped), all);
    }

    fn unescape(mut text: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        while let Some((&byte, rest)) = text.split_first() {
            if byte == b'\\' {
                let digits = str::from_utf8(&rest[1..3]).unwrap();
                bytes.push(u8::from_str_radix(digits, 16).unwrap());
                text = &rest[3..];
            } else {
                bytes.push(byte);
                text = rest;
            }
        }
        bytes
    }
}
