//! Receives a number of bytes over TCP into a file and prints how they went:
//! `receive_to_file ADDR LENGTH FILE`.
//!
//! To see it: `cargo run -p zc-core --example receive_to_file -- 127.0.0.1:9000 1000 received &`,
//! then `head -c 1000 Cargo.lock | nc -N 127.0.0.1 9000`.

use std::fs::File;
use std::net::TcpListener;

use anyhow::{Context, Result, bail};
use zc_core::{PipePool, Progress, Receive};

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [address, length, path] = arguments.as_slice() else {
        bail!("usage: receive_to_file ADDR LENGTH FILE");
    };
    let length: u64 = length.parse().context("LENGTH is a number of bytes")?;
    let listener =
        TcpListener::bind(address).with_context(|| format!("cannot listen on {address}"))?;
    println!("listening on {}", listener.local_addr()?);
    let (socket, peer) = listener.accept()?;
    let file = File::create(path).with_context(|| format!("cannot create {path}"))?;

    let pool = PipePool::default();
    let mut receive = Receive::new(&file, 0, length, &pool);
    match receive.advance(&socket, u64::MAX)? {
        Progress::Complete => println!("{length} bytes from {peer}"),
        Progress::SourceTruncated(truncated) => bail!(
            "{peer} closed the connection at byte {}, {} bytes before the expected end",
            truncated.offset,
            truncated.missing
        ),
        // The socket blocks and the budget has no end.
        stopped => bail!("stopped: {stopped:?}"),
    }

    let report = receive.report();
    for (path, tally) in [("splice", report.splice), ("copy", report.copy)] {
        println!("{path}: {} bytes in {} calls", tally.bytes, tally.calls);
    }
    if let Some(errno) = report.fallback_errno {
        let reason = std::io::Error::from_raw_os_error(errno);
        println!("splice given up: {reason}");
    }
    Ok(())
}
