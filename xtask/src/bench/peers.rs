//! The servers that are measured, each with the best configuration known for the job. The files of
//! their configurations lie beside this one, in `peers/`.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail, ensure};

use super::arena::Side;
use super::process::{Running, free_address};
use super::results::Skipped;

/// A server, and how it is had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Peer {
    /// As `--peers` and the report name it.
    pub(crate) name: &'static str,
    kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Ours, with further options.
    Ours(&'static [&'static str]),
    Floor(&'static str),
    Nginx(&'static str),
    Lighttpd,
    H2o,
    Caddy,
    Go(&'static str),
    StaticWebServer,
}

/// What clients speak with a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    Http,
    /// With the key pair of the run.
    Https,
}

/// Ours as it is, and with further options: each has a row in the tables of sizes. A name that is not
/// the first is that one with what is different in parentheses. Last comes what it stands for.
const VARIANTS: &[Variant] = &[
    ("zc", &[], ""),
    (
        "zc (bodies off)",
        &["--cache-file-max", "0"],
        "zc with --cache-file-max 0: it keeps files open, as other servers do, but not their content in memory",
    ),
];

type Variant = (&'static str, &'static [&'static str], &'static str);

/// Ours, first in every table.
pub(crate) const OURS: Peer = variant(VARIANTS[0]);

/// All variants of ours.
pub(crate) fn variants() -> Vec<Peer> {
    VARIANTS.iter().copied().map(variant).collect()
}

const fn variant((name, options, _): Variant) -> Peer {
    peer(name, Kind::Ours(options))
}

const fn peer(name: &'static str, kind: Kind) -> Peer {
    Peer { name, kind }
}

/// What a name in a report stands for that is no product's; `None` for those that are.
pub(crate) fn meaning_of(server: &str) -> Option<&'static str> {
    let of_variants = VARIANTS.iter().skip(1);
    let of_variants = of_variants.map(|(name, _, meaning)| (*name, *meaning));
    let of_floors = MEANINGS
        .iter()
        .map(|(floor, meaning)| (floor.name, *meaning));
    let mut all = of_floors.chain(of_variants);
    all.find(|(name, _)| *name == server)
        .map(|(_, meaning)| meaning)
}

/// A floor is a bare loop that knows nothing of HTTP but where a request ends.
const MEANINGS: [(Peer, &str); 4] = [
    (
        FLOOR_SEND,
        "a bare loop that answers each request with one send(2) of a prebuilt response",
    ),
    (
        FLOOR_SENDFILE,
        "a bare loop of send(2) with MSG_MORE for the head, and sendfile(2) for the body",
    ),
    (
        FLOOR_CORK,
        "a bare loop of send(2) and sendfile(2) between TCP_CORK on and off, which fills segments",
    ),
    (
        FLOOR_COPY,
        "a bare loop of send(2) for the head, and pread(2) and write(2) of 64 KiB at a time for the body",
    ),
];

/// Whether a server in a report is ours, with whatever options.
pub(crate) fn is_ours(server: &str) -> bool {
    let options = server.strip_prefix(OURS.name);
    options.is_some_and(|options| options.is_empty() || options.starts_with(" ("))
}

/// One prebuilt `send`.
pub(crate) const FLOOR_SEND: Peer = peer("floor: one send", Kind::Floor("send"));
/// `send` with `MSG_MORE`, then `sendfile`.
pub(crate) const FLOOR_SENDFILE: Peer =
    peer("floor: MORE + sendfile", Kind::Floor("more-sendfile"));
/// `send` and `sendfile` on a corked socket.
pub(crate) const FLOOR_CORK: Peer = peer("floor: cork + sendfile", Kind::Floor("cork-sendfile"));
/// `pread` and `write`.
pub(crate) const FLOOR_COPY: Peer = peer("floor: pread + write", Kind::Floor("pread-write"));
/// The study's handlers, in Go.
pub(crate) const GO_STUDY: Peer = peer("go-study", Kind::Go(include_str!("peers/go/study.go")));
/// The others.
pub(crate) const OTHERS: [Peer; 8] = [
    peer("nginx", Kind::Nginx(include_str!("peers/nginx-tuned.conf"))),
    peer(
        "nginx-default",
        Kind::Nginx(include_str!("peers/nginx-default.conf")),
    ),
    peer(
        "nginx-aio",
        Kind::Nginx(include_str!("peers/nginx-aio.conf")),
    ),
    peer("lighttpd", Kind::Lighttpd),
    peer("h2o", Kind::H2o),
    peer("caddy", Kind::Caddy),
    peer("go", Kind::Go(include_str!("peers/go/fileserver.go"))),
    peer("static-web-server", Kind::StaticWebServer),
];

/// Where our own programs are.
#[derive(Debug, Clone)]
pub(crate) struct Programs {
    pub(crate) server: PathBuf,
    pub(crate) bench: PathBuf,
    /// Where what is built for peers is kept during the run.
    pub(crate) scratch: PathBuf,
}

impl Programs {
    /// The certificate of the run, for whoever speaks TLS; its key is beside it, in `key.pem`.
    pub(crate) fn certificate(&self) -> PathBuf {
        self.scratch.join("cert.pem")
    }

    fn key(&self) -> PathBuf {
        self.scratch.join("key.pem")
    }
}

impl Peer {
    /// Whether its configuration here has TLS.
    pub(crate) fn speaks_tls(&self) -> bool {
        match self.kind {
            Kind::Ours(_) | Kind::H2o | Kind::Caddy | Kind::StaticWebServer => true,
            Kind::Nginx(_) => self.name == "nginx",
            Kind::Floor(_) | Kind::Lighttpd | Kind::Go(_) => false,
        }
    }

    /// The program that has to be there, and the command that installs it.
    fn needs(&self) -> Option<(&'static str, &'static str)> {
        match self.kind {
            Kind::Ours(_) | Kind::Floor(_) => None,
            Kind::Nginx(_) => Some(("nginx", "apt-get install nginx")),
            Kind::Lighttpd => Some(("lighttpd", "apt-get install lighttpd")),
            Kind::H2o => Some(("h2o", "apt-get install h2o")),
            Kind::Caddy => Some(("caddy", "apt-get install caddy")),
            Kind::Go(_) => Some(("go", "apt-get install golang-go")),
            Kind::StaticWebServer => Some(("static-web-server", "cargo install static-web-server")),
        }
    }

    /// Whether it can be had here; otherwise what the report says of it.
    pub(crate) fn is_here(&self) -> Result<(), Skipped> {
        match self.needs() {
            Some((program, mend)) if find_program(program).is_none() => Err(Skipped {
                what: self.name.to_owned(),
                why: format!("{program} is not installed"),
                mend: Some(mend.to_owned()),
            }),
            _ => Ok(()),
        }
    }

    /// Starts it over `root`; a floor serves `files`.
    pub(crate) fn start(
        &self,
        programs: &Programs,
        root: &Path,
        files: &[PathBuf],
        protocol: Protocol,
        side: Side,
    ) -> anyhow::Result<Running> {
        let directory = tempfile::Builder::new()
            .prefix("zc-peer-")
            .tempdir_in(&programs.scratch)?;
        let address = free_address()?;
        let command = self
            .command(programs, root, files, address, protocol, directory.path())
            .with_context(|| format!("cannot prepare {}", self.name))?;
        Running::start(self.name, command, address, directory, side)
    }

    fn command(
        &self,
        programs: &Programs,
        root: &Path,
        files: &[PathBuf],
        address: SocketAddr,
        protocol: Protocol,
        directory: &Path,
    ) -> anyhow::Result<Command> {
        let (certificate, key) = (programs.certificate(), programs.key());
        let is_https = protocol == Protocol::Https;
        let tls = is_https.then(|| self.tls(&certificate, &key));
        let written = |name: &str, template: &str| {
            let path = directory.join(name);
            let tls = tls.as_deref().unwrap_or_default();
            std::fs::write(&path, fill_in(template, root, address, directory, tls))?;
            Ok::<_, anyhow::Error>(path)
        };
        let mut command = Command::new(self.program(programs)?);
        match self.kind {
            Kind::Ours(options) => {
                let usual = "--threads 1 --method-override --max-connections 16384";
                command.args(usual.split(' ')).args(options).arg(root);
                listen(&mut command, programs, address, protocol);
            }
            Kind::Floor(mode) => {
                command.args(["floor", mode]).arg(address.to_string());
                command.args(files);
            }
            Kind::Nginx(template) => {
                command.arg("-p").arg(directory);
                command.arg("-c").arg(written("nginx.conf", template)?);
            }
            Kind::Lighttpd => {
                let path = written("lighttpd.conf", include_str!("peers/lighttpd.conf"))?;
                command.arg("-D").arg("-f").arg(path);
            }
            Kind::H2o => {
                let path = written("h2o.conf", include_str!("peers/h2o.conf"))?;
                command.arg("-m").arg("worker").arg("-c").arg(path);
            }
            Kind::Caddy => {
                let path = written("Caddyfile", include_str!("peers/Caddyfile"))?;
                command.args(["run", "--adapter", "caddyfile", "--config"]);
                command
                    .arg(path)
                    .env("HOME", directory)
                    .env("GOMAXPROCS", "1");
            }
            Kind::Go(_) => {
                command
                    .arg(root)
                    .arg(address.to_string())
                    .env("GOMAXPROCS", "1");
            }
            Kind::StaticWebServer => {
                command.arg("--host").arg(address.ip().to_string());
                command.arg("--port").arg(address.port().to_string());
                command.arg("--root").arg(root);
                let usual = "--compression false --log-level error --cache-control-headers false";
                command.args(usual.split(' '));
                if is_https {
                    command.args(["--http2", "true", "--http2-tls-cert"]);
                    command.arg(&certificate).arg("--http2-tls-key").arg(&key);
                }
            }
        }
        Ok(command)
    }

    /// What its configuration says of TLS, where it has a file for that.
    fn tls(&self, certificate: &Path, key: &Path) -> String {
        let (certificate, key) = (certificate.display(), key.display());
        match self.kind {
            Kind::Nginx(_) => {
                format!(
                    "ssl_certificate {certificate}; ssl_certificate_key {key}; ssl_protocols TLSv1.3;"
                )
            }
            Kind::H2o => {
                format!("  ssl:\n    certificate-file: {certificate}\n    key-file: {key}")
            }
            Kind::Caddy => format!("tls {certificate} {key}"),
            Kind::Ours(_)
            | Kind::Floor(_)
            | Kind::Lighttpd
            | Kind::Go(_)
            | Kind::StaticWebServer => String::new(),
        }
    }

    /// Its program, which is built first if it is of one file.
    fn program(&self, programs: &Programs) -> anyhow::Result<PathBuf> {
        match (self.kind, self.needs()) {
            (Kind::Ours(_), _) => Ok(programs.server.clone()),
            (Kind::Floor(_), _) => Ok(programs.bench.clone()),
            (Kind::Go(source), _) => built_by_go(source, &programs.scratch),
            (_, Some((name, _))) => found(name),
            (_, None) => bail!("{} has no program", self.name),
        }
    }
}

/// Fills in the places of a configuration; `tls` is what it says of TLS, and empty without it.
fn fill_in(
    template: &str,
    root: &Path,
    address: SocketAddr,
    directory: &Path,
    tls: &str,
) -> String {
    let user = std::env::var("USER").unwrap_or_else(|_| "root".to_owned());
    let places = [
        ("{root}", root.display().to_string()),
        ("{dir}", directory.display().to_string()),
        ("{address}", address.to_string()),
        ("{host}", address.ip().to_string()),
        ("{port}", address.port().to_string()),
        ("{user}", user),
        ("{tls}", tls.to_owned()),
        ("{ssl}", if tls.is_empty() { "" } else { " ssl" }.to_owned()),
    ];
    let fill = |text: String, (place, value): &(&str, String)| text.replace(place, value);
    places.iter().fold(template.to_owned(), fill)
}

/// Builds a program of one file, once in a run.
fn built_by_go(source: &str, scratch: &Path) -> anyhow::Result<PathBuf> {
    use std::hash::{DefaultHasher, Hash, Hasher};
    let mut hasher = DefaultHasher::new();
    source.hash(&mut hasher);
    let program = scratch.join(format!("go-{:016x}", hasher.finish()));
    if program.exists() {
        return Ok(program);
    }
    let path = program.with_extension("go");
    std::fs::write(&path, source)?;
    let mut command = Command::new(found("go")?);
    command.args(["build", "-o"]).args([&program, &path]);
    command
        .env("GO111MODULE", "off")
        .env("GOPATH", scratch.join("go-path"));
    let output = command.env("GOCACHE", scratch.join("go-cache")).output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "go build: {}", said.trim());
    Ok(program)
}

/// The program of this name, if `PATH` has it; daemons are outside of the path of many users.
pub(crate) fn find_program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin", "/usr/local/sbin"].map(PathBuf::from))
        .map(|directory| directory.join(name))
        .find(|path| path.is_file())
}

/// Where ours listens.
fn listen(command: &mut Command, programs: &Programs, address: SocketAddr, protocol: Protocol) {
    match protocol {
        Protocol::Http => command.arg("--bind"),
        Protocol::Https => {
            command.arg("--tls-cert").arg(programs.certificate());
            command.arg("--tls-key").arg(programs.key());
            // Any free port: nobody asks there.
            command.args(["--bind", "127.0.0.1:0", "--tls-bind"])
        }
    };
    command.arg(address.to_string());
}

fn found(name: &str) -> anyhow::Result<PathBuf> {
    find_program(name).with_context(|| format!("{name} is not installed"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_place_in_a_configuration_is_filled_in() {
        let address = SocketAddr::from(([127, 0, 0, 1], 8080));
        for template in [
            include_str!("peers/nginx-tuned.conf"),
            include_str!("peers/nginx-default.conf"),
            include_str!("peers/nginx-aio.conf"),
            include_str!("peers/lighttpd.conf"),
            include_str!("peers/h2o.conf"),
            include_str!("peers/Caddyfile"),
        ] {
            let (root, directory) = (Path::new("/ROOT"), Path::new("/DIR"));
            let filled = fill_in(template, root, address, directory, "TLS");
            let places = "{root} {dir} {address} {host} {port} {user} {tls} {ssl}";
            for place in places.split(' ') {
                assert!(!filled.contains(place), "{place} in {filled}");
            }
            assert!(
                filled.contains("/ROOT") && filled.contains("8080"),
                "{filled}"
            );
        }
    }

    #[test]
    fn variants_are_known_by_their_names_and_others_are_not() {
        assert!(variants().iter().all(|peer| is_ours(peer.name)));
        assert!(is_ours("zc") && is_ours("zc (bodies off)"));
        assert!(!is_ours("zc-like") && !OTHERS.iter().any(|peer| is_ours(peer.name)));
    }

    #[test]
    fn what_is_no_product_has_a_meaning() {
        for scenario in &crate::bench::scenarios::SCENARIOS {
            for peer in scenario.peers(&OTHERS) {
                let is_product = peer == OURS || OTHERS.contains(&peer);
                let meaning = meaning_of(peer.name);
                assert_eq!(meaning.is_none(), is_product, "{}: {meaning:?}", peer.name);
            }
        }
    }

    #[test]
    fn names_are_distinct() {
        let floors = MEANINGS.map(|(floor, _)| floor);
        let all = [&OTHERS[..], &floors, &variants(), &[GO_STUDY]].concat();
        let mut names: Vec<&str> = all.iter().map(|peer| peer.name).collect();
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
    }
}
