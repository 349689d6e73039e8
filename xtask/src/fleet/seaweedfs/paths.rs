//! Which send path the responses took, by the access logs of all servers.

use std::collections::BTreeMap;

use serde_json::Value;

use super::Run;
use super::report::Row;

/// Place, send path, and why it is not the first one.
type Path = (String, String, String);

pub(super) fn run(run: &mut Run) -> anyhow::Result<Vec<Row>> {
    let counts = counts(&run.cluster.logs()?);
    let mut rows = Vec::new();
    for ((place, path, fallback), count) in &counts {
        let reason = if fallback.is_empty() {
            String::new()
        } else {
            format!(": {fallback}")
        };
        // Small files are in the response cache, and their bytes go from memory.
        let is_expected = match place.as_str() {
            "library" => path != "sendfile" && path != "splice",
            _ => path != "copy",
        };
        rows.push(Row::new(
            &format!("responses from /{place}/ by `{path}`"),
            &format!("{count}{reason}"),
            is_expected,
        ));
    }
    let has =
        |place: &str, path: &str| counts.keys().any(|(own, by, _)| own == place && by == path);
    let both = has("library", "copy") && has("local", "sendfile");
    rows.push(Row::new(
        "large files went by `copy` from the mount, and by `sendfile` from the disk",
        "see above",
        both,
    ));
    Ok(rows)
}

/// How many responses with a file each path had.
fn counts(log: &str) -> BTreeMap<Path, u64> {
    let mut counts = BTreeMap::new();
    for line in log.lines().filter(|line| line.starts_with('{')) {
        let Ok(line) = serde_json::from_str::<Value>(line) else {
            continue;
        };
        let word = |name: &str| line[name].as_str().unwrap_or_default().to_owned();
        let is_file =
            matches!(line["status"].as_u64(), Some(200 | 206)) && line["bytes"].as_u64() > Some(0);
        let target = word("target");
        let place = target
            .trim_start_matches('/')
            .split('/')
            .next()
            .unwrap_or_default();
        if is_file {
            *counts
                .entry((place.to_owned(), word("send_path"), word("fallback")))
                .or_default() += 1;
        }
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn responses_with_a_file_are_counted_by_place_and_path() {
        let log = "zc-server serves\n\
            {\"target\":\"/library/a\",\"status\":200,\"bytes\":5,\"send_path\":\"copy\",\"fallback\":\"fuse\"}\n\
            {\"target\":\"/library/b\",\"status\":206,\"bytes\":5,\"send_path\":\"copy\",\"fallback\":\"fuse\"}\n\
            {\"target\":\"/library/b\",\"status\":504,\"bytes\":5,\"send_path\":\"memory\",\"fallback\":null}\n\
            {\"target\":\"/local/a\",\"status\":200,\"bytes\":5,\"send_path\":\"sendfile\",\"fallback\":null}\n\
            {\"target\":\"/local/a\",\"status\":304,\"bytes\":0,\"send_path\":\"none\",\"fallback\":null}\n";
        let path = |place: &str, path: &str, fallback: &str| {
            (place.to_owned(), path.to_owned(), fallback.to_owned())
        };
        let expected = BTreeMap::from([
            (path("library", "copy", "fuse"), 2),
            (path("local", "sendfile", ""), 1),
        ]);
        assert_eq!(counts(log), expected);
    }
}
