//! Limits of this process and of its user.

use nix::sys::resource::{RLIM_INFINITY, Resource, getrlimit};
use zc_core::PIPE_BYTES_DEFAULT;

use super::{Finding, sysctl_number};
use crate::config::{CONNECTIONS_MAX_DEFAULT, DISK_THREADS_DEFAULT};
use crate::server::descriptors_needed;

/// The length of a page as the kernel counts those of pipes, in bytes.
const PAGE_BYTES: u64 = 4096;

pub(super) fn findings() -> Vec<Finding> {
    vec![
        match getrlimit(Resource::RLIMIT_NOFILE) {
            Ok((soft, hard)) => descriptors(soft, hard),
            Err(errno) => Finding::unknown("descriptors", errno.to_string()),
        },
        pipe_size(sysctl_number("fs/pipe-max-size")),
        pipe_pages(sysctl_number("fs/pipe-user-pages-soft")),
    ]
}

fn descriptors(soft: u64, hard: u64) -> Finding {
    const NAME: &str = "descriptors";
    let needed = descriptors_needed(CONNECTIONS_MAX_DEFAULT, DISK_THREADS_DEFAULT);
    let limit = |number| match number {
        RLIM_INFINITY => "none".to_owned(),
        number => format!("{number}"),
    };
    let (soft, limited) = (limit(soft), limit(hard));
    let text = format!(
        "the limit is {soft}, and the server raises it up to the hard limit, {limited}; \
         {CONNECTIONS_MAX_DEFAULT} connections may need {needed}"
    );
    if hard >= needed {
        return Finding::ok(NAME, text);
    }
    let reserved = descriptors_needed(0, DISK_THREADS_DEFAULT);
    let each = descriptors_needed(1, DISK_THREADS_DEFAULT) - reserved;
    let fitting = (hard.saturating_sub(reserved) / each).max(1);
    Finding::warning(NAME, text).with_mend(format!(
        "raise the limit (ulimit -Hn {needed} as root, LimitNOFILE={needed} in a unit of systemd), or use \
         --max-connections {fitting}"
    ))
}

fn pipe_size(bytes: Option<u64>) -> Finding {
    const NAME: &str = "pipe-size";
    let wanted = PIPE_BYTES_DEFAULT as u64;
    match bytes {
        Some(bytes) if bytes < wanted => {
            let text = format!("--method splice gets pipes of {bytes} bytes, and costs more CPU");
            Finding::warning(NAME, text)
                .with_mend(format!("set the sysctl fs.pipe-max-size to {wanted}"))
        }
        Some(_) => Finding::ok(NAME, "--method splice gets pipes of 1 MiB"),
        None => Finding::unknown(NAME, "the sysctl fs.pipe-max-size cannot be read"),
    }
}

fn pipe_pages(pages: Option<u64>) -> Finding {
    const NAME: &str = "pipe-pages";
    let each = PIPE_BYTES_DEFAULT as u64 / PAGE_BYTES;
    match pages {
        Some(0) => Finding::ok(NAME, "--method splice: a user may have any number of pipes"),
        Some(pages) => Finding::ok(
            NAME,
            format!(
                "--method splice: a user may have {} pipes of 1 MiB (the sysctl fs.pipe-user-pages-soft is \
                 {pages}), further ones are small; root has no limit",
                pages / each
            ),
        ),
        None => Finding::unknown(NAME, "the sysctl fs.pipe-user-pages-soft cannot be read"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::State;

    #[test]
    fn a_limit_that_is_too_low_names_how_many_connections_it_allows() {
        let needed = descriptors_needed(CONNECTIONS_MAX_DEFAULT, DISK_THREADS_DEFAULT);
        assert_eq!(descriptors(1024, needed).state, State::Ok);
        assert_eq!(descriptors(1024, RLIM_INFINITY).state, State::Ok);
        let few = descriptors(1024, descriptors_needed(100, DISK_THREADS_DEFAULT));
        assert_eq!(few.state, State::Warning);
        let mend = few.mend.expect("a mend");
        assert!(mend.ends_with("--max-connections 100"), "{mend}");
    }

    #[test]
    fn small_pipes_are_warned_of() {
        assert_eq!(pipe_size(Some(1 << 20)).state, State::Ok);
        assert_eq!(pipe_size(Some(1 << 16)).state, State::Warning);
        assert_eq!(pipe_size(None).state, State::Unknown);
        let text = pipe_pages(Some(16384)).text;
        assert!(text.contains("have 64 pipes"), "{text}");
    }
}
