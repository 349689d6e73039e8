//! Inputs that are fields: each line is one, named by its first letter.
//!
//! So every input is a request that parses, and a fuzzer spends no time on guessing names.

use zc_http::{Headers, Limits, Parse, parse};

/// The name of a field, and its value as sent.
pub(super) type Field = (&'static str, Vec<u8>);

/// How much of an input is read, and how many lines of it: well below what a head may have.
const INPUT_BYTES_MAX: usize = 8 * 1024;
const FIELDS_READ_MAX: usize = 60;

/// The fields that `data` stands for. A line whose letter is not in `names` is none, and bytes that
/// no value may have are replaced.
pub(super) fn read(data: &[u8], names: &[(u8, &'static str)]) -> Vec<Field> {
    let data = data.get(..INPUT_BYTES_MAX).unwrap_or(data);
    let field = |line: &[u8]| {
        let (letter, value) = line.split_first()?;
        let (_, name) = names.iter().find(|(named, _)| named == letter)?;
        let value = value.iter().map(|&byte| match byte {
            b'\t' | b' '..=b'~' | 0x80.. => byte,
            _ => b'?',
        });
        Some((*name, value.collect()))
    };
    let lines = data.split(|&byte| byte == b'\n');
    lines.filter_map(field).take(FIELDS_READ_MAX).collect()
}

/// Sends the fields, and hands on what the parser makes of them. Every second name is in capitals,
/// which must make no difference.
pub(super) fn with_headers(fields: &[Field], check: impl FnOnce(&Headers<'_>)) {
    let mut head = b"GET / HTTP/1.1\r\nHost: a\r\n".to_vec();
    for (index, (name, value)) in fields.iter().enumerate() {
        let name = if index % 2 == 0 {
            (*name).to_owned()
        } else {
            name.to_uppercase()
        };
        head.extend([name.as_bytes(), b":", value, b"\r\n"].concat());
    }
    head.extend(b"\r\n");
    let Ok(Parse::Complete(request)) = parse(&head, &Limits::default()) else {
        panic!("no head: {}", super::escaped(&head));
    };
    check(&request.headers);
}

/// The values of the fields called `name`, without the white space around them, as Latin-1.
pub(super) fn values(fields: &[Field], name: &str) -> Vec<String> {
    let named = fields.iter().filter(|(field, _)| *field == name);
    named
        .map(|(_, value)| latin1(value).trim_matches([' ', '\t']).to_owned())
        .collect()
}

/// Text with one character for every byte.
pub(super) fn latin1(bytes: &[u8]) -> String {
    bytes.iter().copied().map(char::from).collect()
}
