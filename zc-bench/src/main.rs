//! The programs that `cargo xtask bench` runs: load, floors, a slow file system, and cold files.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use clap::{Parser, Subcommand, ValueEnum};
use zc_bench::floors::{Floor, Server};
use zc_bench::load::{Load, Outcome, Target};
use zc_bench::slow_fs::{Content, Operation, SlowFs, Treatment};
use zc_bench::streams::{Source, Streams};

/// The programs that `cargo xtask bench` runs.
#[derive(Debug, Parser)]
struct Arguments {
    #[command(subcommand)]
    program: Program,
}

#[derive(Debug, Subcommand)]
enum Program {
    /// Load on a server; prints `measuring` when the measurement begins, and then what came of it
    /// as JSON.
    Load {
        /// Where the server listens.
        #[arg(long)]
        address: SocketAddr,
        /// A target, or a range of targets: `/4k/{0..10000}.bin`.
        #[arg(long, required = true)]
        target: Vec<String>,
        /// The directory that the targets lie in, to compare bodies with; none are without it.
        #[arg(long)]
        root: Option<PathBuf>,
        /// Connections held at once.
        #[arg(long, default_value_t = 64)]
        connections: usize,
        /// A new connection for each request.
        #[arg(long)]
        close: bool,
        /// Requests per second; a closed loop without it.
        #[arg(long, value_parser = rate)]
        rate: Option<f64>,
        /// Seconds before the measurement.
        #[arg(long, default_value_t = 0.5)]
        warm_up: f64,
        /// Seconds of the measurement.
        #[arg(long, default_value_t = 2.0)]
        seconds: f64,
        /// Without --rate, responses that must have ended before the measurement does.
        #[arg(long, default_value_t = 0)]
        responses_min: u64,
        /// Seconds of the measurement at most, however few responses have ended.
        #[arg(long, default_value_t = 10.0)]
        seconds_max: f64,
        /// One in so many bodies is compared with its file.
        #[arg(long, default_value_t = 1000)]
        verify_every: u64,
    },
    /// Serves files at the least cost; prints the address.
    Floor {
        /// How it answers.
        #[arg(value_enum)]
        mode: Mode,
        /// Where to listen.
        address: SocketAddr,
        /// What it serves, asked for by number.
        #[arg(required = true)]
        files: Vec<PathBuf>,
    },
    /// Mounts a file system whose reads are slow, until standard input ends.
    SlowFs {
        /// Where.
        point: PathBuf,
        /// Milliseconds that each read takes.
        #[arg(long, default_value_t = 200)]
        delay_ms: u64,
        /// Files, called `0.bin` and so on.
        #[arg(long, default_value_t = 8)]
        files: u64,
        /// The length of each, in bytes.
        #[arg(long, default_value_t = 64 << 20)]
        length: u64,
    },
    /// Downloads in the background, or reads from the disk, until standard input ends; says `ready`,
    /// and at the end bytes per second.
    #[command(group = clap::ArgGroup::new("source").required(true))]
    Streams {
        /// Where the server listens that is downloaded from.
        #[arg(long, group = "source")]
        address: Option<SocketAddr>,
        /// The directory in which the targets lie, to read them without a server.
        #[arg(long, group = "source")]
        read: Option<PathBuf>,
        /// What is downloaded or read, as for `load`.
        #[arg(long)]
        target: String,
        /// Streams at a time.
        #[arg(long, default_value_t = 8)]
        streams: usize,
        /// The directory in which the targets lie, to make them cold before each pass.
        #[arg(long)]
        evict: Option<PathBuf>,
    },
    /// Opens idle connections after one request on each, says `ready`, and holds them until standard
    /// input ends.
    Idle {
        /// Where the server listens.
        #[arg(long)]
        address: SocketAddr,
        /// What is asked for.
        #[arg(long)]
        target: String,
        /// How many.
        #[arg(long)]
        connections: usize,
    },
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
        eprintln!("this thread has no background priority: {error}");
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
        } => {
            lower_priority();
            let mount = SlowFs::mount(point).context("cannot mount: is /dev/fuse here?")?;
            for index in 0..files {
                let content = Content::Pattern {
                    seed: index,
                    length,
                };
                mount.add(format!("{index}.bin"), content);
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
                    (None, read) => Source::Disk(read.context("neither --address nor --read")?),
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
        } => idle(address, &target, connections),
    }
}

fn rate(text: &str) -> Result<f64, String> {
    let rate: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    if rate.is_finite() && rate > 0.0 {
        Ok(rate)
    } else {
        Err("not above 0".to_owned())
    }
}

/// `/a/{0..3}.bin` is three targets.
fn expand(target: &str) -> anyhow::Result<Vec<String>> {
    let Some((before, rest)) = target.split_once('{') else {
        return Ok(vec![target.to_owned()]);
    };
    let form = "write a range as {0..100}";
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

fn idle(address: SocketAddr, target: &str, connections: usize) -> anyhow::Result<()> {
    raise_descriptor_limit()?;
    let held = zc_bench::load::hold_idle(address, target, connections)?;
    say_and_wait("ready")?;
    drop(held);
    Ok(())
}

fn raise_descriptor_limit() -> anyhow::Result<()> {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    Ok(setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?)
}
