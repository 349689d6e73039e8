//! A fetch that tells how far it has come.

#![cfg(target_os = "linux")]

use std::io::Write;

use zc_core::Fetcher;

#[test]
fn progress_is_told_piece_by_piece_up_to_the_end() {
    const LENGTH: u64 = 1_000_003;
    const PIECE: u64 = 128 << 10;
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(&vec![7; LENGTH as usize]).unwrap();
    let fetcher = Fetcher::new().unwrap();
    for (range, expected) in [
        (0..LENGTH, LENGTH),
        (5..PIECE, PIECE - 5),
        (PIECE..2 * LENGTH, LENGTH - PIECE),
        (LENGTH..2 * LENGTH, 0),
        (9..9, 0),
    ] {
        let mut told = vec![0];
        let read = fetcher.fetch_with(&file, range.clone(), |bytes| told.push(bytes));
        assert_eq!(read.unwrap(), expected, "{range:?}");
        assert_eq!(told.last(), Some(&expected), "{range:?}");
        let is_step = |pair: &[u64]| (1..=PIECE).contains(&(pair[1] - pair[0]));
        assert!(told.windows(2).all(is_step), "{range:?}: {told:?}");
        assert_eq!(fetcher.fetch(&file, range).unwrap(), expected);
    }
}
