//! Head and file, read into memory piece by piece: every byte, in order, into whatever room there is.

mod common;

use std::os::unix::fs::FileExt;

use common::{assert_same_bytes, errno_of, file_of, patterned};
use nix::errno::Errno;
use zc_core::{HeadThenFile, ProbedTransfer, Progress, SendPath, Slots, Transfer};

const HEAD: &[u8] = b"HTTP/1.1 200 OK\r\n\r\n";
const LENGTH: usize = 100_000;
const OFFSET: u64 = 7;

/// Slots of these lengths with gaps between them, filled by `read`; answers what it returned, and the bytes.
fn filled<R>(lengths: &[usize], read: impl FnOnce(&mut Slots<'_, '_>) -> R) -> (R, Vec<u8>) {
    const GAP: usize = 13;
    let mut memory = vec![0; lengths.iter().map(|length| length + GAP).sum()];
    let mut rest = &mut memory[..];
    let mut pieces = Vec::new();
    for &length in lengths {
        let (slot, behind) = rest.split_at_mut(length);
        pieces.push(slot);
        rest = &mut behind[GAP..];
    }
    let mut slots = Slots::new(&mut pieces);
    let answer = read(&mut slots);
    let count = slots.filled() as usize;
    let mut bytes = pieces.concat();
    assert!(bytes[count..].iter().all(|&byte| byte == 0));
    bytes.truncate(count);
    (answer, bytes)
}

#[test]
fn every_byte_comes_in_order_into_whatever_room_there_is() {
    let bytes = patterned(OFFSET as usize + LENGTH, 300);
    let file = file_of(&bytes);
    let expected = [HEAD, &bytes[OFFSET as usize..]].concat();
    for lengths in [
        &[1][..],
        &[0, 3, 0],
        &[HEAD.len()],
        &[HEAD.len() + 1],
        &[16_384, 16_384, 16_384, 16_384],
        &[100; 40],
        &[200_000],
    ] {
        let transfer = Transfer::new(&file, OFFSET, LENGTH as u64);
        let mut send = HeadThenFile::new(HEAD, ProbedTransfer::new(transfer, 30_000));
        let mut received = Vec::new();
        loop {
            let (answer, piece) = filled(lengths, |slots| send.read(slots));
            received.extend_from_slice(&piece);
            assert_eq!(send.accepted(), received.len() as u64);
            match answer.unwrap() {
                Progress::Complete => break,
                // Where nobody can tell what is in memory.
                Progress::NeedsDisk(_) => {}
                answer => {
                    assert_eq!(answer, Progress::BudgetSpent);
                    assert_eq!(piece.len(), lengths.iter().sum());
                }
            }
            if lengths == [1] && received.len() == 1000 {
                break;
            }
        }
        assert_same_bytes(&received, &expected[..received.len()]);
        let body = send.body().unwrap();
        assert_eq!(body.path(), SendPath::Copy);
        assert_eq!(
            body.report().copy.bytes,
            (received.len() - HEAD.len()) as u64
        );
    }
}

#[test]
fn a_window_that_is_not_in_memory_is_asked_for_before_the_head_is_taken() {
    let file = file_of(&patterned(LENGTH, 301));
    let mut transfer = ProbedTransfer::new(Transfer::new(&file, 0, LENGTH as u64), 60_000);
    transfer.assume_cold();
    let mut send = HeadThenFile::new(HEAD, transfer);
    let (answer, bytes) = filled(&[200_000], |slots| send.read(slots));
    assert_eq!(answer.unwrap(), Progress::NeedsDisk(0..60_000));
    assert!(bytes.is_empty());
    let (answer, bytes) = filled(&[200_000], |slots| send.read(slots));
    assert_eq!(answer.unwrap(), Progress::NeedsDisk(60_000..LENGTH as u64));
    assert_eq!(bytes.len(), HEAD.len() + 60_000);
    let (answer, bytes) = filled(&[200_000], |slots| send.read(slots));
    assert_eq!(answer.unwrap(), Progress::Complete);
    assert_eq!(bytes.len(), LENGTH - 60_000);
}

#[test]
fn a_file_that_is_cut_and_one_that_cannot_be_read_are_told() {
    let file = file_of(&patterned(LENGTH, 302));
    let mut transfer = Transfer::new(&file, 0, LENGTH as u64);
    let (answer, _) = filled(&[1000], |slots| transfer.read(slots));
    assert_eq!(answer.unwrap(), Progress::BudgetSpent);
    file.set_len(1500).unwrap();
    let (answer, bytes) = filled(&[1000], |slots| transfer.read(slots));
    assert_eq!(bytes.len(), 500);
    match answer.unwrap() {
        Progress::SourceTruncated(truncated) => {
            assert_eq!(
                (truncated.offset, truncated.missing),
                (1500, LENGTH as u64 - 1500)
            );
        }
        other => panic!("{other:?}"),
    }
    file.write_all_at(&[1], LENGTH as u64 - 1).unwrap();
    let directory = std::fs::File::open("/").unwrap();
    let mut transfer = Transfer::new(&directory, 0, 10);
    let (answer, _) = filled(&[1000], |slots| transfer.read(slots));
    let error = std::io::Error::from(answer.unwrap_err());
    assert_eq!(errno_of(&error), Errno::EISDIR);
}
