//! Under tokio: every client that connects gets the file.
//!
//! `cargo run -p zc-core --example tokio_server -- FILE 127.0.0.1:9000`
//!
//! The socket stays tokio's: `writable` waits, and `try_io` makes the system calls and has tokio wait
//! for the next readiness when the socket is full. No descriptor is registered a second time.

use std::fs::File;
use std::io;
use std::sync::Arc;

use anyhow::Context;
use tokio::io::Interest;
use tokio::net::{TcpListener, TcpStream};
use tokio::task;
use zc_core::{Fetcher, ProbedTransfer, Progress, Report, Transfer};

/// Bytes of one connection in one turn, so that a fast reader does not starve the others.
const TURN_BYTES: u64 = 1 << 20;
/// How much is read from the disk at a time, in bytes.
const WINDOW_BYTES: u64 = 1 << 20;

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let usage = "usage: tokio_server FILE ADDRESS";
    let file = File::open(arguments.next().context(usage)?)?;
    let address = arguments.next().context(usage)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()?;
    runtime.block_on(async {
        let listener = TcpListener::bind(address).await?;
        println!("listening on {}", listener.local_addr()?);
        serve(listener, file).await
    })
}

/// Sends `file` to every client that connects, each in a task of its own.
pub(crate) async fn serve(listener: TcpListener, file: File) -> anyhow::Result<()> {
    let length = file.metadata()?.len();
    let file = Arc::new(file);
    let fetcher = Arc::new(Fetcher::new()?);
    loop {
        let (stream, peer) = listener.accept().await?;
        let (file, fetcher) = (Arc::clone(&file), Arc::clone(&fetcher));
        task::spawn(async move {
            match send(&stream, file, 0, length, fetcher).await {
                Ok(report) => println!("{peer}: {report:?}"),
                Err(error) => println!("{peer}: {error}"),
            }
        });
    }
}

/// Sends the `length` bytes of `file` at `offset`. Other tasks run while the socket is full, after each
/// turn, and while the disk is busy.
pub(crate) async fn send(
    stream: &TcpStream,
    file: Arc<File>,
    offset: u64,
    length: u64,
    fetcher: Arc<Fetcher>,
) -> io::Result<Report> {
    let mut transfer = ProbedTransfer::new(
        Transfer::new(Arc::clone(&file), offset, length),
        WINDOW_BYTES,
    );
    loop {
        stream.writable().await?;
        let advanced = stream.try_io(Interest::WRITABLE, || {
            match transfer.advance(stream, TURN_BYTES)? {
                // Tells tokio that the socket is full: `writable` then waits.
                Progress::WouldBlock => Err(io::ErrorKind::WouldBlock.into()),
                other => Ok(other),
            }
        });
        match advanced {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
            Ok(Progress::Complete) => return Ok(*transfer.report()),
            Ok(Progress::WouldBlock | Progress::BudgetSpent) => task::yield_now().await,
            Ok(Progress::NeedsDisk(range)) => {
                let (file, fetcher) = (Arc::clone(&file), Arc::clone(&fetcher));
                task::spawn_blocking(move || fetcher.fetch(&file, range)).await??;
            }
            Ok(Progress::SourceTruncated(truncated)) => {
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, truncated));
            }
        }
    }
}
