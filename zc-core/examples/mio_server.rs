//! A small reactor: every client that connects gets the file, resumed at each writable edge.
//!
//! `cargo run -p zc-core --example mio_server -- FILE 127.0.0.1:9000`

use std::collections::HashMap;
use std::fs::File;
use std::io;

use anyhow::Context;
use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};
use zc_core::{Progress, Transfer};

const LISTENER: Token = Token(0);
/// Bytes of one connection in one turn, so that a fast reader does not starve the others.
const TURN_BYTES: u64 = 1 << 20;

struct Connection<'f> {
    stream: TcpStream,
    transfer: Transfer<&'f File>,
}

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let usage = "usage: mio_server FILE ADDRESS";
    let file = File::open(arguments.next().context(usage)?)?;
    let length = file.metadata()?.len();
    let mut listener = TcpListener::bind(arguments.next().context(usage)?.parse()?)?;
    println!("listening on {}", listener.local_addr()?);

    let mut poll = Poll::new()?;
    let mut events = Events::with_capacity(256);
    poll.registry()
        .register(&mut listener, LISTENER, Interest::READABLE)?;
    let mut connections = HashMap::new();
    // An edge is reported once: a connection that stops for its budget, and not for a full socket, has
    // to be remembered.
    let mut ready: Vec<Token> = Vec::new();
    let mut next = LISTENER.0 + 1;
    loop {
        let timeout = (!ready.is_empty()).then_some(std::time::Duration::ZERO);
        poll.poll(&mut events, timeout)?;
        for event in &events {
            if event.token() != LISTENER {
                ready.push(event.token());
                continue;
            }
            loop {
                let mut stream = match listener.accept() {
                    Ok((stream, _)) => stream,
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                    Err(error) => return Err(error.into()),
                };
                let token = Token(next);
                next += 1;
                poll.registry()
                    .register(&mut stream, token, Interest::WRITABLE)?;
                let transfer = Transfer::new(&file, 0, length);
                connections.insert(token, Connection { stream, transfer });
            }
        }
        ready.sort_unstable();
        ready.dedup();
        for token in std::mem::take(&mut ready) {
            let Some(connection) = connections.get_mut(&token) else {
                continue;
            };
            match connection.transfer.advance(&connection.stream, TURN_BYTES) {
                Ok(Progress::WouldBlock) => continue,
                Ok(Progress::BudgetSpent | Progress::NeedsDisk(_)) => {
                    ready.push(token);
                    continue;
                }
                Ok(Progress::Complete) => println!("{:?}", connection.transfer.report()),
                Ok(Progress::SourceTruncated(truncated)) => println!("closed: {truncated}"),
                Err(error) => println!("closed: {error}"),
            }
            connections.remove(&token);
        }
    }
}
