//! The values of options, from text. Each error says what is wrong and what is valid.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use fast_glob::ErrorKind;
use jiff::SignedDuration;
use zc_core::SendMethod;
use zc_http::{Status, is_token};

use super::choice::{FileOrOff, Listen};
use crate::config::files::{CacheControl, Charset, ErrorPage, Field, MediaType, PathGlob};
use crate::config::{
    Bind, CACHE_BYTES_MAX, CACHE_FILE_MAX_BYTES_LIMIT, CACHE_FILES_MAX, CONNECTIONS_MAX_LIMIT,
    Cidr, DISK_THREADS_MAX, ListenAddress, ParseBindError, ParseCidrError, THREADS_MAX,
};
use crate::text::parse_size;

/// The longest duration, 24 hours: a longer one has the wrong unit.
const DURATION_MS_MAX: u64 = 24 * 60 * 60 * 1000;

/// Why a field that says something about one response cannot be set.
const COMPUTED: &str = "it is computed";
/// Why a field of the connection cannot be set.
const OF_CONNECTION: &str = "the server manages the connection";
/// Fields that cannot be set with `--header`, and why, or what to use in place of it.
const MANAGED_FIELDS: [(&str, &str); 22] = [
    ("accept-ranges", COMPUTED),
    ("access-control-allow-origin", "use --cors"),
    ("allow", COMPUTED),
    ("cache-control", "use --cache-control '**=VALUE'"),
    ("connection", OF_CONNECTION),
    ("content-disposition", "see --download-query"),
    (
        "content-encoding",
        "use --precompressed, or name the files; example: '*.wasm.gz=Content-Encoding: gzip'",
    ),
    ("content-length", COMPUTED),
    ("content-range", COMPUTED),
    ("content-type", "use --mime or --default-type"),
    ("date", COMPUTED),
    ("etag", "use `zc-server etag` or a file NAME.etag"),
    ("keep-alive", OF_CONNECTION),
    ("last-modified", COMPUTED),
    ("location", COMPUTED),
    ("retry-after", COMPUTED),
    ("te", OF_CONNECTION),
    ("trailer", OF_CONNECTION),
    ("transfer-encoding", OF_CONNECTION),
    ("upgrade", OF_CONNECTION),
    ("vary", COMPUTED),
    ("x-request-id", "use --request-id"),
];

/// Parses an address to listen on, or `off`.
pub(crate) fn bind_or_off(text: &str) -> Result<Listen, String> {
    match text {
        "off" => Ok(Listen::Off),
        text => match text.parse() {
            Ok(portless) => Ok(Listen::WithoutPort(portless)),
            Err(ParseBindError) => bind(text).map(Listen::At),
        },
    }
}

/// Parses an address to listen on.
pub(crate) fn bind(text: &str) -> Result<Bind, String> {
    text.parse()
        .map_err(|error: ParseBindError| error.to_string())
}

/// Parses the path of a file of users, or `off`.
pub(crate) fn auth_file(text: &str) -> Result<FileOrOff, String> {
    file_or_off(text, "a file that htpasswd -B has written")
}

/// Parses the path of a style, or `off`.
pub(crate) fn style_file(text: &str) -> Result<FileOrOff, String> {
    file_or_off(text, "a file of CSS")
}

fn file_or_off(text: &str, kind: &str) -> Result<FileOrOff, String> {
    match text {
        "" => Err(format!("not a path; name {kind}, or off")),
        "off" => Ok(FileOrOff::Off),
        path => Ok(FileOrOff::At(path.into())),
    }
}

/// Parses a network of addresses, or an address.
pub(crate) fn cidr(text: &str) -> Result<Cidr, String> {
    text.parse()
        .map_err(|error: ParseCidrError| error.to_string())
}

/// Parses the address of the admin listener: a port alone is on the loopback.
pub(crate) fn admin_bind(text: &str) -> Result<ListenAddress, String> {
    match text.parse() {
        Ok(Bind::Address(address)) => Ok(address.into()),
        Ok(Bind::Loopback(port) | Bind::Everywhere(port)) => {
            Ok(SocketAddr::from((Ipv4Addr::LOCALHOST, port)).into())
        }
        Ok(Bind::Unix(path)) => Ok(ListenAddress::Unix(path)),
        Err(ParseBindError) => Err(
            "not an address with a port; examples: 9180 (this machine only), 10.0.0.7:9180, \
             0.0.0.0:9180 (every address), unix:/run/zc-admin.sock"
                .to_owned(),
        ),
    }
}

/// Parses the permission bits of a Unix-domain socket.
pub(crate) fn socket_mode(text: &str) -> Result<u32, String> {
    let is_octal = text.bytes().all(|digit| (b'0'..=b'7').contains(&digit));
    let mode = u32::from_str_radix(text, 8).ok().filter(|_| is_octal);
    mode.filter(|mode| mode & !0o777 == 0)
        .ok_or_else(|| "not a mode of three octal digits; examples: 660, 0600, 0666".to_owned())
}

/// Parses a URL of HTTP, and leaves it as it is.
pub(crate) fn http_url(text: &str) -> Result<String, String> {
    let rest = text.strip_prefix("http://");
    let has_host = rest.is_some_and(|rest| !rest.is_empty() && !rest.starts_with('/'));
    let is_visible = text.bytes().all(|byte| byte.is_ascii_graphic());
    if has_host && is_visible {
        Ok(text.to_owned())
    } else {
        Err("not a URL of HTTP; example: http://127.0.0.1:9180/readyz".to_owned())
    }
}

/// Parses a count of threads.
pub(crate) fn threads(text: &str) -> Result<usize, String> {
    count(text, THREADS_MAX)
}

/// Parses a count of disk I/O threads.
pub(crate) fn disk_threads(text: &str) -> Result<usize, String> {
    count(text, DISK_THREADS_MAX)
}

/// Parses a count of connections.
pub(crate) fn connections_max(text: &str) -> Result<usize, String> {
    count(text, CONNECTIONS_MAX_LIMIT)
}

/// Parses a count of open files in the response cache.
pub(crate) fn cache_files(text: &str) -> Result<usize, String> {
    match text {
        "0" => Ok(0),
        _ => count(text, CACHE_FILES_MAX).map_err(|_| format!("must be 0 to {CACHE_FILES_MAX}")),
    }
}

/// Parses a size into bytes: a bare number is bytes, otherwise units are named.
pub(crate) fn size(text: &str) -> Result<u64, String> {
    parse_size(text).ok_or_else(|| "not a size; examples: 64MiB, 100kB, 0".to_owned())
}

/// Parses the memory of the response cache.
pub(crate) fn cache_bytes(text: &str) -> Result<u64, String> {
    match size(text)? {
        bytes if bytes <= CACHE_BYTES_MAX => Ok(bytes),
        _ => Err(
            "must be at most 1TiB; the content of large files is in the page cache anyway"
                .to_owned(),
        ),
    }
}

/// Parses the length of the largest file whose content is cached.
pub(crate) fn cache_file_max(text: &str) -> Result<u64, String> {
    match size(text)? {
        bytes if bytes <= CACHE_FILE_MAX_BYTES_LIMIT => Ok(bytes),
        _ => Err("must be at most 64KiB; sendfile is faster for larger files".to_owned()),
    }
}

/// Parses a whole number from 1 to `max`.
fn count(text: &str, max: usize) -> Result<usize, String> {
    match text.parse() {
        Ok(number) if (1..=max).contains(&number) => Ok(number),
        _ => Err(format!("must be 1 to {max}")),
    }
}

/// Parses a duration into milliseconds: a bare number is seconds, otherwise units are named.
pub(crate) fn duration_ms(text: &str) -> Result<u64, String> {
    let duration = if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        // Too many digits for a u64 is past the maximum in any case.
        Duration::from_secs(text.parse().unwrap_or(u64::MAX))
    } else {
        let duration = text
            .parse()
            .and_then(|duration: SignedDuration| duration.try_into());
        duration.map_err(|_| "not a time; examples: 500ms, 10s, 1m".to_owned())?
    };
    match u64::try_from(duration.as_millis()) {
        Ok(duration_ms @ 1..=DURATION_MS_MAX) => Ok(duration_ms),
        _ => Err("must be 1ms to 24h".to_owned()),
    }
}

/// The same, where 0 is a value as well.
pub(crate) fn duration_ms_or_zero(text: &str) -> Result<u64, String> {
    match text {
        "0" | "0s" | "0ms" => Ok(0),
        _ => duration_ms(text).map_err(|error| error.replace("must be", "must be 0, or")),
    }
}

/// Parses the name of a [`SendMethod`].
pub(crate) fn method_parser() -> impl TypedValueParser<Value = SendMethod> {
    PossibleValuesParser::new([
        PossibleValue::new("auto").help("sendfile(2), or copy where the kernel refuses it"),
        PossibleValue::new("sendfile").help("sendfile(2) only; a refusal is an error"),
        PossibleValue::new("splice").help("splice(2) through a pipe; a refusal is an error"),
        PossibleValue::new("copy").help("pread(2) and write(2) through a buffer, for comparison"),
    ])
    .map(|name| match name.as_str() {
        "sendfile" => SendMethod::Sendfile,
        "splice" => SendMethod::Splice,
        "copy" => SendMethod::Copy,
        // `auto`: the parser lets nothing else through.
        _ => SendMethod::Auto,
    })
}

/// Parses a file name without a slash.
pub(crate) fn file_name(text: &str) -> Result<String, String> {
    match text {
        "" | "." | ".." => Err("not a file name; example: index.html".to_owned()),
        _ if text.contains(['/', '\0']) => {
            Err("must be a name without a slash; example: index.html".to_owned())
        }
        _ => Ok(text.to_owned()),
    }
}

/// Parses a path below the root.
pub(crate) fn path_below(text: &str) -> Result<PathBuf, String> {
    let path = Path::new(text);
    let is_below = path
        .components()
        .all(|component| matches!(component, Component::Normal(_)));
    if text.is_empty() || !is_below || text.contains('\0') {
        return Err(
            "must be a path relative to the root, without `..`; example: errors/404.html"
                .to_owned(),
        );
    }
    Ok(path.to_owned())
}

/// Parses `CODE=FILE`.
pub(crate) fn error_page(text: &str) -> Result<ErrorPage, String> {
    let form = "example: 404=errors/404.html";
    let (code, file) = text
        .split_once('=')
        .ok_or_else(|| format!("no `=` between code and file; {form}"))?;
    let code = code
        .parse()
        .ok()
        .filter(|&code| Status::ERRORS.iter().any(|status| status.code() == code))
        .ok_or_else(|| {
            let codes = Status::ERRORS
                .map(|status| status.code().to_string())
                .join(", ");
            format!("no response has the status code `{code}`; errors have {codes}; {form}")
        })?;
    Ok(ErrorPage {
        code,
        file: path_below(file)?,
    })
}

/// Parses `GLOB=VALUE`.
pub(crate) fn cache_control(text: &str) -> Result<CacheControl, String> {
    let form = "examples: '*.js=max-age=3600', 'assets/**=immutable'";
    let (glob, value) = text
        .split_once('=')
        .ok_or_else(|| format!("no `=` between glob and value; {form}"))?;
    Ok(CacheControl {
        glob: path_glob(glob, form)?,
        value: field_value(value)?,
    })
}

/// Parses a glob over paths below the root: `*` stops at slashes and `**` does not. `form` is what the
/// whole value should look like.
pub(super) fn path_glob(text: &str, form: &str) -> Result<PathGlob, String> {
    if text.is_empty() {
        return Err(format!("no glob before the `=`; {form}"));
    }
    // A glob without a slash is meant for names in every directory, as in a .gitignore.
    let everywhere = match text.strip_prefix('/') {
        Some(from_root) => from_root.to_owned(),
        None if text.contains('/') => text.to_owned(),
        None => format!("**/{text}"),
    };
    PathGlob::new(&everywhere).map_err(|kind| {
        let fault = match kind {
            ErrorKind::UnclosedBrace => "a `{` without its `}`",
            ErrorKind::UnclosedBracket => "a `[` without its `]`",
            ErrorKind::TrailingBackslash => "a backslash at the end",
            ErrorKind::BraceNestingTooDeep => "more than 10 braces inside each other",
            ErrorKind::TooManyBraceGroups => "more than 10 pairs of braces",
            _ => "it means nothing",
        };
        format!("invalid glob: {fault}; {form}")
    })
}

/// Parses `Name: value`, or `GLOB=Name: value`.
pub(crate) fn field(text: &str) -> Result<Field, String> {
    let form = "examples: 'Name: value', '*.js=Name: value'";
    // A name has no `=`, so that one before the colon ends a glob.
    let (glob, line) = match text.split_once('=') {
        Some((glob, line)) if !glob.contains(':') => (Some(path_glob(glob, form)?), line),
        _ => (None, text),
    };
    let (name, value) = line
        .split_once(':')
        .ok_or_else(|| format!("no `:` between name and value; {form}"))?;
    if !is_token(name.as_bytes()) {
        return Err(format!("`{name}` is not a valid field name; {form}"));
    }
    let value = match (name.to_ascii_lowercase().as_str(), &glob) {
        ("server", Some(_)) => {
            return Err(format!(
                "`{name}` can only be set for all responses; remove the glob"
            ));
        }
        // Without a value it is left out.
        ("server", None) if value.trim_ascii().is_empty() => String::new(),
        ("content-encoding", Some(_)) => match field_value(value)? {
            coding if is_token(coding.as_bytes()) => coding.to_ascii_lowercase(),
            coding => {
                return Err(format!(
                    "`{coding}` is not one content coding; examples: gzip, br, zstd"
                ));
            }
        },
        (lower, _) => {
            if let Some((_, instead)) = MANAGED_FIELDS.iter().find(|(managed, _)| *managed == lower)
            {
                return Err(format!("`{name}` cannot be set; {instead}"));
            }
            field_value(value)?
        }
    };
    Ok(Field {
        glob,
        name: name.to_owned(),
        value,
    })
}

/// Parses the name of a field of a request, or `*`.
pub(crate) fn field_name(text: &str) -> Result<String, String> {
    match text.trim() {
        name if is_token(name.as_bytes()) => Ok(name.to_owned()),
        _ => Err("not a valid field name; examples: If-None-Match, Range,If-Range".to_owned()),
    }
}

/// Parses an origin, or `*`.
pub(crate) fn origin(text: &str) -> Result<String, String> {
    let is_origin = text.split_once("://").is_some_and(|(scheme, host)| {
        !scheme.is_empty() && !host.is_empty() && !host.contains('/')
    });
    if text == "*" || is_origin {
        return field_value(text);
    }
    Err("not a valid origin; examples: https://example.org (no slash at the end), *".to_owned())
}

/// Parses a media type with its parameters.
pub(crate) fn media_type(text: &str) -> Result<String, String> {
    let mut names = text.split(';').next().unwrap_or_default().trim().split('/');
    let is_name = |name: Option<&str>| name.is_some_and(|name| is_token(name.as_bytes()));
    if is_name(names.next()) && is_name(names.next()) && names.next().is_none() {
        return field_value(text);
    }
    Err("not a media type; examples: text/plain, 'text/plain; charset=utf-8'".to_owned())
}

/// Parses `EXT=TYPE`.
pub(crate) fn extension_type(text: &str) -> Result<MediaType, String> {
    let (extension, name) = text
        .split_once('=')
        .ok_or_else(|| "no `=` between extension and type; example: md=text/plain".to_owned())?;
    let extension = extension.strip_prefix('.').unwrap_or(extension);
    if extension.contains('/') || extension.split('.').any(str::is_empty) {
        return Err(format!(
            "`{extension}` is not an extension; examples: md=text/plain, wasm.gz=application/wasm"
        ));
    }
    Ok(MediaType {
        extension: extension.to_ascii_lowercase(),
        media_type: media_type(name)?,
    })
}

/// Parses `auto`, `off` or the name of a charset.
pub(crate) fn charset(text: &str) -> Result<Charset, String> {
    match text {
        "auto" => Ok(Charset::Auto),
        "off" => Ok(Charset::Off),
        name if is_token(name.as_bytes()) => Ok(Charset::Named(name.to_owned())),
        _ => Err("not a charset; examples: utf-8, auto, off".to_owned()),
    }
}

/// Parses `HOST=DIR`; the directory is looked at later.
pub(crate) fn site(text: &str) -> Result<(String, PathBuf), String> {
    let form = "example: example.org=/srv/example";
    let (host, directory) = text
        .split_once('=')
        .ok_or_else(|| format!("no `=` between host and directory; {form}"))?;
    let host = host_name(host).ok_or_else(|| not_host(host, form))?;
    if directory.is_empty() {
        return Err(format!("no directory after the `=`; {form}"));
    }
    Ok((host, PathBuf::from(directory)))
}

/// Parses the host of a site.
pub(crate) fn host(text: &str) -> Result<String, String> {
    host_name(text).ok_or_else(|| not_host(text, "example: example.org"))
}

/// A host without a port, in lower case.
fn host_name(host: &str) -> Option<String> {
    let is_host = |byte: u8| byte.is_ascii_alphanumeric() || b"-._[]:".contains(&byte);
    let has_port = !host.starts_with('[') && host.contains(':');
    let is_valid = !host.is_empty() && host.bytes().all(is_host) && !has_port;
    // A final dot names the same host.
    is_valid.then(|| host.trim_end_matches('.').to_ascii_lowercase())
}

fn not_host(host: &str, form: &str) -> String {
    format!("`{host}` is not a host name, or has a port; {form}")
}

/// Trims a value; refuses one that would end its line.
fn field_value(text: &str) -> Result<String, String> {
    let value = text.trim_matches([' ', '\t']);
    if value.is_empty() {
        return Err("the value is empty".to_owned());
    }
    if value.chars().any(|char| char.is_control() && char != '\t') {
        return Err("the value has control characters; remove them".to_owned());
    }
    Ok(value.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        for (text, expected_ms) in [
            ("10", 10_000),
            ("10s", 10_000),
            ("500ms", 500),
            ("1m", 60_000),
            ("1m 30s", 90_000),
            ("24h", DURATION_MS_MAX),
            ("86400", DURATION_MS_MAX),
        ] {
            assert_eq!(duration_ms(text), Ok(expected_ms), "{text}");
        }
        for wrong in [
            "0",
            "0s",
            "100us",
            "86401",
            "25h",
            "",
            "-1",
            "ten",
            "10 parsecs",
            "99999999999999999999999",
            "18446744073709551615",
        ] {
            assert!(duration_ms(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn globs_without_a_slash_mean_names_everywhere() {
        let rows = [
            ("*.js=a", "app.js", true),
            ("*.js=a", "lib/app.js", true),
            ("/*.js=a", "app.js", true),
            ("/*.js=a", "lib/app.js", false),
            ("lib/*.js=a", "lib/app.js", true),
            ("lib/*.js=a", "lib/deep/app.js", false),
            ("lib/**=a", "lib/deep/app.js", true),
            ("**=a", "anything/at.all", true),
            ("*.{js,css}=a", "x/y.css", true),
            ("*.js=a", "app.json", false),
            ("index.html=a", "deep/index.html", true),
            ("**.js=a", "lib/app.js", true),
            ("a/**/b=a", "a/b", true),
            ("a/**/b=a", "a/x/y/b", true),
            ("a/**=a", "ab/c", false),
            ("[a-c]?.js=a", "lib/b1.js", true),
            ("[!a-c].js=a", "b.js", false),
            ("caf??.html=a", "café.html", true),
            ("{a,b/{c,d}}/*=a", "b/d/e", true),
            ("\\*=a", "*", true),
            ("\\*=a", "a", false),
            ("!a.js=a", "!a.js", true),
            ("!a.js=a", "b.js", false),
            ("/!a.js=a", "!a.js", true),
            ("/!a.js=a", "b.js", false),
            ("*=a", ".hidden", true),
        ];
        for (text, path, expected) in rows {
            let rule = cache_control(text).expect(text);
            assert_eq!(
                rule.glob.is_match(path.as_bytes()),
                expected,
                "{text} on {path}"
            );
            assert_eq!(rule.value, "a");
        }
        let rule = cache_control("*.js=public, max-age=3600").expect("valid");
        assert_eq!(rule.value, "public, max-age=3600");
        for wrong in [
            "*.js",
            "*.js=",
            "[=a",
            "{a=a",
            "a\\=a",
            "=a",
            "*.js=a\r\nb: c",
        ] {
            assert!(cache_control(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn computed_fields_are_refused_with_the_option_that_sets_them() {
        let parsed = field("X-Frame-Options:  DENY ").expect("valid");
        assert_eq!((&*parsed.name, &*parsed.value), ("X-Frame-Options", "DENY"));
        assert!(field("Content-Security-Policy: default-src 'self'; img-src *").is_ok());
        assert!(field("Server: other").is_ok());
        assert_eq!(field("Server:").expect("valid").value, "");
        let globs = |text: &str| field(text).expect(text).glob;
        for plain in [
            "X: a=b",
            "Link: </a=b>; rel=c",
            "X=Y".replace('=', ": ").as_str(),
        ] {
            assert!(globs(plain).is_none(), "{plain}");
        }
        let js = globs("lib/*.js=X-A: b=c").expect("a glob");
        assert!(js.is_match(b"lib/a.js") && !js.is_match(b"a.js"));
        let parsed = field("*.wasm.gz=Content-Encoding: GZIP").expect("valid");
        assert_eq!(
            (&*parsed.name, &*parsed.value),
            ("Content-Encoding", "gzip")
        );
        for (wrong, mend) in [
            ("X", "examples: 'Name: value'"),
            (": a", "examples: 'Name: value'"),
            ("A b: c", "not a valid field name"),
            ("A:", "the value is empty"),
            ("A: b\r\nC: d", "remove them"),
            ("content-length: 5", "it is computed"),
            ("Cache-Control: no-store", "use --cache-control"),
            ("Transfer-Encoding: chunked", OF_CONNECTION),
            ("*.js=Transfer-Encoding: chunked", OF_CONNECTION),
            ("Content-Encoding: gzip", "name the files"),
            ("*.gz=Content-Encoding: ", "the value is empty"),
            ("*.gz=Content-Encoding: gzip, br", "examples: gzip"),
            ("*.js=Server: x", "remove the glob"),
            ("*.js=Server:", "remove the glob"),
            ("*.js=X", "examples: 'Name: value'"),
            ("=X: y", "no glob"),
            ("[=X: y", "invalid glob"),
        ] {
            let error = field(wrong).expect_err(wrong);
            assert!(error.contains(mend), "{wrong}: {error}");
        }
    }

    #[test]
    fn paths_below_the_root_stay_there() {
        assert_eq!(path_below("a/b.html"), Ok(PathBuf::from("a/b.html")));
        for wrong in ["", "/a", "../a", "a/../b", ".", "a\0"] {
            assert!(path_below(wrong).is_err(), "{wrong:?}");
        }
        let page = error_page("404=errors/404.html").expect("valid");
        assert_eq!((page.code, page.file), (404, "errors/404.html".into()));
        for wrong in [
            "404",
            "200=a",
            "x=a",
            "404=/etc/passwd",
            "404=",
            "600=a",
            "418=a",
        ] {
            assert!(error_page(wrong).is_err(), "{wrong}");
        }
        for wrong in ["", ".", "..", "a/b"] {
            assert!(file_name(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn hosts_origins_and_types() {
        let expected = ("example.org".to_owned(), PathBuf::from("/srv"));
        assert_eq!(site("Example.ORG.=/srv"), Ok(expected));
        assert!(site("[::1]=/srv").is_ok());
        for wrong in ["a", "=/srv", "a=", "a:80=/srv", "a b=/srv", "a/b=/srv"] {
            assert!(site(wrong).is_err(), "{wrong}");
        }
        for right in ["*", "https://example.org", "http://localhost:3000"] {
            assert_eq!(origin(right).as_deref(), Ok(right));
        }
        for wrong in ["", "example.org", "https://", "https://a/", "https://a\n"] {
            assert!(origin(wrong).is_err(), "{wrong:?}");
        }
        let rule = extension_type(".MD=text/plain; charset=utf-8").expect("valid");
        assert_eq!(
            (&*rule.extension, &*rule.media_type),
            ("md", "text/plain; charset=utf-8")
        );
        let rule = extension_type("Wasm.gz=application/wasm").expect("valid");
        assert_eq!(rule.extension, "wasm.gz");
        assert_eq!(
            charset("Shift_JIS"),
            Ok(Charset::Named("Shift_JIS".to_owned()))
        );
        assert_eq!(
            (charset("auto"), charset("off")),
            (Ok(Charset::Auto), Ok(Charset::Off))
        );
        for wrong in ["", "utf-8; x", "a b", "\"utf-8\""] {
            assert!(charset(wrong).is_err(), "{wrong:?}");
        }
        for wrong in [
            "md",
            "md=",
            "=text/plain",
            ".=text/plain",
            "gz.=text/plain",
            "tar..gz=text/plain",
            "a/b=text/plain",
            "md=text",
            "md=a/b/c",
            "md=/",
        ] {
            assert!(extension_type(wrong).is_err(), "{wrong}");
        }
    }
}
