//! A second decoder of paths, slow and obvious, that shares no code with the first.

/// The decoded path, and whether it must be one of a directory; `None` when it is refused. Split,
/// decode into segments of their own, look at each, join.
pub(crate) fn path_twin(path: &[u8]) -> Option<(Vec<u8>, bool)> {
    if !path.starts_with(b"/") {
        return None;
    }
    let mut kept: Vec<Vec<u8>> = Vec::new();
    let mut is_directory = false;
    for segment in path.split(|&byte| byte == b'/') {
        let mut decoded = Vec::new();
        let mut index = 0;
        while index < segment.len() {
            if segment[index] == b'%' {
                let digits = std::str::from_utf8(segment.get(index + 1..index + 3)?).ok()?;
                if !digits.chars().all(|c| c.is_ascii_hexdigit()) {
                    return None;
                }
                decoded.push(u8::from_str_radix(digits, 16).unwrap());
                index += 3;
            } else {
                decoded.push(segment[index]);
                index += 1;
            }
        }
        if decoded == b".." || decoded.contains(&0) || decoded.contains(&b'/') {
            return None;
        }
        is_directory = decoded.is_empty() || decoded == b".";
        if !is_directory {
            kept.push(decoded);
        }
    }
    Some((kept.join(&b'/'), is_directory))
}
