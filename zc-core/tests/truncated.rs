//! A file that is shorter than promised is an outcome of its own, with exact numbers.

mod common;

use common::{
    Inbox, METHODS, advance, assert_same_bytes, drive, file_of, path_of, patterned, tcp_pair,
    unix_pair,
};
use zc_core::{COPY_BUFFER_BYTES, Progress, SendMethod, SendPath, SourceTruncated, Transfer};

const LENGTH: u64 = 400_000;

/// Where a transfer that stands at `offset` ends when its file is cut at `cut`: a copy still has
/// what it read before the cut. The transfer must have begun at offset 0.
fn expected_end(method: SendMethod, offset: u64, cut: u64) -> u64 {
    let in_hand = match path_of(method) {
        SendPath::Copy => offset
            .next_multiple_of(COPY_BUFFER_BYTES as u64)
            .min(LENGTH),
        // A pipe is filled with no more than the budget lets out.
        _ => offset,
    };
    cut.max(in_hand)
}

/// Sends the first `before_cut` bytes, cuts the file, drives on; everything is compared.
fn cut_after(method: SendMethod, before_cut: u64, cut: u64) {
    let bytes = patterned(LENGTH as usize, 20);
    let file = file_of(&bytes);
    let (sender, reader) = tcp_pair(Some(16 * 1024), None);
    let mut inbox = Inbox::new(reader);
    let mut transfer = Transfer::new(&file, 0, LENGTH).with_method(method);
    while transfer.offset() < before_cut {
        let left = before_cut - transfer.offset();
        if advance(&mut transfer, &sender, left).unwrap() == Progress::WouldBlock {
            inbox.read_until_writable(&sender);
        }
    }
    assert_eq!(transfer.offset(), before_cut);
    // Pages go by reference: what is still on its way when a file is cut may arrive as zeros. So
    // all that was sent is received first.
    inbox.read_until(before_cut);

    file.set_len(cut).unwrap();
    let end = drive(&mut transfer, &sender, &mut inbox, || u64::MAX);
    let expected = expected_end(method, before_cut, cut);
    let truncated = Progress::SourceTruncated(SourceTruncated {
        offset: expected,
        missing: LENGTH - expected,
    });
    assert_eq!(
        end, truncated,
        "{method:?}, cut at {cut} after {before_cut}"
    );
    assert_eq!(transfer.report().bytes(), expected);

    // It stays that way, and sends nothing more.
    assert_eq!(advance(&mut transfer, &sender, 1).unwrap(), truncated);
    drop(sender);
    assert_same_bytes(&inbox.finish(), &bytes[..expected as usize]);
}

#[test]
fn a_file_cut_while_it_is_sent_ends_at_the_cut() {
    for &method in METHODS {
        for before_cut in [1, 4096, 65_536, 100_001] {
            for cut in [
                0,
                before_cut - 1,
                before_cut,
                before_cut + 1,
                200_000,
                262_144,
                LENGTH - 1,
            ] {
                cut_after(method, before_cut, cut);
            }
        }
    }
}

#[test]
fn a_file_cut_while_the_socket_is_full_is_noticed_later() {
    // A pipe has more in hand: see below.
    let methods = METHODS
        .iter()
        .filter(|&&method| method != SendMethod::Splice);
    for &method in methods {
        let bytes = patterned(LENGTH as usize, 21);
        let file = file_of(&bytes);
        let (sender, reader) = unix_pair(Some(1));
        let mut inbox = Inbox::new(reader);
        let mut transfer = Transfer::new(&file, 0, LENGTH).with_method(method);
        let progress = advance(&mut transfer, &sender, u64::MAX).unwrap();
        assert_eq!(progress, Progress::WouldBlock);

        // Beyond what is on its way, and beyond what a copy has in hand.
        let cut = 300_001;
        assert!(transfer.offset() < cut - COPY_BUFFER_BYTES as u64);
        file.set_len(cut).unwrap();
        let end = drive(&mut transfer, &sender, &mut inbox, || u64::MAX);
        assert_eq!(
            end,
            Progress::SourceTruncated(SourceTruncated {
                offset: cut,
                missing: LENGTH - cut
            })
        );
        drop(sender);
        assert_same_bytes(&inbox.finish(), &bytes[..cut as usize]);
    }
}

// Pipes are spliced through on Linux alone.
#[test]
#[cfg(not(feature = "portable"))]
fn what_a_pipe_holds_when_its_file_is_cut_is_sent_by_length() {
    let bytes = patterned(LENGTH as usize, 25);
    let file = file_of(&bytes);
    let (sender, reader) = unix_pair(Some(1));
    let mut inbox = Inbox::new(reader);
    let mut transfer = Transfer::new(&file, 0, LENGTH).with_method(SendMethod::Splice);
    // All of the file fits the pipe, and stands there by reference.
    let progress = advance(&mut transfer, &sender, u64::MAX).unwrap();
    assert_eq!(progress, Progress::WouldBlock);
    let cut = 300_001;
    file.set_len(cut).unwrap();
    let end = drive(&mut transfer, &sender, &mut inbox, || u64::MAX);
    assert_eq!(end, Progress::Complete);
    drop(sender);
    let received = inbox.finish();
    assert_eq!(received.len() as u64, LENGTH);
    assert_same_bytes(&received[..cut as usize], &bytes[..cut as usize]);
}

#[test]
fn more_than_the_file_has_is_truncated_from_the_start() {
    let bytes = patterned(70_001, 22);
    let file = file_of(&bytes);
    // (offset, length asked for, where it ends)
    let table = [
        (0, 70_002, 70_001),
        (0, u64::MAX, 70_001),
        (70_000, 2, 70_001),
        (70_001, 1, 70_001),
        (70_002, 1, 70_002),
        (1 << 40, 5, 1 << 40),
    ];
    for &method in METHODS {
        for (offset, length, end) in table {
            let (sender, reader) = unix_pair(None);
            let mut inbox = Inbox::new(reader);
            let mut transfer = Transfer::new(&file, offset, length).with_method(method);
            let progress = drive(&mut transfer, &sender, &mut inbox, || u64::MAX);
            let sent = end - offset;
            assert_eq!(
                progress,
                Progress::SourceTruncated(SourceTruncated {
                    offset: end,
                    missing: length - sent
                })
            );
            drop(sender);
            let from = (offset as usize).min(bytes.len());
            assert_same_bytes(&inbox.finish(), &bytes[from..from + sent as usize]);
        }
    }
}

#[test]
fn an_empty_file_that_promised_bytes_is_truncated_at_once() {
    let file = file_of(b"");
    for &method in METHODS {
        let (sender, reader) = unix_pair(None);
        let mut transfer = Transfer::new(&file, 0, 10).with_method(method);
        let progress = advance(&mut transfer, &sender, u64::MAX).unwrap();
        assert_eq!(
            progress,
            Progress::SourceTruncated(SourceTruncated {
                offset: 0,
                missing: 10
            })
        );
        assert_eq!(transfer.report().bytes(), 0);
        drop(sender);
        assert_same_bytes(&Inbox::new(reader).finish(), b"");
    }
}

#[test]
fn a_file_that_grows_gives_the_promised_bytes_and_no_more() {
    for &method in METHODS {
        let mut bytes = patterned(150_000, 23);
        let mut file = file_of(&bytes);
        let (sender, reader) = unix_pair(Some(16 * 1024));
        let mut inbox = Inbox::new(reader);
        let mut transfer = Transfer::new(file.try_clone().unwrap(), 0, 150_000).with_method(method);
        let progress = advance(&mut transfer, &sender, 50_000).unwrap();
        assert_ne!(progress, Progress::Complete);

        let more = patterned(100_000, 24);
        std::io::Write::write_all(&mut file, &more).unwrap();
        let end = drive(&mut transfer, &sender, &mut inbox, || u64::MAX);
        assert_eq!(end, Progress::Complete);
        drop(sender);
        bytes.truncate(150_000);
        assert_same_bytes(&inbox.finish(), &bytes);
    }
}

#[test]
fn the_message_of_a_truncation_has_both_numbers() {
    let truncated = SourceTruncated {
        offset: 1234,
        missing: 56,
    };
    let message = truncated.to_string();
    assert!(
        message.contains("1234") && message.contains("56"),
        "{message}"
    );
}
