//! How connections end: nothing that was accepted is lost, and close_notify comes behind it.

use nix::sys::signal::Signal;
use zc_core::ktls::{Cipher, Version};

use super::client::{Client, End, all, one_of_each_version};
use super::harness::Server;
use super::{assert_same_bytes, has_module, patterned, start, wait_for_worker};

const USUAL: (Version, Cipher) = (Version::Tls13, Cipher::Aes128Gcm);
/// Lengths whose last records find the send buffer full in many ways.
const LENGTHS: [(&str, usize); 4] = [
    ("a", 300_000),
    ("b", (1 << 20) + 1),
    ("c", 3 << 20),
    ("d", (2 << 20) + 12_345),
];
const SMALL_BUFFER: Option<usize> = Some(4096);

/// Reads slowly, and no more than makes the server log that it has sent all.
fn read_until_accepted(client: &mut Client, server: &mut Server, target: &str) {
    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
    use std::os::fd::AsFd;
    let hang = PollTimeout::try_from(super::harness::HANG).unwrap();
    loop {
        let log = server.log_fd();
        let mut fds = [
            PollFd::new(log, PollFlags::POLLIN),
            PollFd::new(client.socket.as_fd(), PollFlags::POLLIN),
        ];
        assert_ne!(
            poll(&mut fds, hang),
            Ok(0),
            "neither a byte nor the log came"
        );
        if fds[0].any() == Some(true) {
            break;
        }
        match client.read_a_little() {
            Ok(()) => {}
            // The thread of the log may run last.
            Err(End::Closed) => break,
            Err(end) => panic!("the connection ended: {end:?}"),
        }
    }
    let line = server.log();
    assert_eq!(
        (&line["target"], &line["outcome"]),
        (&target.into(), &"complete".into()),
        "{line}"
    );
    assert_eq!(line["send_path"], "ktls-sendfile", "{line}");
}

#[track_caller]
fn expect_body_and_end(client: &mut Client, length: usize, what: &str) {
    let body = client.response(false).body;
    assert_same_bytes(&body, &patterned(length));
    assert_eq!(
        (client.read_to_end(), client.opened.len()),
        (End::Closed, 0),
        "{what}"
    );
}

#[test]
fn the_tail_reaches_a_slow_reader_before_close_notify() {
    if !has_module() {
        return;
    }
    let (mut server, address) = start(&LENGTHS, &[]);
    for suite in one_of_each_version() {
        for (name, length) in LENGTHS {
            let mut client = Client::connect(address, suite, SMALL_BUFFER);
            let target = format!("/{name}");
            client.ask(&target, "Connection: close\r\n");
            read_until_accepted(&mut client, &mut server, &target);
            expect_body_and_end(&mut client, length, &format!("{suite:?} {name}"));
        }
    }
}

#[test]
fn the_tail_reaches_a_reader_that_rests_for_longer_than_a_connection_lingers() {
    if !has_module() {
        return;
    }
    let (mut server, address) = start(&LENGTHS, &[]);
    for (name, length) in LENGTHS {
        let mut client = Client::connect(address, USUAL, SMALL_BUFFER);
        let target = format!("/{name}");
        client.ask(&target, "Connection: close\r\n");
        read_until_accepted(&mut client, &mut server, &target);
        // What is tested is the passing of time.
        std::thread::sleep(std::time::Duration::from_secs(7));
        expect_body_and_end(&mut client, length, name);
    }
}

#[test]
fn the_tail_reaches_a_slow_reader_that_has_closed_its_side() {
    if !has_module() {
        return;
    }
    let (mut server, address) = start(&LENGTHS, &[]);
    for fields in ["", "Connection: close\r\n"] {
        for is_notified in [true, false] {
            for (name, length) in LENGTHS {
                let mut client = Client::connect(address, USUAL, SMALL_BUFFER);
                let target = format!("/{name}");
                client.ask(&target, fields);
                client.read_up_to(100_000);
                client.close_write(is_notified);
                read_until_accepted(&mut client, &mut server, &target);
                wait_for_worker(&server);
                expect_body_and_end(
                    &mut client,
                    length,
                    &format!("{name} {is_notified} {fields}"),
                );
                server.log();
                server.log();
            }
        }
    }
}

#[test]
fn a_client_that_has_closed_its_side_before_gets_everything() {
    if !has_module() {
        return;
    }
    let (mut server, address) = start(&LENGTHS, &[]);
    for suite in one_of_each_version() {
        for is_notified in [true, false] {
            for (name, length) in LENGTHS {
                let mut client = Client::connect(address, suite, None);
                let target = format!("/{name}");
                client.ask_and_close(&target, is_notified);
                expect_body_and_end(
                    &mut client,
                    length,
                    &format!("{suite:?} {name} {is_notified}"),
                );
                let line = server.log();
                assert_eq!(line["outcome"], "complete", "{line}");
            }
        }
    }
}

#[test]
fn the_tail_reaches_a_slow_reader_although_the_server_stops() {
    if !has_module() {
        return;
    }
    for is_accepted in [false, true] {
        for (name, length) in LENGTHS {
            let (mut server, address) = start(&LENGTHS, &[]);
            let mut client = Client::connect(address, USUAL, SMALL_BUFFER);
            let target = format!("/{name}");
            client.ask(&target, "");
            client.read_up_to(100_000);
            if is_accepted {
                read_until_accepted(&mut client, &mut server, &target);
            }
            let mut idle = server.connect();
            idle.get("/small");
            server.log();
            server.signal(Signal::SIGTERM);
            // Then the signal has been taken.
            idle.expect_end();
            expect_body_and_end(&mut client, length, &format!("{name} {is_accepted}"));
            let (status, said) = server.wait();
            assert!(status.success(), "{status}: {said}");
        }
    }
}

#[test]
fn the_tail_reaches_a_reader_that_rests_for_longer_than_connections_may_be_idle() {
    if !has_module() {
        return;
    }
    let (mut server, address) = start(&LENGTHS, &["--idle-timeout", "1s"]);
    for (name, length) in LENGTHS {
        let mut client = Client::connect(address, USUAL, SMALL_BUFFER);
        let target = format!("/{name}");
        client.ask(&target, "");
        read_until_accepted(&mut client, &mut server, &target);
        std::thread::sleep(std::time::Duration::from_secs(3));
        expect_body_and_end(&mut client, length, name);
    }
}

#[test]
fn a_reader_that_takes_no_more_does_not_hold_its_connection() {
    if !has_module() {
        return;
    }
    let (mut server, address) = start(&LENGTHS, &["--send-timeout", "2s"]);
    for (name, _) in LENGTHS {
        let before = server.descriptors();
        let mut client = Client::connect(address, USUAL, SMALL_BUFFER);
        let target = format!("/{name}");
        client.ask(&target, "Connection: close\r\n");
        read_until_accepted(&mut client, &mut server, &target);
        super::harness::wait_until("the connection is closed", || {
            server.descriptors() <= before
        });
        drop(client);
    }
}

#[test]
fn a_forged_record_is_answered_by_an_alert_that_the_kernel_seals() {
    if !has_module() {
        return;
    }
    use std::io::Write;
    let (_server, address) = start(&LENGTHS, &[]);
    for suite in all() {
        let mut client = Client::connect(address, suite, None);
        assert_same_bytes(&client.get("/a", "").body, &patterned(300_000));
        let mut record = vec![23, 3, 3, 0, 100];
        record.resize(105, 7);
        client.socket.write_all(&record).unwrap();
        let alert = rustls::AlertDescription::BadRecordMac;
        let expected = End::Failed(rustls::Error::AlertReceived(alert));
        assert_eq!(client.read_to_end(), expected, "{suite:?}");
    }
}
