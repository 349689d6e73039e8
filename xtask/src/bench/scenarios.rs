//! What servers are asked for, in the sections that measure files of one size at a time.

use std::time::Duration;

use super::fixtures::{Size, VIDEO_BYTES};
use super::load::RESPONSES_MIN;
use super::peers::{FLOOR_COPY, FLOOR_CORK, FLOOR_SEND, FLOOR_SENDFILE, OURS, Peer, variants};
use super::plan::Times;
use super::section::Section;

/// What a server sends of the video, by plan, and by TLS.
const BULK_BYTES_PER_SECOND: f64 = 7e9;
const BULK_BYTES_PER_SECOND_BY_TLS: f64 = 1e9;

/// What all servers are asked for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scenario {
    pub(crate) id: &'static str,
    pub(crate) title: &'static str,
    /// `{}` is the number of files where there are many.
    pub(crate) targets: &'static str,
    pub(crate) connections: usize,
    pub(crate) close: bool,
    /// At a fixed rate, measured against our own peak in this scenario.
    pub(crate) paced_by: Option<&'static str>,
    floors: &'static [Peer],
    pub(crate) tls: Option<Tls>,
    /// Whether bytes are counted, and not requests: bodies are long.
    pub(crate) is_bulk: bool,
}

/// How the client speaks TLS 1.3.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tls {
    /// As the load generator names it.
    pub(crate) cipher: &'static str,
    /// Whether each connection goes on with the session of one before it.
    pub(crate) resume: bool,
}

impl Scenario {
    /// The scenarios of a section.
    pub(crate) fn of(section: Section) -> impl Iterator<Item = &'static Self> {
        let is_of = move |scenario: &&Self| scenario.section() == section;
        SCENARIOS.iter().filter(is_of)
    }

    /// Where it is measured and shown.
    pub(crate) fn section(&self) -> Section {
        match self.tls {
            None => Section::Sizes,
            Some(_) => Section::Tls,
        }
    }

    /// Who is measured: ours in its variants, the floors, and others; by TLS ours as it is, and those
    /// others that speak it.
    pub(crate) fn peers(&self, others: &[Peer]) -> Vec<Peer> {
        if self.tls.is_none() {
            return [&variants(), self.floors, others].concat();
        }
        let others = others.iter().copied().filter(Peer::speaks_tls);
        [OURS].into_iter().chain(others).collect()
    }

    /// How long a window is by plan: that of the video is as long as enough responses take.
    pub(crate) fn measured(&self, times: &Times) -> Duration {
        let is_bulk = self.targets == "/video.mp4" && times.size == Size::Full;
        let bytes = RESPONSES_MIN * VIDEO_BYTES;
        let rate = match self.tls {
            None => BULK_BYTES_PER_SECOND,
            Some(_) => BULK_BYTES_PER_SECOND_BY_TLS,
        };
        let seconds = bytes as f64 / rate;
        let bulk = is_bulk.then(|| Duration::from_secs_f64(seconds));
        times.measured.max(bulk.unwrap_or_default())
    }

    /// Whether requests come at a fixed rate, so that tails compare.
    pub(crate) fn is_paced(&self) -> bool {
        self.paced_by.is_some()
    }
}

/// 64 connections that ask again as soon as they have their answer.
const fn scenario(
    id: &'static str,
    title: &'static str,
    targets: &'static str,
    floors: &'static [Peer],
) -> Scenario {
    Scenario {
        id,
        title,
        targets,
        connections: 64,
        close: false,
        paced_by: None,
        floors,
        tls: None,
        is_bulk: false,
    }
}

/// The same by TLS, with AES-128-GCM.
const fn by_tls(id: &'static str, title: &'static str, targets: &'static str) -> Scenario {
    Scenario {
        tls: Some(Tls {
            cipher: "aes128-gcm",
            resume: false,
        }),
        ..scenario(id, title, targets, &[])
    }
}

const SMALL: &[Peer] = &[FLOOR_SEND];

/// In the order in which they are run and shown.
pub(crate) const SCENARIOS: [Scenario; 15] = [
    scenario("1k", "1 KiB", "/1k.bin", SMALL),
    scenario(
        "4k-many",
        "4 KiB of 10,000 files",
        "/4k/{0..MANY}.bin",
        SMALL,
    ),
    scenario("10k", "10 KiB", "/10k.bin", SMALL),
    scenario("100k", "100 KiB", "/100k.bin", &[FLOOR_SENDFILE]),
    scenario("1m", "1 MiB", "/1m.bin", &[FLOOR_SENDFILE, FLOOR_CORK]),
    Scenario {
        connections: 8,
        floors: &[FLOOR_SENDFILE, FLOOR_CORK, FLOOR_COPY],
        is_bulk: true,
        ..scenario("video", "300 MB", "/video.mp4", &[])
    },
    Scenario {
        close: true,
        ..scenario("1k-close", "1 KiB, a new connection each", "/1k.bin", SMALL)
    },
    Scenario {
        paced_by: Some("1k"),
        ..scenario("1k-paced", "1 KiB at 60 % of our peak", "/1k.bin", SMALL)
    },
    Scenario {
        paced_by: Some("10k"),
        ..scenario("10k-paced", "10 KiB at 60 % of our peak", "/10k.bin", SMALL)
    },
    by_tls("1k-tls", "1 KiB by TLS", "/1k.bin"),
    Scenario {
        is_bulk: true,
        ..by_tls("1m-tls", "1 MiB by TLS", "/1m.bin")
    },
    Scenario {
        connections: 8,
        is_bulk: true,
        ..by_tls("video-tls", "300 MB by TLS", "/video.mp4")
    },
    Scenario {
        is_bulk: true,
        tls: Some(Tls {
            cipher: "chacha20",
            resume: false,
        }),
        ..by_tls("1m-tls-chacha20", "1 MiB by TLS with ChaCha20", "/1m.bin")
    },
    Scenario {
        close: true,
        ..by_tls(
            "1k-tls-handshake",
            "1 KiB by TLS, a full handshake each",
            "/1k.bin",
        )
    },
    Scenario {
        close: true,
        tls: Some(Tls {
            cipher: "aes128-gcm",
            resume: true,
        }),
        ..by_tls(
            "1k-tls-resumed",
            "1 KiB by TLS, a resumed session each",
            "/1k.bin",
        )
    },
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::fixtures::MANY;
    use crate::bench::report::numbers::whole;

    #[test]
    fn titles_tell_what_is_measured() {
        let title = |id: &str| {
            let mut scenarios = SCENARIOS.iter();
            let found = scenarios.find(|scenario| scenario.id == id);
            found.expect("a scenario").title
        };
        let many = usize::try_from(MANY).expect("a count");
        assert_eq!(title("4k-many"), format!("4 KiB of {} files", whole(many)));
        assert_eq!(title("video"), format!("{} MB", VIDEO_BYTES / 1_000_000));
        for scenario in SCENARIOS.iter().filter(|scenario| scenario.is_paced()) {
            let rate = format!(
                " at {} % of our peak",
                crate::bench::sizes::RATE_PART * 100.0
            );
            assert!(scenario.title.ends_with(&rate), "{}", scenario.title);
        }
    }
}
