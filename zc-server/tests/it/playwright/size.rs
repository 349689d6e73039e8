//! How many bytes a page of many files takes on its way.

use std::fs::File;
use std::time::{Duration, SystemTime};

use crate::harness::Server;

const ENTRIES: u64 = 20_000;
/// What the page may have where it is compressed.
const BYTES_MAX: usize = 400 << 10;

/// A folder as a build server leaves it behind: names that count, for two architectures in turn; sizes from
/// 1 MB to 2 GB that say nothing of each other, of files that take no space; and times a few minutes apart.
fn make_releases(server: &Server) {
    let directory = server.path("releases");
    std::fs::create_dir(&directory).expect("a directory");
    // A generator of numbers (Knuth's MMIX): the same ones in every run.
    let mut state = 1_u64;
    let mut number_below = |limit: u64| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % limit
    };
    let mut time = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
    for number in 0..ENTRIES {
        let architecture = ["amd64", "arm64"][number as usize % 2];
        let name = format!("release-{:05}-{architecture}.deb", number / 2 + 1);
        let file = File::create(directory.join(name)).expect("a file");
        file.set_len(1_000_000 + number_below(2_000_000_000))
            .expect("a length");
        time += Duration::from_secs(60 * (1 + number_below(30)));
        file.set_modified(time).expect("a time");
    }
}

#[test]
fn a_page_of_20_000_files_is_short_where_it_is_compressed() {
    let server = Server::start_in_memory(&[]);
    make_releases(&server);
    let response = server.get_with("/releases/", "Accept-Encoding: gzip\r\n");
    assert_eq!(response.field("content-encoding"), Some("gzip"));
    let bytes = response.body.len();
    assert!(bytes < BYTES_MAX, "{bytes} bytes");
}
