//! The study, in words: what sendfile did beside copying, what was published of both, and what of the
//! difference the figures explain. Every sentence is chosen by the figures; where they say nothing,
//! there is none.

use super::numbers::{decimals, ratio, size};
use super::ratios::{
    COPY, PUBLISHED, Pair, Ratios, cpu_percent, cpu_seconds_per_gb, cpu_spread, of_go,
};
use crate::bench::arena::{CLIENT_CORE, SERVER_CORE};
use crate::bench::results::{Results, Study};
use crate::bench::study::{THREADS, mean};
use crate::bench::wrk;

/// Runs shorter than this say nothing of causes, in seconds.
const SECONDS_MIN: f64 = 5.0;
/// Single runs closer than this are alike.
const ALIKE: f64 = 0.15;
/// How far a saving is from the published one before the difference is looked for.
const FAR: f64 = 1.5;
/// Packets up to this size are those of a network, and not of loopback, in bytes.
const NETWORK_MTU_MAX: u32 = 9216;

/// What differed and why, sentence by sentence.
pub(crate) fn paragraph(results: &Results) -> Vec<String> {
    let placement = sentences_of_placement(results);
    let Some(pair) = Pair::find(results, "io", "sendfile") else {
        return placement;
    };
    let ratios = pair.ratios();
    let mut sentences = vec![pair.sentence_of_ratios(&ratios)];
    sentences.extend(placement);
    let seconds = pair.copy.wrk.seconds.min(pair.sendfile.wrk.seconds);
    if seconds < SECONDS_MIN {
        sentences.push(format!(
            "The runs took {} s, which is too short to say why.",
            decimals(seconds)
        ));
        return sentences;
    }
    sentences.push(pair.sentence_of_cpu());
    sentences.extend(pair.sentence_of_the_limit(&ratios));
    sentences.extend(pair.sentences_of_the_saving(&ratios));
    sentences.extend(pair.sentence_of_cores());
    sentences.extend(of_go(results).and_then(|go| sentence_of_go(&ratios, &go)));
    sentences.extend(pair.sentence_of_latency(&ratios));
    sentences.extend(pair.sentence_of_faults());
    sentences.extend(pair.sentence_of_errors());
    sentences
}

impl Pair<'_> {
    fn sentence_of_ratios(&self, ratios: &Ratios) -> String {
        let three = |ratios: &Ratios| {
            let of = |found: Option<f64>| ratio(found.unwrap_or(f64::NAN));
            format!(
                "CPU {}, transfer rate {}, mean latency {}",
                of(ratios.cpu),
                of(ratios.transfer),
                of(ratios.latency)
            )
        };
        format!(
            "Sendfile over copying, here: {}. Published: {}.",
            three(ratios),
            three(&PUBLISHED)
        )
    }

    /// Whether the seconds of both runs tell their CPU apart.
    fn is_cpu_apart(&self) -> bool {
        match (cpu_spread(self.copy), cpu_spread(self.sendfile)) {
            (Some(copy), Some(sendfile)) => copy.is_apart_from(&sendfile),
            _ => false,
        }
    }

    fn sentence_of_cpu(&self) -> String {
        let (copy, sendfile) = (cpu_percent(self.copy), cpu_percent(self.sendfile));
        if !self.is_cpu_apart() {
            return "Second by second, the CPU of the two cannot be told apart.".to_owned();
        }
        let more_or_less = if sendfile < copy { "less" } else { "more" };
        format!(
            "Sendfile took {more_or_less} CPU: {} % of a core and {} s for each GB, where copying \
             took {} % and {} s.",
            decimals(sendfile),
            decimals(cpu_seconds_per_gb(self.sendfile)),
            decimals(copy),
            decimals(cpu_seconds_per_gb(self.copy)),
        )
    }

    fn sentence_of_the_limit(&self, ratios: &Ratios) -> Option<String> {
        let (transfer, per_byte) = (ratios.transfer?, ratios.cpu_per_byte?);
        let cores = self.machine.cores;
        let is_cheaper = self.is_cpu_apart() && ratios.cpu? < 1.0 - ALIKE;
        let has_room = cpu_percent(self.sendfile) < cores as f64 * 50.0;
        if (transfer - 1.0).abs() <= ALIKE && is_cheaper && has_room {
            // Copying shows that the server could have used more than it did.
            return Some(format!(
                "The rates are alike although sendfile left {} of the {cores} cores to others: the \
                 limit is wrk, which copies every byte in reads of {} on the same cores, and \
                 takes as long for a server that costs less.",
                ratio(cores as f64 - cpu_percent(self.sendfile) / 100.0),
                size(wrk::READ_BYTES),
            ));
        }
        if transfer > 1.0 + ALIKE && per_byte < 1.0 - ALIKE {
            return Some(
                "Server and wrk share the cores, and what sendfile saves wrk can use: the rate rose."
                    .to_owned(),
            );
        }
        (transfer < 1.0 - ALIKE).then(|| {
            format!(
                "Sendfile carried fewer bytes than copying, by {} %.",
                decimals((1.0 - transfer) * 100.0)
            )
        })
    }

    /// What is known to make sendfile save less, where it did.
    fn sentences_of_the_saving(&self, ratios: &Ratios) -> Vec<String> {
        let (Some(here), Some(published)) = (ratios.cpu_per_byte, PUBLISHED.cpu_per_byte) else {
            return Vec::new();
        };
        let both = format!(
            "for each GB it took {} times the CPU of copying, published {}",
            ratio(here),
            ratio(published)
        );
        if here < published / FAR {
            return vec![format!("Sendfile saved more than published: {both}.")];
        }
        if here <= published * FAR {
            return vec![format!(
                "Sendfile saved about as much as published: {both}."
            )];
        }
        let verb = if here < 1.0 {
            "saved less than published"
        } else {
            "saved nothing"
        };
        let mut sentences = vec![format!("Sendfile {verb}: {both}.")];
        let congestion = &self.machine.congestion;
        if congestion.starts_with("bbr") {
            sentences.push(format!(
                "The connections were paced by {congestion}: a paced socket takes little at a time, \
                 so that sendfile is woken and called more often for the same bytes, which costs it \
                 more than it costs copying."
            ));
        }
        let mtu = self.machine.mtu;
        if mtu <= NETWORK_MTU_MAX {
            sentences.push(format!(
                "Packets had {mtu} bytes, where loopback by itself has 64 KiB: what the kernel does \
                 for each packet is the same for both, and the copy that sendfile saves a smaller \
                 part of the whole."
            ));
        }
        sentences
    }

    fn sentence_of_cores(&self) -> Option<String> {
        let (cores, copy) = (self.machine.cores, cpu_percent(self.copy) / 100.0);
        // Below the published figure, and without the cores to reach it with wrk beside.
        let (least, most) = (COPY.cpu_percent.0 / 100.0, COPY.cpu_percent.1 / 100.0);
        let is_short = copy < least && cores as f64 <= least + 1.0;
        (is_short && cores > 0).then(|| {
            format!(
                "The published copy loop used {least} to {most} cores by itself; here it used {} of the \
                 {cores} that it shared with wrk, so that rates and CPU cannot reach those figures.",
                ratio(copy)
            )
        })
    }

    /// Where every connection waits for its response, latency and rate are one finding.
    fn sentence_of_latency(&self, ratios: &Ratios) -> Option<String> {
        let requests = self.sendfile.wrk.requests_per_second / self.copy.wrk.requests_per_second;
        let product = ratios.latency? * requests;
        ((product - 1.0).abs() <= ALIKE).then(|| {
            "Mean latency changed as requests/s did, inverted: where each connection waits for its \
             response the two are one finding."
                .to_owned()
        })
    }

    fn sentence_of_faults(&self) -> Option<String> {
        let of = |study: &Study| mean(&study.seconds, |second| second.minor_faults as f64);
        let (copy, sendfile) = (of(self.copy), of(self.sendfile));
        (copy >= 100.0 && copy > sendfile * 10.0).then(|| {
            format!(
                "Copying also took {} page faults a second, for the memory of its buffers, where \
                 sendfile took {}.",
                decimals(copy),
                decimals(sendfile)
            )
        })
    }

    fn sentence_of_errors(&self) -> Option<String> {
        let of = |study: &Study| {
            let errors = study.wrk.errors;
            errors.connect + errors.read + errors.write + errors.timeout + errors.status
        };
        let (copy, sendfile) = (of(self.copy), of(self.sendfile));
        (copy + sendfile > 0).then(|| {
            format!(
                "wrk counted {copy} errors of copying and {sendfile} of sendfile: latencies are of \
                 the other responses."
            )
        })
    }
}

/// Where both sides ran, and on how many threads: of the rates they decide as much as the method.
fn sentences_of_placement(results: &Results) -> Vec<String> {
    if results.study.is_empty() {
        return Vec::new();
    }
    let threads = format!("Every server ran one worker thread, and wrk {THREADS}");
    vec![if results.machine.pinned {
        format!(
            "{threads}, all pinned to cores {SERVER_CORE} and {CLIENT_CORE}, which they shared; of \
             the published runs the server alone used up to {} cores.",
            COPY.cpu_percent.1 / 100.0
        )
    } else {
        format!("{threads}, on whatever cores there are.")
    }]
}

fn sentence_of_go(ours: &Ratios, go: &Ratios) -> Option<String> {
    let (found, published) = (go.cpu_per_byte?, PUBLISHED.cpu_per_byte?);
    let ours = ours.cpu_per_byte?;
    let figures = format!("CPU for each GB {}", ratio(found));
    if found > published * FAR && ours > published * FAR {
        return Some(format!(
            "The study's own two handlers, run here, are as far from what was published ({figures}): \
             the difference is of the machine and not of the server."
        ));
    }
    if found <= published * FAR && ours > published * FAR {
        return Some(format!(
            "The study's own two handlers, run here, are near to what was published ({figures}): \
             the difference is of the server."
        ));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::report::made_up::{empty, study};
    use crate::bench::report::ratios::of_ours;

    fn results(studies: Vec<Study>) -> Results {
        Results {
            study: studies,
            ..empty()
        }
    }

    /// The paragraph has each of some words, and none of others.
    fn check(results: &Results, wanted: &[&str], unwanted: &[&str]) {
        let text = paragraph(results).join(" ");
        for words in wanted {
            assert!(text.contains(words), "no “{words}” in: {text}");
        }
        for words in unwanted.iter().chain(&["NaN", "inf"]) {
            assert!(!text.contains(words), "“{words}” in: {text}");
        }
    }

    #[test]
    fn without_both_runs_there_is_nothing_to_compare() {
        assert!(paragraph(&results(vec![])).is_empty());
        let one = paragraph(&results(vec![study("io", 50.0, 1.0, 1e6)]));
        assert_eq!(one.len(), 1, "{one:?}");
        assert_eq!(of_ours(&empty()), None);
    }

    #[test]
    fn it_is_told_where_both_sides_ran_and_on_how_many_threads() {
        let mut found = results(vec![
            study("io", 100.0, 2.0, 2e6),
            study("sendfile", 20.0, 2.1, 2e6),
        ]);
        let pinned = "Every server ran one worker thread, and wrk 6, all pinned to cores 0 and 1";
        check(&found, &[pinned, "used up to 5 cores"], &[]);
        found.machine.pinned = false;
        check(
            &found,
            &["one worker thread, and wrk 6, on whatever"],
            &["pinned"],
        );
    }

    #[test]
    fn alike_rates_and_a_server_with_room_are_limited_by_wrk() {
        let found = results(vec![
            study("io", 100.0, 2.0, 2e6),
            study("sendfile", 20.0, 2.1, 2e6),
        ]);
        check(
            &found,
            &[
                "the limit is wrk",
                "reads of 8 KiB",
                "less CPU",
                "1.80 of the 2 cores",
            ],
            &[
                "paced",
                "fewer bytes",
                "the rate rose",
                "cannot be told apart",
            ],
        );
    }

    #[test]
    fn wrk_is_not_blamed_where_the_server_is_busy() {
        let found = results(vec![
            study("io", 180.0, 2.0, 2e6),
            study("sendfile", 140.0, 2.1, 2e6),
        ]);
        check(&found, &["less CPU"], &["the limit is wrk"]);
    }

    #[test]
    fn what_is_saved_on_shared_cores_raises_the_rate() {
        let found = results(vec![
            study("io", 90.0, 1.0, 2e6),
            study("sendfile", 40.0, 1.6, 1.25e6),
        ]);
        check(
            &found,
            &["wrk can use: the rate rose", "the two are one finding"],
            &["the limit is wrk"],
        );
    }

    #[test]
    fn overlapping_seconds_make_no_claim_of_cpu() {
        let found = results(vec![
            study("io", 100.0, 2.0, 2e6),
            study("sendfile", 100.0, 2.0, 2e6),
        ]);
        check(
            &found,
            &["cannot be told apart"],
            &["less CPU", "more CPU", "the limit is wrk"],
        );
    }

    #[test]
    fn pacing_is_named_only_where_connections_are_paced_and_sendfile_saves_little() {
        let studies = || {
            vec![
                study("io", 100.0, 2.0, 2e6),
                study("sendfile", 120.0, 2.0, 2e6),
            ]
        };
        let mut found = results(studies());
        found.machine.mtu = 65_536;
        check(
            &found,
            &["more CPU", "saved nothing"],
            &["paced", "Packets had"],
        );
        found.machine.congestion = "bbr".to_owned();
        found.machine.mtu = 1500;
        check(&found, &["paced by bbr", "Packets had 1500 bytes"], &[]);
        let mut saving = results(vec![
            study("io", 100.0, 2.0, 2e6),
            study("sendfile", 16.0, 2.0, 2e6),
        ]);
        saving.machine.congestion = "bbr".to_owned();
        check(
            &saving,
            &["about as much as published"],
            &["paced", "Packets had"],
        );
    }

    #[test]
    fn few_cores_are_named_and_many_are_not() {
        let mut found = results(vec![
            study("io", 100.0, 2.0, 2e6),
            study("sendfile", 20.0, 2.0, 2e6),
        ]);
        check(&found, &["of the 2 that it shared with wrk"], &[]);
        found.machine.cores = 64;
        check(&found, &[], &["that it shared with wrk"]);
    }

    #[test]
    fn the_studys_own_handlers_tell_the_machine_from_the_server() {
        let ours = |sendfile: f64| {
            vec![
                study("io", 100.0, 2.0, 2e6),
                study("sendfile", sendfile, 2.0, 2e6),
            ]
        };
        let with_go = |sendfile: f64, go: f64| {
            let go = [
                study("go io", 100.0, 2.0, 2e6),
                study("go sendfile", go, 2.0, 2e6),
            ];
            results(ours(sendfile).into_iter().chain(go).collect())
        };
        check(
            &with_go(60.0, 70.0),
            &["of the machine and not of the server"],
            &[],
        );
        check(
            &with_go(60.0, 16.0),
            &["the difference is of the server"],
            &[],
        );
        check(&with_go(15.0, 16.0), &[], &["own two handlers"]);
        check(&results(ours(60.0)), &[], &["own two handlers"]);
    }

    #[test]
    fn short_runs_say_no_reasons() {
        let mut found = results(vec![
            study("io", 100.0, 2.0, 2e6),
            study("sendfile", 20.0, 2.0, 2e6),
        ]);
        found.study[1].wrk.seconds = 1.09;
        check(
            &found,
            &["too short to say why"],
            &["the limit is wrk", "less CPU"],
        );
    }

    #[test]
    fn page_faults_and_errors_are_told_where_there_are_some() {
        let mut found = results(vec![
            study("io", 100.0, 2.0, 2e6),
            study("sendfile", 20.0, 2.0, 2e6),
        ]);
        check(&found, &[], &["page faults", "errors"]);
        found.study[0]
            .seconds
            .iter_mut()
            .for_each(|second| second.minor_faults = 5000);
        found.study[1].wrk.errors.timeout = 7;
        check(
            &found,
            &[
                "5,000 page faults a second",
                "0 errors of copying and 7 of sendfile",
            ],
            &[],
        );
    }

    #[test]
    fn figures_of_nothing_make_no_numbers_that_are_none() {
        let mut found = results(vec![
            study("io", 0.0, 0.0, 0.0),
            study("sendfile", 0.0, 0.0, 0.0),
        ]);
        check(
            &found,
            &["Sendfile over copying, here: CPU –"],
            &["the limit"],
        );
        for study in &mut found.study {
            study.seconds.clear();
            study.wrk.latency_mean_us = None;
        }
        check(&found, &["mean latency –"], &[]);
    }
}
