//! Kernel and processor.

use std::fs::File;

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, OFlag, OpenHow, openat2};
use zc_core::DiskRing;

use super::{Finding, sysctl};
use crate::config::threads_default;
use crate::text::counted;

pub(super) fn findings() -> Vec<Finding> {
    let processor = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    vec![kernel(), paths(), cores(), aes(&processor), io_uring()]
}

fn kernel() -> Finding {
    match sysctl("kernel/osrelease") {
        Some(release) => Finding::ok("kernel", format!("Linux {release}")),
        None => Finding::unknown("kernel", "/proc is not mounted: its version is not known"),
    }
}

/// Whether paths can be kept inside a root.
fn paths() -> Finding {
    const NAME: &str = "openat2";
    let how = OpenHow::new().flags(OFlag::O_PATH | OFlag::O_CLOEXEC);
    match openat2(AT_FDCWD, "/", how) {
        Ok(_) => Finding::ok(NAME, "the kernel keeps every path inside the root"),
        Err(errno) => {
            let error = std::io::Error::from(errno);
            let text = format!("openat2(2) is refused ({error}), and nothing is served without it");
            let mend = "use Linux 5.6 or later, or permit the system call in the sandbox";
            Finding::missing(NAME, text).with_mend(mend).needed()
        }
    }
}

fn cores() -> Finding {
    let threads = threads_default() as u64;
    let workers = counted(threads, "worker");
    let cores = counted(threads, "processor");
    Finding::ok("cores", format!("{cores} for this process: {workers}"))
}

/// Whether the processor has instructions for AES, by the text of `/proc/cpuinfo`.
fn aes(processor: &str) -> Finding {
    const NAME: &str = "aes";
    let is_flags = |line: &&str| line.starts_with("flags") || line.starts_with("Features");
    let Some(flags) = processor.lines().find(is_flags) else {
        return Finding::unknown(NAME, "/proc/cpuinfo does not say what the processor has");
    };
    let has = |name: &str| flags.split_whitespace().any(|flag| flag == name);
    match (has("vaes"), has("aes")) {
        (true, _) => Finding::ok(NAME, "the processor has AES instructions, also for vectors"),
        (false, true) => Finding::ok(NAME, "the processor has AES instructions, none for vectors"),
        (false, false) => Finding::missing(
            NAME,
            "the processor shows no AES instructions: HTTPS with AES costs several times as much",
        )
        .with_mend("in a virtual machine, pass on the processor of the host (QEMU: -cpu host)"),
    }
}

/// Whether cold files can be waited for without a thread.
fn io_uring() -> Finding {
    const NAME: &str = "io-uring";
    let Err(error) = DiskRing::<File>::new(1) else {
        return Finding::ok(
            NAME,
            "cold files of up to 256 KiB are waited for without a thread",
        );
    };
    let text = format!("io_uring is refused ({error}): I/O threads wait for all cold files");
    let mend = match error.raw_os_error().map(Errno::from_raw) {
        Some(Errno::EINVAL) => "use Linux 6.1 or later",
        _ => {
            "set the sysctl kernel.io_uring_disabled to 0, and permit io_uring_setup, io_uring_enter and \
             io_uring_register in the sandbox"
        }
    };
    Finding::missing(NAME, text).with_mend(mend)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::State;

    #[test]
    fn instructions_are_told_by_the_flags_of_the_processor() {
        for (text, state) in [
            ("model\t: 1\nflags\t\t: fpu aes sse2\n", State::Ok),
            ("flags\t\t: fpu aes vaes\n", State::Ok),
            ("Features\t: fp asimd aes pmull\n", State::Ok),
            ("flags\t\t: fpu aesx\n", State::Missing),
            ("", State::Unknown),
        ] {
            assert_eq!(aes(text).state, state, "{text}");
        }
    }
}
