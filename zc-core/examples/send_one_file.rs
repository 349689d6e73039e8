//! Sends one file over TCP and prints how its bytes went: `send_one_file FILE ADDR`.
//!
//! To see it: `nc -l 127.0.0.1 9000 > received &`, then
//! `cargo run -p zc-core --example send_one_file -- Cargo.lock 127.0.0.1:9000`.

use std::fs::File;
use std::net::TcpStream;

use anyhow::{Context, Result, bail};

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [path, address] = arguments.as_slice() else {
        bail!("usage: send_one_file FILE ADDR");
    };
    let file = File::open(path).with_context(|| format!("cannot open {path}"))?;
    let socket =
        TcpStream::connect(address).with_context(|| format!("cannot connect to {address}"))?;

    let report = zc_core::copy(&file, &socket)?;
    println!(
        "sendfile: {} bytes in {} calls",
        report.sendfile.bytes, report.sendfile.calls
    );
    println!(
        "copy:     {} bytes in {} calls",
        report.copy.bytes, report.copy.calls
    );
    println!("short writes: {}", report.short_writes);
    if let Some(fallback) = report.fallback {
        println!("{fallback}");
    }
    Ok(())
}
