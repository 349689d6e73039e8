use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

use super::*;

const RESPONSE: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

fn read_request(stream: &mut TcpStream) -> io::Result<usize> {
    stream.read(&mut [0; 1024])
}

fn answer(stream: &mut TcpStream) {
    stream.write_all(RESPONSE).expect("a client");
}

/// Ends a connection that nothing was asked on, and has requests wait on all others.
fn serve(listener: &TcpListener) {
    let accept = || listener.accept().expect("a client").0;
    let (mut asked, idle) = (accept(), accept());
    read_request(&mut asked).expect("a request");
    drop(idle);
    let mut again = accept();
    answer(&mut asked);
    for stream in [&mut asked, &mut again] {
        read_request(stream).expect("a request");
    }
    // Others are due meanwhile.
    let time = Some(Duration::from_millis(300));
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

#[test]
fn a_connection_that_ended_idle_is_not_asked_twice_at_a_time() {
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
        rate: Some(20.0),
        keep_alive: true,
        warm_up: Duration::ZERO,
        duration: Duration::from_secs(1),
        verify_every: 0,
    };
    let outcome = load.run().expect("every response is one");
    assert!(outcome.responses >= 3, "{outcome:?}");
    assert_eq!(outcome.errors, 0, "{outcome:?}");
    server.join().expect("one request at a time");
}
