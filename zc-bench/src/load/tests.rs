use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

use super::*;

const RESPONSE: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
/// Requests a second: rare, so that what the server does meanwhile is done before the next.
const RATE: f64 = 4.0;

fn read_request(stream: &mut TcpStream) -> io::Result<usize> {
    stream.read(&mut [0; 1024])
}

fn answer(stream: &mut TcpStream) {
    stream.write_all(RESPONSE).expect("a client");
}

/// Ends a connection that nothing was asked on, with these words, and has requests wait on all others.
fn serve(listener: &TcpListener, last_words: &[u8]) {
    let accept = || listener.accept().expect("a client").0;
    let (mut asked, mut idle) = (accept(), accept());
    read_request(&mut asked).expect("a request");
    idle.write_all(last_words).expect("a client");
    drop(idle);
    let mut again = accept();
    answer(&mut asked);
    for stream in [&mut asked, &mut again] {
        read_request(stream).expect("a request");
    }
    // Others are due meanwhile.
    let time = Some(Duration::from_secs_f64(3.0 / RATE));
    again.set_read_timeout(time).expect("a timeout");
    let early = read_request(&mut again).map_err(|error| error.kind());
    assert_eq!(early, Err(io::ErrorKind::WouldBlock));
    again.set_read_timeout(None).expect("no timeout");
    std::thread::scope(|scope| {
        for stream in [&mut asked, &mut again] {
            scope.spawn(move || {
                answer(stream);
                while read_request(stream).is_ok_and(|count| count > 0) {
                    answer(stream);
                }
            });
        }
    });
}

/// Runs an open loop of two connections against what serves on the listener.
fn run(serve: impl FnOnce(&TcpListener) + Send + 'static) -> io::Result<Outcome> {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("bound");
    let server = std::thread::spawn(move || serve(&listener));
    let load = Load {
        address,
        targets: vec![Target {
            path: "/".into(),
            file: None,
        }],
        connections: 2,
        rate: Some(RATE),
        keep_alive: true,
        warm_up: Duration::ZERO,
        duration: Duration::from_secs(3),
        verify_every: 0,
    };
    let outcome = load.run();
    server.join().expect("the server has seen what it has to");
    outcome
}

fn assert_not_asked_twice(last_words: &'static [u8]) {
    let outcome = run(move |listener| serve(listener, last_words));
    let outcome = outcome.expect("every response is one");
    assert!(outcome.responses >= 3, "{outcome:?}");
    assert_eq!(outcome.errors, 0, "{outcome:?}");
}

#[test]
fn a_connection_that_ended_idle_is_not_asked_twice_at_a_time() {
    assert_not_asked_twice(b"");
}

#[test]
fn an_idle_connection_may_end_with_a_408() {
    assert_not_asked_twice(b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n");
}

#[test]
fn a_response_that_nobody_asked_for_counts_against_the_server() {
    let outcome = run(|listener| {
        let accept = || listener.accept().expect("a client").0;
        let (mut asked, mut idle) = (accept(), accept());
        read_request(&mut asked).expect("a request");
        answer(&mut idle);
        // The client goes.
        while read_request(&mut asked).is_ok_and(|count| count > 0) {}
    });
    let error = outcome.expect_err("nothing counts of such a server");
    assert_eq!(error.kind(), io::ErrorKind::InvalidData);
}
