//! However a head is cut into pieces, and whatever its bytes, there is one answer to it.

use zc_http::{Limits, Parse, ParseError, parse};

#[path = "harness/random.rs"]
mod random;
#[path = "harness/samples.rs"]
mod samples;
#[path = "harness/summary.rs"]
mod summary;
#[path = "harness/twin.rs"]
mod twin;
use random::Random;
use samples::{Sample, samples};
use summary::summary;
use twin::judge;

/// A result without borrows: `None` for a partial head.
fn answer(bytes: &[u8], limits: &Limits) -> Option<Result<String, ParseError>> {
    match parse(bytes, limits) {
        Ok(Parse::Complete(request)) => Some(Ok(summary(&request))),
        Ok(Parse::Partial) => None,
        Err(error) => Some(Err(error)),
    }
}

/// Every prefix of `bytes` is partial up to one point, and has the final answer from there on.
fn assert_agreement(bytes: &[u8], limits: &Limits, name: &str) {
    let whole = answer(bytes, limits);
    let mut is_settled = false;
    for end in 0..=bytes.len() {
        let prefix = answer(&bytes[..end], limits);
        is_settled |= prefix.is_some();
        let expected = if is_settled { &whole } else { &None };
        assert_eq!(
            &prefix,
            expected,
            "{name}, first {end} of {:?}",
            bytes.escape_ascii().to_string()
        );
    }
}

#[test]
fn every_prefix_of_every_sample_is_partial_or_final() {
    for sample in samples() {
        assert_agreement(&sample.bytes, &Limits::default(), &sample.name);
    }
}

#[test]
fn a_complete_head_is_partial_up_to_its_last_byte() {
    let limits = Limits::default();
    for sample in samples() {
        if let Ok(Parse::Complete(request)) = parse(&sample.bytes, &limits) {
            let before = &sample.bytes[..request.head_bytes - 1];
            assert_eq!(answer(before, &limits), None, "{}", sample.name);
        }
    }
}

#[test]
fn mutated_samples_agree_however_they_are_cut() {
    let mut random = Random::new(0x5EED_0001);
    let samples = short_samples();
    for _ in 0..2_000 {
        let bytes = mutated(&mut random, &samples);
        assert_agreement(&bytes, &some_limits(&mut random), "mutated");
    }
}

#[test]
fn the_twin_gives_the_same_answer_at_the_same_byte() {
    let mut random = Random::new(0x5EED_0002);
    let samples = short_samples();
    let mut counts = [0; 3];
    for round in 0..60_000 {
        let bytes = match round % 4 {
            0 => generated(&mut random),
            _ => mutated(&mut random, &samples),
        };
        let kind = compare_with_twin(&bytes, &some_limits(&mut random));
        counts[kind] += 1;
    }
    let [partial, complete, refused] = counts;
    let is_balanced = partial > 1_000 && complete > 5_000 && refused > 5_000;
    assert!(is_balanced, "one-sided inputs: {counts:?}");
}

#[test]
fn the_twin_agrees_on_the_corpus() {
    for sample in samples() {
        compare_with_twin(&sample.bytes, &Limits::default());
    }
}

#[test]
fn bytes_without_any_structure_do_no_harm() {
    let mut random = Random::new(0x5EED_0003);
    for _ in 0..20_000 {
        let len = random.below(200);
        let bytes: Vec<u8> = (0..len).map(|_| random.below(256) as u8).collect();
        compare_with_twin(&bytes, &some_limits(&mut random));
    }
}

/// Panics unless both parsers agree. 0 for a partial head, 1 for a complete one, 2 for a refused one.
fn compare_with_twin(bytes: &[u8], limits: &Limits) -> usize {
    let text = bytes.escape_ascii().to_string();
    let with_status = |end: usize| {
        answer(&bytes[..end], limits).map(|result| result.map_err(|error| error.status().code()))
    };
    match judge(bytes, limits.request_line_bytes_max, limits.head_bytes_max) {
        None => {
            assert_eq!(with_status(bytes.len()), None, "{text}");
            0
        }
        Some((end, verdict)) => {
            let kind = if verdict.is_ok() { 1 } else { 2 };
            assert_eq!(with_status(end - 1), None, "first {} of {text}", end - 1);
            assert_eq!(
                with_status(end),
                Some(verdict.clone()),
                "first {end} of {text}"
            );
            assert_eq!(with_status(bytes.len()), Some(verdict), "{text}");
            kind
        }
    }
}

fn short_samples() -> Vec<Sample> {
    let mut samples = samples();
    samples.retain(|sample| sample.bytes.len() < 1_000);
    samples
}

/// Mostly roomy limits, sometimes ones that the samples run into.
fn some_limits(random: &mut Random) -> Limits {
    match random.below(4) {
        0 => Limits {
            request_line_bytes_max: 14 + random.below(30),
            head_bytes_max: 30 + random.below(120),
        },
        _ => Limits::default(),
    }
}

fn mutated(random: &mut Random, samples: &[Sample]) -> Vec<u8> {
    const SPECIAL: &[u8] = b"\r\n\r\n \t:,/?*#%@[]0159AaZz\x00\x1f\x7f\x80\xff";
    let mut bytes = random.choose(samples).bytes.clone();
    for _ in 0..random.below(4) {
        let at = random.below(bytes.len() + 1);
        match random.below(5) {
            0 => bytes.insert(at, *random.choose(SPECIAL)),
            1 if at < bytes.len() => bytes[at] = *random.choose(SPECIAL),
            2 if at < bytes.len() => {
                bytes.remove(at);
            }
            3 => {
                let other = &random.choose(samples).bytes;
                let from = random.below(other.len());
                let piece = other[from..other.len().min(from + random.below(40))].to_vec();
                bytes.splice(at..at, piece);
            }
            _ if random.below(4) == 0 => bytes.truncate(at),
            _ => {}
        }
    }
    bytes
}

/// A request put together from parts that are mostly right.
fn generated(random: &mut Random) -> Vec<u8> {
    let methods = [
        "GET", "GET", "HEAD", "OPTIONS", "CONNECT", "POST", "get", "M-X",
    ];
    let targets = [
        "/",
        "/",
        "/a?b",
        "/?",
        "*",
        "**",
        "a:80",
        "[::1]:80",
        "http://a",
        "http://a/b?c",
        "hTTps://a:1?b",
        "http://a:b/",
        "http://",
        "http://%41/",
        "http://%4/",
        "http://[::1]x/",
        "http://u@a/",
        "/\u{e9}",
    ];
    let versions = [
        "HTTP/1.1", "HTTP/1.1", "HTTP/1.0", "HTTP/1.2", "HTTP/2.0", "HTTP/1.",
    ];
    let fields = [
        "Host: a\r\n",
        "Host: a\r\n",
        "Host:\r\n",
        "Host: [::1]:80\r\n",
        "Host: a:b\r\n",
        "host: %zz\r\n",
        "Host: a]\r\n",
        "A: b\r\n",
        "a:\t\r\n",
        "Content-Length: 0\r\n",
        "Content-Length: 7\r\n",
        "Content-length: 1,1\r\n",
        "Transfer-Encoding: chunked\r\n",
        "Transfer-Encoding: gzip\r\n",
        "Transfer-Encoding: x, chunked\r\n",
        "transfer-encoding: x;y=\"a,chunked\"\r\n",
        "Connection: close\r\n",
        "Connection: x, Keep-Alive\r\n",
        "Connection: ,close,\r\n",
    ];
    let mut text = format!(
        "{} {} {}\r\n",
        random.choose(&methods),
        random.choose(&targets),
        random.choose(&versions)
    );
    for _ in 0..random.below(5) {
        text.push_str(random.choose::<&str>(&fields));
    }
    text.push_str("\r\n");
    text.into_bytes()
}
