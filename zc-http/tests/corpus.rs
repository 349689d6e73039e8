//! Every file of the corpus: valid requests read as expected, invalid ones refused with the status
//! in their name.

use zc_http::{Limits, Parse, parse};

#[path = "harness/samples.rs"]
mod samples;
#[path = "harness/summary.rs"]
mod summary;
use samples::samples;
use summary::summary;

#[test]
fn every_sample_reads_as_expected() {
    let samples = samples();
    assert!(samples.len() > 100, "the corpus is incomplete");
    for sample in samples {
        let result = parse(&sample.bytes, &Limits::default());
        if sample.name.starts_with("ok-") {
            let expected = expected(&sample.name);
            let Ok(Parse::Complete(request)) = result else {
                panic!("{}: {result:?}", sample.name);
            };
            assert_eq!(summary(&request), expected, "{}", sample.name);
        } else {
            let error = result.expect_err(&sample.name);
            let code = error.status().code().to_string();
            let expected = sample.name.split('-').next().unwrap();
            assert_eq!(code, expected, "{}: {error}", sample.name);
        }
    }
}

/// What the valid sample `name` says.
fn expected(name: &str) -> String {
    let path = format!(
        "{}/tests/corpus/{name}.expected",
        env!("CARGO_MANIFEST_DIR")
    );
    std::fs::read_to_string(path).expect("a valid sample has an .expected file")
}
