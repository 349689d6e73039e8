//! `/status`: what is under way.

use super::Watched;
use crate::harness::tls::sent_by;
use crate::harness::{pattern, wait_until};

#[test]
fn a_slow_download_is_listed_while_it_lasts() {
    let body = pattern(24 << 20, 3);
    let options = ["--method", "copy", "--threads", "2"];
    let watched = Watched::start(&[("long", &body)], &options);
    let before = watched.status();
    assert_eq!(before["transfers"], serde_json::json!([]));
    assert_eq!(before["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(
        (&before["ready"], &before["workers"]),
        (&true.into(), &2.into())
    );
    assert_eq!(before["configuration_generation"], 1);
    let mut client = watched.server.connect();
    client.send(b"GET /long HTTP/1.1\r\nHost: t\r\n\r\n");
    client.wait_until_begun();
    let mut status = before;
    wait_until("it is listed", || {
        status = watched.status();
        status["transfers"][0]["sent_bytes"].as_u64() > Some(0)
    });
    let transfer = &status["transfers"][0];
    let file = watched.server.path("long").canonicalize().expect("a file");
    assert_eq!(transfer["file"], file.to_str().expect("UTF-8"));
    let own = client.stream.local_addr().expect("a socket").to_string();
    assert_eq!(
        (&transfer["client"], &transfer["path"]),
        (&own.into(), &sent_by("copy").into())
    );
    assert!(
        transfer["bytes_per_second"].as_u64() > Some(0),
        "{transfer}"
    );
    assert!(
        transfer["sent_bytes"].as_u64() < Some(body.len() as u64),
        "{transfer}"
    );
    assert_eq!(status["transfers"].as_array().map(Vec::len), Some(1));
    assert_eq!(status["unanswered"], serde_json::json!([]));
    assert_eq!(status["connections"]["sending"], 1);
    assert!(client.response(false).body == body);
    wait_until("it is over", || {
        watched.status()["transfers"] == serde_json::json!([])
    });
}
