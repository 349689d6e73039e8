//! Shows by which path the bytes of a file go to a loopback socket, and why.
//!
//! `cargo run -p zc-core --example which_path -- FILE…`

use std::fs::File;
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, ensure};
use zc_core::{FileSystem, Progress, Residency, SinkKind, Transfer};

/// Enough to find out, in bytes; it fits every socket buffer.
const SAMPLE_BYTES: u64 = 4096;

fn main() -> ExitCode {
    let paths: Vec<_> = std::env::args_os().skip(1).collect();
    if paths.is_empty() {
        eprintln!("usage: which_path FILE…");
        return ExitCode::from(2);
    }
    let mut code = ExitCode::SUCCESS;
    for path in paths {
        if let Err(error) = tell(Path::new(&path), io::stdout()) {
            eprintln!("which_path: {error:#}");
            code = ExitCode::FAILURE;
        }
    }
    code
}

pub(crate) fn tell(path: &Path, mut out: impl Write) -> anyhow::Result<()> {
    let name = path.display();
    let metadata = path.metadata();
    let metadata = metadata.with_context(|| format!("cannot open {name}; give a file"))?;
    // Before it is opened: opening a named pipe waits.
    ensure!(metadata.is_file(), "{name} is not a regular file");
    let file = File::open(path).with_context(|| format!("cannot open {name}"))?;
    let length = file.metadata()?.len();
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let mut peer = TcpStream::connect(listener.local_addr()?)?;
    let (socket, _) = listener.accept()?;

    writeln!(out, "{}: {length} bytes", path.display())?;
    match FileSystem::from_fd(&file) {
        Ok(file_system) => writeln!(out, "  filesystem  {file_system:x?}")?,
        // Some systems do not tell. Then the choice does not depend on it.
        Err(error) => writeln!(out, "  filesystem  unknown: {error}")?,
    }
    writeln!(out, "  sink        {:?}", SinkKind::from_fd(&socket)?)?;
    let residency = Residency::probe(&file, 0..length);
    writeln!(out, "  page cache  {residency:?}")?;
    let mut transfer = Transfer::new(&file, 0, length.min(SAMPLE_BYTES));
    match transfer.advance(&socket, u64::MAX)? {
        Progress::Complete => {}
        other => writeln!(out, "  stopped     {other:?}")?,
    }
    writeln!(out, "  path        {}", transfer.path())?;
    match transfer.report().fallback {
        Some(fallback) => writeln!(out, "  because     {fallback}")?,
        None => writeln!(out, "  because     nothing refused it")?,
    }
    drop(socket);
    let mut received = Vec::new();
    peer.read_to_end(&mut received)?;
    writeln!(out, "  received    {} bytes", received.len())?;
    Ok(())
}
