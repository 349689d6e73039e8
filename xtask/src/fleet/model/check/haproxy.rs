//! A real HAProxy in front of the backends, and a client of it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};

use super::super::forecast::Operation;
use super::super::ring::WEIGHT;
use super::backends::Backends;

/// Where Debian has it.
pub(super) const PROGRAM: &str = "/usr/sbin/haproxy";
/// No step of a check takes longer.
const WAIT_MAX: Duration = Duration::from_secs(20);
const LOOK: Duration = Duration::from_millis(1);

/// One section of its configuration, with a port of its own and all backends.
#[derive(Debug, Clone, Copy)]
pub(super) enum Section {
    /// Without a limit of the load.
    Hashed,
    /// With `hash-balance-factor`.
    Bounded,
    /// With health checks, and without retries.
    Checked,
}

/// A running HAProxy, ended when it is dropped.
#[derive(Debug)]
pub(super) struct Haproxy {
    child: Child,
    addresses: [SocketAddr; 3],
    socket: PathBuf,
    _directory: tempfile::TempDir,
}

/// A connection to it.
#[derive(Debug)]
pub(super) struct Client {
    reader: BufReader<TcpStream>,
}

impl Section {
    const ALL: [Self; 3] = [Self::Hashed, Self::Bounded, Self::Checked];

    fn name(self) -> &'static str {
        match self {
            Self::Hashed => "hashed",
            Self::Bounded => "bounded",
            Self::Checked => "checked",
        }
    }

    fn lines(self, factor: u32, operation: &Operation) -> String {
        match self {
            Self::Hashed => "  default-server".to_owned(),
            // Heads of responses that are held back are sent at once, and not after 200 ms.
            Self::Bounded => {
                format!("  option http-no-delay\n  hash-balance-factor {factor}\n  default-server")
            }
            Self::Checked => format!(
                "  retries 0\n  option httpchk GET /readyz\n  http-check expect status 200\n  default-server check \
                 inter {} fastinter {} fall {checks} rise {checks}",
                (operation.inter * 1e3) as u64,
                (operation.fastinter * 1e3) as u64,
                checks = operation.checks,
            ),
        }
    }
}

impl Haproxy {
    pub(super) fn start(
        backends: &Backends,
        factor: u32,
        operation: &Operation,
    ) -> anyhow::Result<Self> {
        let directory = tempfile::tempdir()?;
        let socket = directory.path().join("admin.sock");
        // Held until all have a port, so that no two have the same.
        let listeners = [(); 3].map(|()| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)));
        let mut addresses = [SocketAddr::from((Ipv4Addr::LOCALHOST, 0)); 3];
        for (address, listener) in addresses.iter_mut().zip(listeners) {
            *address = listener?.local_addr()?;
        }
        let mut text = format!(
            "global\n  maxconn 4000\n  nbthread 1\n  stats socket {} level admin\n\
             defaults\n  mode http\n  timeout connect 2s\n  timeout client 60s\n  timeout server 60s\n",
            socket.display()
        );
        for (section, address) in Section::ALL.into_iter().zip(addresses) {
            text += &format!(
                "listen {}\n  bind {address}\n  balance uri\n  hash-type consistent sdbm avalanche\n{} weight {WEIGHT}\n",
                section.name(),
                section.lines(factor, operation)
            );
            for (id, backend) in (1..).zip(backends.addresses()) {
                text += &format!("  server node{id} {backend} id {id}\n");
            }
        }
        let path = directory.path().join("haproxy.cfg");
        std::fs::write(&path, text)?;
        let log = std::fs::File::create(directory.path().join("log"))?;
        let mut command = Command::new(PROGRAM);
        command.args(["-db", "-q", "-f"]).arg(&path);
        command
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log);
        let child = command
            .spawn()
            .with_context(|| format!("cannot start {PROGRAM}; apt-get install haproxy"))?;
        let mut haproxy = Self {
            child,
            addresses,
            socket,
            _directory: directory,
        };
        haproxy.wait_until_it_listens()?;
        Ok(haproxy)
    }

    fn wait_until_it_listens(&mut self) -> anyhow::Result<()> {
        let began = Instant::now();
        while TcpStream::connect(self.addresses[2]).is_err() {
            let log = self.socket.with_file_name("log");
            let said = std::fs::read_to_string(log).unwrap_or_default();
            ensure!(
                self.child.try_wait()?.is_none(),
                "haproxy ended: {}",
                said.trim()
            );
            ensure!(
                began.elapsed() < WAIT_MAX,
                "haproxy does not listen: {}",
                said.trim()
            );
            std::thread::sleep(LOOK);
        }
        Ok(())
    }

    pub(super) fn client(&self, section: Section) -> anyhow::Result<Client> {
        let stream = TcpStream::connect(self.addresses[section as usize])?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(WAIT_MAX))?;
        Ok(Client {
            reader: BufReader::new(stream),
        })
    }

    /// Takes a server out of a section, without a restart.
    pub(super) fn take_out(&self, section: Section, node: usize) -> anyhow::Result<()> {
        let server = format!("{}/node{}", section.name(), node + 1);
        let said = self.command(&format!("set server {server} state maint"))?;
        ensure!(said.trim().is_empty(), "haproxy: {}", said.trim());
        Ok(())
    }

    /// Waits until a section has this number of requests under way.
    pub(super) fn wait_for_under_way(&self, section: Section, count: usize) -> anyhow::Result<()> {
        self.wait_for(section, "BACKEND", 4, &count.to_string())
    }

    /// Waits until a section has taken a server in or out: `UP` or `DOWN`.
    pub(super) fn wait_for_state(
        &self,
        section: Section,
        node: usize,
        state: &str,
    ) -> anyhow::Result<()> {
        self.wait_for(section, &format!("node{}", node + 1), 17, state)
    }

    /// Waits until a column of `show stat` has a value.
    fn wait_for(
        &self,
        section: Section,
        row: &str,
        column: usize,
        value: &str,
    ) -> anyhow::Result<()> {
        let began = Instant::now();
        let start = format!("{},{row},", section.name());
        loop {
            let table = self.command("show stat")?;
            let line = table.lines().find(|line| line.starts_with(&start));
            let found = line.and_then(|line| line.split(',').nth(column));
            let found = found.with_context(|| format!("no {start} in `show stat`"))?;
            if found == value {
                return Ok(());
            }
            if began.elapsed() > WAIT_MAX {
                bail!("column {column} of {start} is {found}, and not {value}");
            }
            std::thread::sleep(LOOK);
        }
    }

    fn command(&self, command: &str) -> anyhow::Result<String> {
        let mut stream = UnixStream::connect(&self.socket)?;
        writeln!(stream, "{command}")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    }
}

impl Drop for Haproxy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Client {
    /// Asks for a target and reads all of the response; answers the number of the backend, or nothing where HAProxy
    /// answered itself.
    pub(super) fn ask(&mut self, target: &str) -> anyhow::Result<Option<usize>> {
        let node = self.begin(target)?;
        if node.is_some() {
            self.end()?;
        }
        Ok(node)
    }

    /// The same as far as the head of the response.
    pub(super) fn begin(&mut self, target: &str) -> anyhow::Result<Option<usize>> {
        let request = format!("GET {target} HTTP/1.1\r\nHost: fleet\r\n\r\n");
        self.reader.get_mut().write_all(request.as_bytes())?;
        let mut node = None;
        loop {
            let mut line = String::new();
            ensure!(self.reader.read_line(&mut line)? > 0, "no response");
            if line == "\r\n" {
                return Ok(node);
            }
            // HAProxy writes names of field lines in lower case.
            if let Some(number) = line.to_lowercase().strip_prefix("node: ") {
                node = Some(number.trim().parse()?);
            }
        }
    }

    /// Reads the body.
    pub(super) fn end(&mut self) -> anyhow::Result<()> {
        let mut body = [0; 2];
        self.reader.read_exact(&mut body)?;
        ensure!(&body == b"ok", "another body");
        Ok(())
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        let _ = self.reader.get_ref().shutdown(Shutdown::Both);
    }
}
