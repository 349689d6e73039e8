//! A server inside another program: it takes a free port, answers one request, and is stopped.
//!
//! ```sh
//! cargo run -p zc-server --example embedded -- DIR /path/of/a/file
//! ```
//!
//! prints the address and then the response as it came: head, empty line, body.

use std::error::Error;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::thread;

use zc_server::{Config, Server, Stopped};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [root, target] = &arguments[..] else {
        return Err("usage: embedded DIR /TARGET".into());
    };
    let outcome = serve_one(Path::new(root), target, &mut io::stdout())?;
    eprintln!("stopped: {outcome}");
    Ok(())
}

/// Serves `root` for as long as one request takes. Writes the address, and then the response.
pub(crate) fn serve_one(
    root: &Path,
    target: &str,
    output: &mut impl Write,
) -> Result<Stopped, Box<dyn Error>> {
    let mut config = Config::for_root(root)?;
    // Port 0: the kernel picks a free one.
    config.binds = vec!["127.0.0.1:0".parse()?];
    let server = Server::bind(config)?;
    let listening = &server.listening()[0];
    writeln!(output, "{listening}")?;
    let address = listening.address.socket_address().ok_or("no path")?;

    let handle = server.handle();
    // `run` returns when the server has been stopped, so it has a thread of its own.
    let serving = thread::spawn(move || server.run());
    let response = get(address, target);
    // From here on nothing is accepted, and responses under way are sent to their end.
    handle.stop();
    let outcome = serving.join().map_err(|_| "the server panicked")??;
    output.write_all(&response?)?;
    Ok(outcome)
}

/// One request on a connection of its own: what comes up to the end of it is the response.
fn get(address: SocketAddr, target: &str) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(address)?;
    let request = format!("GET {target} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut response = Vec::new();
    stream.read_to_end(&mut response)?;
    Ok(response)
}
