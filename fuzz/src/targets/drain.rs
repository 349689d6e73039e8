//! Bodies: the first byte of the input chooses a framing and a limit, the second how the rest, which
//! is the body and what follows it, is cut.
//!
//! However a body is cut, its end is found at the same byte, or its fault, and both are final. The
//! twin finds the same.

use std::sync::LazyLock;

use zc_http::{BodyFraming, Drain, DrainError, Drained};

use super::chunks_twin::{End, chunks_twin};
use super::escaped;

/// How much content is accepted.
const LIMITS: [u64; 6] = [0, 1, 20, 1000, u64::MAX - 1, u64::MAX];

/// Checks `data` as a body and what follows it.
pub(crate) fn check(data: &[u8]) {
    let [choice, cuts, body @ ..] = data else {
        return;
    };
    let limit = LIMITS[usize::from(choice >> 2) % LIMITS.len()];
    match choice & 3 {
        0 => check_chunks(b"", body, limit, *cuts),
        1 => check_chunks(&NEARLY_ALL_EXTENSIONS, body, limit, *cuts),
        2 => check_chunks(&NEARLY_ALL_TRAILERS, body, limit, *cuts),
        _ => check_length(body, limit, *cuts),
    }
}

/// A start with so many bytes of extensions that a fuzzer can reach the bound on all of them, which
/// is far beyond the inputs it tries: 256 are left.
static NEARLY_ALL_EXTENSIONS: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let chunk = format!("1;{}\r\nx\r\n", "e".repeat(255));
    chunk.repeat(63).into_bytes()
});

/// The same for the trailers: one field is left, and 247 bytes.
static NEARLY_ALL_TRAILERS: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let trailer = format!("A:{}\r\n", "x".repeat(159));
    format!("0\r\n{}", trailer.repeat(99)).into_bytes()
});

fn check_chunks(start: &[u8], body: &[u8], limit: u64, cuts: u8) {
    let drain = Drain::new(BodyFraming::Chunked, limit);
    let mut drain = drain.expect("no length").expect("a body");
    let all = [start, body].concat();
    let twin = chunks_twin(&all, limit);
    let expected = match twin {
        End::At(end) => Ok(Some(end)),
        End::Beyond => Ok(None),
        End::Fault(_, error) => Err(error),
    };
    let text = escaped(body);
    if let Err(error) = drain.consume(start) {
        assert_eq!(Err(error), expected, "{text}");
        return;
    }
    // The start was taken once, and what follows is taken in several ways.
    let whole = fed(drain.clone(), body, |_| usize::MAX);
    let bytewise = fed(drain.clone(), body, |_| 1);
    let cut = fed(drain, body, |step| pieces(cuts, step));
    for fed in [&whole, &bytewise, &cut] {
        let found = fed.end.map(|end| end.map(|end| start.len() + end));
        assert_eq!(found, expected, "{text}");
    }
    if let End::Fault(at, _) = twin {
        assert_eq!(start.len() + bytewise.taken, at, "{text}");
    }
}

fn check_length(body: &[u8], limit: u64, cuts: u8) {
    let text = escaped(body);
    // Lengths around the bytes there are, and around the limit.
    let near = body.len() as u64;
    let lengths = [near.saturating_sub(1), near, near + 1, limit, limit / 2];
    for length in lengths {
        let drain = match Drain::new(BodyFraming::Length(length), limit) {
            Err(_) => {
                assert!(length > limit, "{length} of {limit}");
                continue;
            }
            Ok(None) => {
                assert_eq!(length, 0);
                continue;
            }
            Ok(Some(drain)) => drain,
        };
        assert!((1..=limit).contains(&length), "{length} of {limit}");
        let expected = Ok((length <= near).then_some(length as usize));
        let whole = fed(drain.clone(), body, |_| usize::MAX);
        let cut = fed(drain, body, |step| pieces(cuts, step));
        assert_eq!(whole.end, expected, "{length}: {text}");
        assert_eq!(cut.end, expected, "{length}: {text}");
    }
}

/// The size of a piece: from none to 12 bytes, in an order that `cuts` chooses.
fn pieces(cuts: u8, step: usize) -> usize {
    step.wrapping_mul(usize::from(cuts) + 1)
        .wrapping_add(step / 7)
        % 13
}

/// What came of feeding a drain.
struct Fed {
    /// Where the body ends, `None` if not within what was fed.
    end: Result<Option<usize>, DrainError>,
    /// How many bytes were taken in pieces that had no fault.
    taken: usize,
}

/// Feeds pieces of the sizes that `piece` gives to each step; and once the answer is final, more.
fn fed(mut drain: Drain, body: &[u8], piece: impl Fn(usize) -> usize) -> Fed {
    let mut taken = 0;
    let mut step = 0;
    let text = escaped(body);
    while taken < body.len() {
        let end = taken.saturating_add(piece(step)).min(body.len());
        step += 1;
        match drain.consume(&body[taken..end]) {
            Ok(Drained { consumed, done }) => {
                taken += consumed;
                if done {
                    let more = drain.consume(b"0\r\n\r\n");
                    let nothing = Drained {
                        consumed: 0,
                        done: true,
                    };
                    assert_eq!(more, Ok(nothing), "{text}");
                    return Fed {
                        end: Ok(Some(taken)),
                        taken,
                    };
                }
                assert_eq!(taken, end, "left over before the end: {text}");
            }
            Err(error) => {
                assert!(
                    matches!(error.status().code(), 400 | 413),
                    "{text}: {error}"
                );
                assert_eq!(drain.consume(b"0\r\n\r\n"), Err(error), "{text}");
                assert_eq!(drain.consume(b""), Err(error), "{text}");
                return Fed {
                    end: Err(error),
                    taken,
                };
            }
        }
    }
    Fed {
        end: Ok(None),
        taken,
    }
}
