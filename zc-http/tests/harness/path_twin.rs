//! A second way from a path to a file name, slow and obvious, that shares no code with the first: what
//! RFC 3986 says, word by word, on a text that was decoded before.

/// The decoded path, and whether it must be one of a directory; `None` when it is refused.
pub(crate) fn path_twin(path: &[u8]) -> Option<(Vec<u8>, bool)> {
    if !path.starts_with(b"/") {
        return None;
    }
    let mut decoded = decoded(path)?;
    if decoded.contains(&0) {
        return None;
    }
    while let Some(at) = decoded.windows(2).position(|pair| pair == b"//") {
        decoded.remove(at);
    }
    let output = without_dot_segments(decoded)?;
    let is_directory = output.ends_with(b"/");
    let output = output.strip_suffix(b"/").unwrap_or(&output);
    let relative = output.strip_prefix(b"/").unwrap_or(output);
    Some((relative.to_vec(), is_directory))
}

/// Each escape replaced by its byte, once.
fn decoded(path: &[u8]) -> Option<Vec<u8>> {
    let mut pieces = path.split(|&byte| byte == b'%');
    let mut decoded = pieces.next()?.to_vec();
    for piece in pieces {
        let digits = std::str::from_utf8(piece.get(..2)?).ok()?;
        if !digits.chars().all(|c| c.is_ascii_hexdigit()) {
            return None;
        }
        decoded.push(u8::from_str_radix(digits, 16).ok()?);
        decoded.extend(&piece[2..]);
    }
    Some(decoded)
}

/// `remove_dot_segments` of RFC 3986 §5.2.4, with its steps by their letters. Step A is for relative
/// paths. In step C there may be no last segment to remove, which the RFC permits: `None`.
fn without_dot_segments(mut input: Vec<u8>) -> Option<Vec<u8>> {
    let mut output = Vec::new();
    while !input.is_empty() {
        if input.starts_with(b"/./") {
            // 2B.
            input.drain(1..3);
        } else if input == b"/." {
            input = b"/".to_vec();
        } else if input.starts_with(b"/../") || input == b"/.." {
            // 2C.
            input.drain(1..input.len().min(4));
            let slash = output.iter().rposition(|&byte| byte == b'/')?;
            output.truncate(slash);
        } else {
            // 2E. Step D is for relative paths as well.
            let next = input[1..].iter().position(|&byte| byte == b'/');
            let end = next.map_or(input.len(), |at| at + 1);
            output.extend(input.drain(..end));
        }
    }
    Some(output)
}
