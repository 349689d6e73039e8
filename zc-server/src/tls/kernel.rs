//! Kernel TLS: for which connections it is chosen, at the start.
//!
//! With `auto` both paths are timed on the loopback interface, with each cipher. Before Linux 6.11 or so, sealing in
//! the kernel takes longer than sealing here, copies included.

use std::fmt;
use std::fs::File;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::resource::{UsageWho, getrusage};
use rustls::crypto::cipher::{AeadKey, Iv};
use rustls::{ConnectionTrafficSecrets, ContentType, ProtocolVersion};
use zc_core::ktls::{self, Cipher, IV_BYTES, KernelTls, Refusal, SendSecrets, Support, Version};
use zc_core::{Progress, Slots, Transfer};

use super::record::{PLAIN_BYTES_MAX, Sealer};
use crate::config::tls::KernelTls as Mode;

/// How long each path is timed with each cipher, in CPU time: six times this is 50 ms.
const TIMED: Duration = Duration::from_millis(8);
/// How much is sent between two looks at the clock, in bytes.
const TIMED_BYTES: u64 = 1 << 20;
/// For how long the kernel may take nothing more until it is said to stall.
const STALLED: Duration = Duration::from_secs(1);
/// How much is sealed here at a time.
const TIMED_RECORDS: usize = 4;

/// For which connections the kernel seals.
#[derive(Debug)]
pub(crate) struct KernelSealing {
    /// By version and cipher.
    chosen: Vec<(Version, Cipher)>,
    /// Whether heads are sent apart from bodies.
    pub(super) has_heads_apart: bool,
    /// Whether a connection can go on with other keys.
    pub(super) can_rekey: bool,
    verdict: Verdict,
}

/// Why the kernel seals, or does not.
#[derive(Debug)]
enum Verdict {
    Off,
    Refused(Refusal),
    /// With each cipher.
    Timed(Vec<Timed>),
    /// Without a comparison.
    On,
}

/// What both paths take with a cipher, in CPU time for each GiB.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Timed {
    pub(crate) cipher: Cipher,
    /// The kernel; `None` where it stalled.
    pub(crate) kernel: Option<Duration>,
    pub(crate) here: Duration,
}

impl KernelSealing {
    /// None.
    pub(crate) fn off() -> Self {
        Self {
            chosen: Vec::new(),
            has_heads_apart: false,
            can_rekey: false,
            verdict: Verdict::Off,
        }
    }

    /// As configured, and as the kernel can.
    ///
    /// # Errors
    ///
    /// With [`Mode::On`], why the kernel cannot; else what the loopback interface reports.
    pub(crate) fn choose(mode: Mode) -> Result<Self, KernelTlsError> {
        if mode == Mode::Off {
            return Ok(Self::off());
        }
        let support = ktls::probe().map_err(KernelTlsError::Probe)?;
        match support.refusal {
            Some(refusal) if mode == Mode::On => Err(KernelTlsError::Refused(refusal)),
            Some(refusal) => Ok(Self {
                verdict: Verdict::Refused(refusal),
                ..Self::off()
            }),
            None => Self::choose_among(&support, mode).map_err(KernelTlsError::Probe),
        }
    }

    /// The same, among what the kernel can.
    ///
    /// # Errors
    ///
    /// What the loopback interface reports.
    pub(crate) fn choose_among(support: &Support, mode: Mode) -> io::Result<Self> {
        let mut timed = Vec::new();
        let mut chosen = Vec::new();
        for cipher in Cipher::ALL {
            let has = |version: &Version| support.has(*version, cipher);
            let versions = Version::ALL.into_iter().filter(has);
            let mut versions = versions.collect::<Vec<_>>();
            if let (Some(&version), Mode::Auto) = (versions.last(), mode) {
                let (kernel, here) = (time_kernel(version, cipher)?, time_here(cipher)?);
                timed.push(Timed {
                    cipher,
                    kernel,
                    here,
                });
                if kernel.is_none_or(|kernel| kernel >= here) {
                    versions.clear();
                }
            }
            chosen.extend(versions.into_iter().map(|version| (version, cipher)));
        }
        Ok(Self {
            chosen,
            has_heads_apart: !support.fills_records,
            can_rekey: support.rekeying,
            verdict: match mode {
                Mode::Auto => Verdict::Timed(timed),
                Mode::On | Mode::Off => Verdict::On,
            },
        })
    }

    /// Whether the kernel seals for connections with these secrets.
    pub(super) fn is_for(&self, secrets: &SendSecrets) -> bool {
        self.chosen.contains(&(secrets.version(), secrets.cipher()))
    }

    /// Whether the kernel seals for any connections with `cipher`.
    pub(crate) fn is_for_cipher(&self, cipher: Cipher) -> bool {
        self.chosen.iter().any(|(_, chosen)| *chosen == cipher)
    }

    /// How long kernel and this program take with each cipher that the kernel has; none where they were not compared.
    pub(crate) fn timed(&self) -> &[Timed] {
        match &self.verdict {
            Verdict::Timed(timed) => timed,
            Verdict::Off | Verdict::Refused(_) | Verdict::On => &[],
        }
    }
}

/// Says what was chosen, and why, in one line.
impl fmt::Display for KernelSealing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.verdict {
            Verdict::Off => f.write_str("kernel TLS is off"),
            Verdict::On => f.write_str("kernel TLS is on"),
            Verdict::Refused(refusal) => {
                write!(f, "no kernel TLS: {refusal}")?;
                match refusal.mend() {
                    Some(mend) => write!(f, "; {mend}"),
                    None => Ok(()),
                }
            }
            Verdict::Timed(timed) => {
                f.write_str("kernel TLS, CPU in ms/GiB against here:")?;
                for Timed {
                    cipher,
                    kernel,
                    here,
                } in timed
                {
                    let is_chosen = self.is_for_cipher(*cipher);
                    let chosen = if is_chosen { "used" } else { "not used" };
                    let here = here.as_millis();
                    match kernel.map(|kernel| kernel.as_millis()) {
                        Some(kernel) => write!(f, " {cipher} {kernel} to {here}, {chosen};")?,
                        None => write!(f, " {cipher} stalled, {chosen};")?,
                    }
                }
                Ok(())
            }
        }
    }
}

/// Why kernel TLS cannot be had as configured.
#[derive(Debug)]
pub enum KernelTlsError {
    /// The kernel refuses it altogether.
    Refused(Refusal),
    /// It could not be tried.
    Probe(io::Error),
}

impl fmt::Display for KernelTlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(refusal) => {
                write!(f, "--ktls on: {refusal}")?;
                match refusal.mend() {
                    Some(mend) => write!(f, "; {mend}, or use --ktls auto"),
                    None => f.write_str("; use --ktls auto"),
                }
            }
            Self::Probe(error) => {
                write!(f, "cannot try kernel TLS: {error}; use --ktls off")
            }
        }
    }
}

impl std::error::Error for KernelTlsError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Refused(refusal) => Some(refusal),
            Self::Probe(error) => Some(error),
        }
    }
}

/// A file in memory, and a connection on which everything is read and dropped until it is closed.
fn stage() -> io::Result<(File, TcpStream)> {
    let file = File::from(memfd_create(c"zc-tls", MFdFlags::MFD_CLOEXEC)?);
    file.set_len(TIMED_BYTES)?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let mut peer = TcpStream::connect(listener.local_addr()?)?;
    let (socket, _) = listener.accept()?;
    thread::Builder::new().spawn(move || {
        let mut bytes = vec![0; 1 << 18];
        while peer.read(&mut bytes).is_ok_and(|count| count > 0) {}
    })?;
    Ok((file, socket))
}

/// The CPU time that `send` takes for each GiB, which sends [`TIMED_BYTES`] each time.
fn time(mut send: impl FnMut() -> io::Result<()>) -> io::Result<Duration> {
    // Once for what is done once.
    send()?;
    let began = cpu_time()?;
    let mut times = 0;
    loop {
        send()?;
        times += 1;
        let took = cpu_time()? - began;
        if took > TIMED {
            return Ok(took * ((1 << 30) / TIMED_BYTES as u32) / times);
        }
    }
}

/// What this thread has used so far.
fn cpu_time() -> io::Result<Duration> {
    let usage = getrusage(UsageWho::RUSAGE_THREAD)?;
    let micros = |time: nix::sys::time::TimeVal| {
        let micros = time.tv_sec() * 1_000_000 + time.tv_usec();
        Duration::from_micros(micros.cast_unsigned())
    };
    Ok(micros(usage.user_time()) + micros(usage.system_time()))
}

/// How long the kernel takes; `None` if it stalls.
fn time_kernel(version: Version, cipher: Cipher) -> io::Result<Option<Duration>> {
    let (file, socket) = stage()?;
    socket.set_write_timeout(Some(STALLED))?;
    let key = vec![0; cipher.key_bytes()];
    let secrets = SendSecrets::new(version, cipher, &key, &[0; IV_BYTES], 0);
    let secrets = secrets.map_err(io::Error::other)?;
    let socket =
        KernelTls::enable(socket, secrets).map_err(|refused| io::Error::other(refused.refusal))?;
    let timed = time(|| {
        let mut transfer = Transfer::new(&file, 0, TIMED_BYTES);
        while transfer.remaining() > 0 {
            if transfer.advance(&socket, TIMED_BYTES)? == Progress::WouldBlock {
                return Err(io::ErrorKind::TimedOut.into());
            }
        }
        Ok(())
    });
    match timed {
        Ok(timed) => Ok(Some(timed)),
        Err(error) if error.kind() == io::ErrorKind::TimedOut => Ok(None),
        Err(error) => Err(error),
    }
}

/// How long this program takes with `cipher`, in CPU time for each GiB.
///
/// # Errors
///
/// What the loopback interface reports.
pub(crate) fn time_here(cipher: Cipher) -> io::Result<Duration> {
    let (file, mut socket) = stage()?;
    let (key, iv) = (AeadKey::from([0; 32]), Iv::from([0; IV_BYTES]));
    let secrets = match cipher {
        Cipher::Aes128Gcm => ConnectionTrafficSecrets::Aes128Gcm { key, iv },
        Cipher::Aes256Gcm => ConnectionTrafficSecrets::Aes256Gcm { key, iv },
        _ => ConnectionTrafficSecrets::Chacha20Poly1305 { key, iv },
    };
    let sealer = Sealer::new(ProtocolVersion::TLSv1_3, (0, secrets));
    let mut sealer = sealer.map_err(|_| io::ErrorKind::Unsupported)?;
    let (plain, stride) = sealer.layout(PLAIN_BYTES_MAX);
    let mut sealed = vec![0; TIMED_RECORDS * stride];
    time(|| {
        let mut transfer = Transfer::new(&file, 0, TIMED_BYTES);
        while transfer.remaining() > 0 {
            let records = sealed.chunks_exact_mut(stride);
            let mut pieces: Vec<_> = records.map(|record| &mut record[plain.clone()]).collect();
            // The file has all of it: this is complete, or the slots are full.
            let _ = transfer.read(&mut Slots::new(&mut pieces))?;
            for record in sealed.chunks_exact_mut(stride) {
                let sealing = sealer.seal(ContentType::ApplicationData, record);
                sealing.map_err(|_| io::ErrorKind::Unsupported)?;
            }
            socket.write_all(&sealed)?;
        }
        Ok(())
    })
}
