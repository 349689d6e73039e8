//! Kernel TLS, and what sealing costs.

use std::time::Duration;

use zc_core::ktls::{self, Cipher, Refusal, Support, UNSENT_BYTES_MIN, Version};

use super::{Finding, sysctl_number};
use crate::config::tls::KernelTls as Mode;
use crate::tls::{KernelSealing, Timed, time_here};

pub(super) fn findings() -> Vec<Finding> {
    let mut findings = vec![unsent(sysctl_number("net/ipv4/tcp_notsent_lowat"))];
    let support = match ktls::probe() {
        Ok(support) => support,
        Err(error) => {
            let text = format!("it could not be tried: {error}");
            findings.push(Finding::unknown("kernel-tls", text));
            return findings;
        }
    };
    findings.push(module(support.refusal));
    if support.refusal.is_none() {
        findings.extend(kernel(&support));
    }
    findings.extend(sealing(&support));
    findings
}

/// How much TCP takes before it has sent it.
fn unsent(bytes: Option<u64>) -> Finding {
    const NAME: &str = "notsent-lowat";
    let least = u64::from(UNSENT_BYTES_MIN);
    match bytes {
        Some(bytes) if bytes < least => {
            let text = format!("TCP holds {bytes} unsent bytes at most, too few for kernel TLS");
            mended(Finding::warning(NAME, text), Refusal::FewUnsentBytes)
        }
        Some(bytes) if bytes >= u64::from(u32::MAX) => {
            Finding::ok(NAME, "TCP holds any number of unsent bytes")
        }
        Some(bytes) => Finding::ok(NAME, format!("TCP holds {bytes} unsent bytes at most")),
        None => Finding::unknown(NAME, "the sysctl net.ipv4.tcp_notsent_lowat cannot be read"),
    }
}

/// Whether the kernel has TLS at all.
fn module(refusal: Option<Refusal>) -> Finding {
    const NAME: &str = "kernel-tls";
    match refusal {
        None => Finding::ok(NAME, "the kernel can encrypt what sendfile sends"),
        Some(refusal) => {
            let text = format!("{refusal}: the server encrypts all responses of HTTPS itself");
            mended(Finding::missing(NAME, text), refusal)
        }
    }
}

/// What the module can do.
fn kernel(support: &Support) -> Vec<Finding> {
    let ciphers = support.ciphers.iter().map(|one| {
        let (name, text) = (
            name_of(one.version, one.cipher),
            format!("{} with {}", one.version, one.cipher),
        );
        match one.refusal {
            None => Finding::ok(name, text),
            Some(refusal) => mended(
                Finding::missing(name, format!("{text}: {refusal}")),
                refusal,
            ),
        }
    });
    let mut findings: Vec<_> = ciphers.collect();
    findings.push(if support.rekeying {
        Finding::ok("kernel-tls-rekeying", "a connection can get new keys")
    } else {
        let text = "a connection that needs new keys while the kernel encrypts it is closed";
        let finding = Finding::missing("kernel-tls-rekeying", text);
        mended(finding, Refusal::CannotRekey)
    });
    findings.push(if support.fills_records {
        let text = "the head and the beginning of a body share a record";
        Finding::ok("kernel-tls-records", text)
    } else {
        let text = "each head needs a record of its own";
        Finding::missing("kernel-tls-records", text).with_mend("use Linux 6.5 or later")
    });
    findings
}

/// What sealing costs here and in the kernel, and which of them `--ktls auto` takes.
fn sealing(support: &Support) -> Vec<Finding> {
    let sealing = match support.refusal {
        None => KernelSealing::choose_among(support, Mode::Auto),
        Some(_) => Ok(KernelSealing::off()),
    };
    let sealing = match sealing {
        Ok(sealing) => sealing,
        Err(error) => {
            let text = format!("it could not be timed: {error}");
            return Cipher::ALL
                .map(|cipher| Finding::unknown(sealing_name(cipher), text.clone()))
                .into();
        }
    };
    let finding = |cipher: Cipher| {
        let name = sealing_name(cipher);
        let timed = sealing.timed().iter().find(|timed| timed.cipher == cipher);
        let Some(&Timed { kernel, here, .. }) = timed else {
            return match time_here(cipher) {
                Ok(here) => Finding::ok(name, format!("{} by the server", for_each_gib(here))),
                Err(error) => Finding::unknown(name, format!("it could not be timed: {error}")),
            };
        };
        let chosen = if sealing.is_for_cipher(cipher) {
            "the kernel encrypts long responses"
        } else {
            "the server encrypts, which takes less"
        };
        let here = for_each_gib(here);
        let Some(kernel) = kernel.map(|kernel| kernel.as_millis()) else {
            let text = format!("{here} by the server; the kernel stalled, and is not used");
            return Finding::warning(name, text);
        };
        Finding::ok(
            name,
            format!("{here} by the server, {kernel} ms by the kernel: with --ktls auto {chosen}"),
        )
    };
    Cipher::ALL.map(finding).into()
}

/// A time that is taken for each GiB.
fn for_each_gib(time: Duration) -> String {
    format!("{} ms of CPU time for each GiB", time.as_millis())
}

fn sealing_name(cipher: Cipher) -> String {
    format!("sealing-{}", cipher.to_string().to_lowercase())
}

/// `kernel-tls-1.3-aes-128-gcm`
fn name_of(version: Version, cipher: Cipher) -> String {
    let version = match version {
        Version::Tls12 => "1.2",
        Version::Tls13 => "1.3",
    };
    format!("kernel-tls-{version}-{cipher}").to_lowercase()
}

fn mended(finding: Finding, refusal: Refusal) -> Finding {
    match refusal.mend() {
        Some(mend) => finding.with_mend(mend),
        None => finding,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::State;

    #[test]
    fn a_module_that_is_missing_has_a_mend() {
        let finding = module(Some(Refusal::NoModule));
        assert_eq!(finding.state, State::Missing);
        assert!(!finding.is_needed);
        assert!(finding.mend.is_some_and(|mend| mend.contains("modprobe")));
        assert_eq!(module(None).state, State::Ok);
    }

    #[test]
    fn few_unsent_bytes_are_warned_of() {
        assert_eq!(unsent(Some(16 << 10)).state, State::Warning);
        assert_eq!(unsent(Some(u64::from(u32::MAX))).state, State::Ok);
        assert_eq!(unsent(Some(128 << 10)).state, State::Ok);
    }

    #[test]
    fn names_are_lower_case() {
        let name = name_of(Version::Tls13, Cipher::Chacha20Poly1305);
        assert_eq!(name, "kernel-tls-1.3-chacha20-poly1305");
    }
}
