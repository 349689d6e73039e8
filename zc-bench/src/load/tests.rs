use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

use super::*;

const RESPONSE: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
/// Requests a second: rare, so that what the server does meanwhile is done before the next.
const RATE: f64 = 4.0;
/// Longer than anybody waits for a test.
const FOREVER: Duration = Duration::from_secs(3600);

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
    run_with(serve, |load| load)
}

/// The same with a load that is changed in some way.
fn run_with(
    serve: impl FnOnce(&TcpListener) + Send + 'static,
    change: impl FnOnce(Load) -> Load,
) -> io::Result<Outcome> {
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
        responses_min: 0,
        duration_max: Duration::ZERO,
        verify_every: 0,
    };
    let outcome = change(load).run();
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

/// Answers on two connections until both have ended.
fn answer_all(listener: &TcpListener) {
    std::thread::scope(|scope| {
        for _ in 0..2 {
            let (mut stream, _) = listener.accept().expect("a client");
            scope.spawn(move || {
                while read_request(&mut stream).is_ok_and(|count| count > 0) {
                    if stream.write_all(RESPONSE).is_err() {
                        break;
                    }
                }
            });
        }
    });
}

/// Reads what two connections ask until both have ended.
fn never_answer(listener: &TcpListener) {
    let accept = || listener.accept().expect("a client").0;
    for mut stream in [accept(), accept()] {
        while read_request(&mut stream).is_ok_and(|count| count > 0) {}
    }
}

#[test]
fn a_measurement_goes_on_until_so_many_responses_have_ended() {
    // Far more than end in no time.
    let outcome = run_with(answer_all, |load| Load {
        rate: None,
        duration: Duration::ZERO,
        responses_min: 500,
        duration_max: FOREVER,
        ..load
    });
    let outcome = outcome.expect("every response is one");
    assert!(outcome.responses >= 500, "{outcome:?}");
    assert_eq!(outcome.latency.len(), outcome.responses);
    assert!(outcome.body_bytes >= outcome.responses * 2, "{outcome:?}");
}

#[test]
fn a_measurement_without_responses_ends_at_its_bound() {
    let outcome = run_with(never_answer, |load| Load {
        rate: None,
        duration: Duration::from_millis(1),
        responses_min: 20,
        duration_max: Duration::from_millis(100),
        ..load
    });
    let outcome = outcome.expect("no response is no error");
    assert_eq!(outcome.responses, 0, "{outcome:?}");
    assert!(outcome.seconds >= 0.1, "{outcome:?}");
}

#[test]
fn at_a_fixed_rate_a_measurement_is_no_longer_for_want_of_responses() {
    let outcome = run_with(never_answer, |load| Load {
        duration: Duration::from_millis(1),
        responses_min: 20,
        // The test would not end.
        duration_max: FOREVER,
        ..load
    });
    let outcome = outcome.expect("no response is no error");
    assert_eq!(outcome.responses, 0, "{outcome:?}");
    assert!(outcome.unanswered >= 1, "{outcome:?}");
}
