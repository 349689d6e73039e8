//! Whole sends in one call.

mod common;

use std::io::{ErrorKind, Read, Seek};
use std::thread;

use common::{assert_only_path, assert_same_bytes, file_of, patterned, tcp_pair};
use zc_core::SendMethod;

#[test]
fn all_of_a_file_goes_through_a_nonblocking_socket() {
    let bytes = patterned(3_000_001, 80);
    let file = file_of(&bytes);
    let position = (&file).stream_position().unwrap();
    let (sender, mut reader) = tcp_pair(Some(1), Some(8 * 1024));
    reader.set_nonblocking(false).unwrap();
    let reading = thread::spawn(move || {
        let mut received = Vec::new();
        reader.read_to_end(&mut received).unwrap();
        received
    });
    let report = zc_core::copy(&file, &sender).unwrap();
    drop(sender);
    assert_only_path(&report, SendMethod::Auto, bytes.len() as u64);
    assert!(report.would_blocks > 0, "the socket was waited for");
    assert_same_bytes(&reading.join().unwrap(), &bytes);
    assert_eq!((&file).stream_position().unwrap(), position);
}

#[test]
fn a_range_that_the_file_does_not_have_is_an_unexpected_end() {
    let file = file_of(&patterned(1000, 81));
    let (sender, mut reader) = tcp_pair(None, None);
    assert_eq!(
        zc_core::copy_range(&file, &sender, 100, 50)
            .unwrap()
            .bytes(),
        50
    );
    let error = zc_core::copy_range(&file, &sender, 990, 50).unwrap_err();
    assert_eq!(
        (error.sent, error.source.kind()),
        (10, ErrorKind::UnexpectedEof)
    );
    drop(sender);
    reader.set_nonblocking(false).unwrap();
    let mut received = Vec::new();
    reader.read_to_end(&mut received).unwrap();
    let all = patterned(1000, 81);
    assert_same_bytes(&received, &[&all[100..150], &all[990..]].concat());
}

#[test]
fn a_file_of_proc_goes_to_its_end() {
    let file = std::fs::File::open("/proc/self/limits").unwrap();
    let expected = std::fs::read("/proc/self/limits").unwrap();
    let (sender, mut reader) = tcp_pair(None, None);
    let report = zc_core::copy(&file, &sender).unwrap();
    assert_eq!(report.copy.bytes, expected.len() as u64);
    drop(sender);
    reader.set_nonblocking(false).unwrap();
    let mut received = Vec::new();
    reader.read_to_end(&mut received).unwrap();
    assert_same_bytes(&received, &expected);
}
