//! A listing as JSON.

use jiff::Timestamp;
use percent_encoding::percent_encode;

use super::Row;
use crate::files::percent::SEGMENT;

/// Writes one entry, and what stands before it.
pub(super) fn row(out: &mut Vec<u8>, row: Row<'_>, is_first: bool) {
    out.extend_from_slice(if is_first { b"\n" } else { b",\n" });
    let (kind, slash) = match row.length {
        Some(_) => ("file", ""),
        None => ("directory", "/"),
    };
    let time = Timestamp::from_second(row.mtime_seconds).ok();
    let entry = serde_json::json!({
        "name": String::from_utf8_lossy(row.name),
        "type": kind,
        "size": row.length,
        "mtime": time.map(|time| time.to_string()),
        // The reference to it, which has all bytes of the name.
        "href": format!("{}{slash}", percent_encode(row.name, SEGMENT)),
    });
    // A `Vec` takes every write, and every value here can be written.
    let _ = serde_json::to_writer(out, &entry);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_json_with_any_number_of_entries() {
        for count in 0..3 {
            let mut page = vec![b'['];
            for index in 0..count {
                let entry = Row {
                    name: b"n",
                    length: (index > 0).then_some(u64::MAX),
                    mtime_seconds: 1_700_000_000,
                };
                row(&mut page, entry, index == 0);
            }
            page.push(b']');
            let value: serde_json::Value = serde_json::from_slice(&page).expect("JSON");
            assert_eq!(value.as_array().map(Vec::len), Some(count));
            if count == 2 {
                assert_eq!(value[0]["type"], "directory");
                assert_eq!(value[0]["size"], serde_json::Value::Null);
                assert_eq!(value[0]["href"], "n/");
                assert_eq!(value[1]["size"], u64::MAX);
                assert_eq!(value[1]["mtime"], "2023-11-14T22:13:20Z");
            }
        }
    }
}
