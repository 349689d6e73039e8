//! The programs that `cargo xtask bench` runs: load, floors, a slow file system, and cold files.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use clap::{Args, Parser, Subcommand, ValueEnum};
use zc_bench::floors::{Floor, Server};
use zc_bench::load::{Cipher, Load, Outcome, SERVER_NAME, Target, Tls};
use zc_bench::slow_fs::{Content, Operation, SlowFs, Treatment};
use zc_bench::streams::{Source, Streams};

/// Programs of cargo xtask bench
#[derive(Debug, Parser)]
struct Arguments {
    #[command(subcommand)]
    program: Program,
}

#[derive(Debug, Subcommand)]
enum Program {
    /// Send load to a server
    ///
    /// Prints `measuring` when the measurement begins, and the result as JSON when it ends.
    Load {
        /// Address of the server
        #[arg(long)]
        address: SocketAddr,
        /// A target or a range of targets, as /4k/{0..10000}.bin
        #[arg(long, required = true)]
        target: Vec<String>,
        /// Directory of the served files, to compare bodies with; without it none is compared
        #[arg(long)]
        root: Option<PathBuf>,
        /// Connections open at a time
        #[arg(long, default_value_t = 64)]
        connections: usize,
        /// Open a new connection for each request
        #[arg(long)]
        close: bool,
        /// Requests per second; without it, a closed loop
        #[arg(long, value_parser = rate)]
        rate: Option<f64>,
        /// Seconds of load before the measurement
        #[arg(long, default_value_t = 0.5)]
        warm_up: f64,
        /// Seconds of the measurement
        #[arg(long, default_value_t = 2.0)]
        seconds: f64,
        /// Without --rate, the measurement goes on until this many responses have ended
        #[arg(long, default_value_t = 0)]
        responses_min: u64,
        /// The most seconds of the measurement, whatever --responses-min
        #[arg(long, default_value_t = 10.0)]
        seconds_max: f64,
        /// Compare one in this many bodies with its file
        #[arg(long, default_value_t = 1000)]
        verify_every: u64,
        #[command(flatten)]
        tls: TlsArguments,
    },
    /// Serve files with bare system calls; print the address
    Floor {
        /// System calls to use
        #[arg(value_enum)]
        mode: Mode,
        /// Address to listen on
        address: SocketAddr,
        /// Files to serve, requested by number
        #[arg(required = true)]
        files: Vec<PathBuf>,
    },
    /// Mount a file system with slow reads, until standard input ends
    SlowFs {
        /// Mount point
        point: PathBuf,
        /// Milliseconds per read
        #[arg(long, default_value_t = 200)]
        delay_ms: u64,
        /// Number of files, named 0.bin and so on
        #[arg(long, default_value_t = 8)]
        files: u64,
        /// Length of each file, in bytes
        #[arg(long, default_value_t = 64 << 20)]
        length: u64,
        /// File to show as image.bin too, for a loop device; the kernel keeps none of its bytes
        #[arg(long)]
        image: Option<PathBuf>,
    },
    /// Download or read files until standard input ends
    ///
    /// Prints `ready` at the start and bytes per second at the end.
    #[command(group = clap::ArgGroup::new("source").required(true))]
    Streams {
        /// Address of the server to download from
        #[arg(long, group = "source")]
        address: Option<SocketAddr>,
        /// Directory of the targets, to read them without a server
        #[arg(long, group = "source")]
        read: Option<PathBuf>,
        /// Targets, as for load
        #[arg(long)]
        target: String,
        /// Streams at a time
        #[arg(long, default_value_t = 8)]
        streams: usize,
        /// Directory of the targets, to evict them from the page cache before each pass
        #[arg(long)]
        evict: Option<PathBuf>,
    },
    /// Hold idle connections until standard input ends
    ///
    /// Sends one request on each, and prints `ready`.
    Idle {
        /// Address of the server
        #[arg(long)]
        address: SocketAddr,
        /// Target of the request
        #[arg(long)]
        target: String,
        /// Number of connections
        #[arg(long)]
        connections: usize,
        #[command(flatten)]
        tls: TlsArguments,
    },
    /// Write cert.pem and key.pem, an ECDSA key pair (P-256) for localhost that is signed with itself
    Certificate {
        /// Directory of the two files
        directory: PathBuf,
    },
}

#[derive(Debug, Args)]
struct TlsArguments {
    /// Connect by TLS 1.3, and trust this certificate (PEM), which is for localhost
    #[arg(long)]
    tls_certificate: Option<PathBuf>,
    /// The cipher to offer
    #[arg(long, value_enum, default_value = "aes128-gcm")]
    tls_cipher: CipherName,
    /// Go on with the sessions of earlier connections
    #[arg(long)]
    tls_resume: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum CipherName {
    #[value(name = "aes128-gcm")]
    Aes128Gcm,
    #[value(name = "chacha20")]
    ChaCha20Poly1305,
}

impl TlsArguments {
    fn tls(&self) -> anyhow::Result<Option<Tls>> {
        let cipher = match self.tls_cipher {
            CipherName::Aes128Gcm => Cipher::Aes128Gcm,
            CipherName::ChaCha20Poly1305 => Cipher::ChaCha20Poly1305,
        };
        let Some(path) = &self.tls_certificate else {
            return Ok(None);
        };
        let tls = Tls::new(path, cipher, self.tls_resume);
        let tls = tls.with_context(|| format!("cannot trust {}", path.display()))?;
        Ok(Some(tls))
    }
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Mode {
    Send,
    MoreSendfile,
    CorkSendfile,
    PreadWrite,
}

/// Leaves the core to the load generator, which shares it, as soon as that has something to do: else what
/// is measured is how long the one waits for the other. Threads inherit it.
fn lower_priority() {
    if let Err(error) = zc_core::set_background_priority() {
        eprintln!("cannot lower the priority: {error}");
    }
}

fn main() -> anyhow::Result<()> {
    match Arguments::parse().program {
        Program::Load {
            address,
            target,
            root,
            connections,
            close,
            rate,
            warm_up,
            seconds,
            responses_min,
            seconds_max,
            verify_every,
            tls,
        } => {
            let paths = target.iter().map(|target| expand(target));
            let paths: Vec<String> = paths.collect::<anyhow::Result<Vec<_>>>()?.concat();
            let load = Load {
                address,
                targets: paths
                    .into_iter()
                    .map(|path| in_root(path, root.as_ref()))
                    .collect(),
                connections,
                keep_alive: !close,
                tls: tls.tls()?,
                rate,
                warm_up: Duration::from_secs_f64(warm_up),
                duration: Duration::from_secs_f64(seconds),
                responses_min,
                duration_max: Duration::from_secs_f64(seconds_max),
                verify_every,
            };
            let outcome = load.run_and_say(|| println!("measuring"))?;
            println!("{}", json(&outcome));
            Ok(())
        }
        Program::Floor {
            mode,
            address,
            files,
        } => {
            let floor = match mode {
                Mode::Send => Floor::Send,
                Mode::MoreSendfile => Floor::MoreSendfile,
                Mode::CorkSendfile => Floor::CorkSendfile,
                Mode::PreadWrite => Floor::PreadWrite,
            };
            let server = Server::bind(floor, address, &files)?;
            println!("{}", server.address()?);
            Ok(server.run()?)
        }
        Program::SlowFs {
            point,
            delay_ms,
            files,
            length,
            image,
        } => {
            lower_priority();
            let mount = SlowFs::mount(point)
                .context("cannot mount the file system; /dev/fuse is needed")?;
            for index in 0..files {
                let content = Content::Pattern {
                    seed: index,
                    length,
                };
                mount.add(format!("{index}.bin"), content);
            }
            if let Some(image) = image {
                let bytes = std::fs::read(&image)
                    .with_context(|| format!("cannot read {}", image.display()))?;
                mount.add("image.bin", Content::Bytes(bytes.into()));
                mount.keep_out_of_memory("image.bin");
            }
            let delay = Duration::from_millis(delay_ms);
            mount.treat(Operation::Read, Treatment::Delay(delay));
            say_and_wait("ready")
        }
        Program::Streams {
            address,
            read,
            target,
            streams,
            evict,
        } => {
            raise_descriptor_limit()?;
            lower_priority();
            let streams = Streams {
                source: match (address, read) {
                    (Some(address), _) => Source::Server(address),
                    (None, read) => Source::Disk(read.context("--address or --read is needed")?),
                },
                targets: expand(&target)?,
                streams,
                evict,
            };
            println!("{}", streams.run_until_input_ends()?);
            Ok(())
        }
        Program::Idle {
            address,
            target,
            connections,
            tls,
        } => {
            raise_descriptor_limit()?;
            let tls = tls.tls()?;
            let held = zc_bench::load::hold_idle(address, tls.as_ref(), &target, connections)?;
            say_and_wait("ready")?;
            drop(held);
            Ok(())
        }
        Program::Certificate { directory } => {
            let made = rcgen::generate_simple_self_signed([SERVER_NAME.to_owned()])?;
            std::fs::write(directory.join("cert.pem"), made.cert.pem())?;
            std::fs::write(directory.join("key.pem"), made.signing_key.serialize_pem())?;
            Ok(())
        }
    }
}

fn rate(text: &str) -> Result<f64, String> {
    let rate: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    if rate.is_finite() && rate > 0.0 {
        Ok(rate)
    } else {
        Err("must be above 0".to_owned())
    }
}

/// `/a/{0..3}.bin` is three targets.
fn expand(target: &str) -> anyhow::Result<Vec<String>> {
    let Some((before, rest)) = target.split_once('{') else {
        return Ok(vec![target.to_owned()]);
    };
    let form = "not a range; example: {0..100}";
    let (range, behind) = rest.split_once('}').context(form)?;
    let (from, to) = range.split_once("..").context(form)?;
    let (from, to): (u64, u64) = (from.parse().context(form)?, to.parse().context(form)?);
    Ok((from..to)
        .map(|number| format!("{before}{number}{behind}"))
        .collect())
}

fn in_root(path: String, root: Option<&PathBuf>) -> Target {
    let name = path
        .split('?')
        .next()
        .unwrap_or(&path)
        .trim_start_matches('/');
    Target {
        file: root.map(|root| root.join(name)),
        path,
    }
}

fn json(outcome: &Outcome) -> serde_json::Value {
    let at = |quantile| outcome.latency.value_at_quantile(quantile);
    serde_json::json!({
        "responses": outcome.responses,
        "body_bytes": outcome.body_bytes,
        "other_status": outcome.other_status,
        "errors": outcome.errors,
        "verified": outcome.verified,
        "resumed": outcome.resumed,
        "unanswered": outcome.unanswered,
        "seconds": outcome.seconds,
        "client_cpu_seconds": outcome.client_cpu_seconds,
        "p50_ns": at(0.5),
        "p90_ns": at(0.9),
        "p99_ns": at(0.99),
        "p999_ns": at(0.999),
        "max_ns": outcome.latency.max(),
    })
}

fn say_and_wait(word: &str) -> anyhow::Result<()> {
    println!("{word}");
    io::stdout().flush()?;
    io::copy(&mut io::stdin(), &mut io::sink())?;
    Ok(())
}

fn raise_descriptor_limit() -> anyhow::Result<()> {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    Ok(setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?)
}
